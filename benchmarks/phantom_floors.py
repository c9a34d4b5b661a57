"""How hard the phantom is for methods that know no anatomy: position, dense voxels, histogram; and again without mimics.

    .venv/bin/python benchmarks/phantom_floors.py --studies 160 --jobs 2

Slice AUC for `any`, five folds by patient. Wanted with mimics: position < 0.80, dense voxels < 0.80, histogram boosting < 0.88.
"""

import argparse
import json
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from scipy.ndimage import binary_fill_holes, binary_opening
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold

from ich_seq.labels import SUBTYPE_NAMES
from ich_seq.phantom.cohort import CohortSpec, render_study

EDGES = np.concatenate([np.linspace(-20, 120, 33), [150, 200, 300, 500, 1000, 4000]])
WANTED = {"position": 0.80, "dense voxels": 0.80, "histogram": 0.88}


def features(job: tuple[CohortSpec, int]) -> dict[str, np.ndarray]:
    spec, index = job
    study = render_study(spec, index)
    count = len(study.hu)
    rows = {"position": np.linspace(0, 1, count)[:, None], "dense": np.zeros((count, 1)), "histogram": []}
    area = study.geometry.pixel_mm**2
    for k, hu in enumerate(study.hu):
        bone = hu > 300
        inside = binary_opening(binary_fill_holes(bone) & ~bone)
        rows["dense"][k] = ((hu >= 60) & (hu <= 100) & inside).sum() * area
        head = np.asarray(binary_fill_holes(hu > -200))
        coarse = [(hu[head] < -50).sum(), ((hu[head] >= -50) & (hu[head] < -20)).sum()]
        rows["histogram"].append(np.concatenate([np.histogram(hu[head], EDGES)[0], coarse, [head.sum()]]) * area)
    rows["histogram"] = np.asarray(rows["histogram"])
    rows["y"] = study.labels[:, 5]
    rows["patient"] = np.full(count, study.plan.patient)
    return rows


def cross_validated(x: np.ndarray, y: np.ndarray, groups: np.ndarray, **model: Any) -> float:
    score = np.zeros(len(y))
    for train, test in GroupKFold(5).split(x, y, groups):
        fitted = HistGradientBoostingClassifier(random_state=0, **model).fit(x[train], y[train])
        score[test] = fitted.predict_proba(x[test])[:, 1]
    return float(roc_auc_score(y, score))


def measure(spec: CohortSpec, jobs: int) -> dict[str, float]:
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        parts = list(pool.map(features, [(spec, i) for i in range(spec.studies)]))
    data = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    y, groups = data["y"], data["patient"]
    gentle = {"max_iter": 60, "max_leaf_nodes": 6, "min_samples_leaf": 60, "learning_rate": 0.1}
    boosted = {"max_iter": 200, "learning_rate": 0.05, "max_leaf_nodes": 15, "l2_regularization": 1.0}
    return {
        "slices": len(y),
        "positive": round(float(y.mean()), 3),
        "position": cross_validated(data["position"], y, groups, **gentle),
        "dense voxels": float(roc_auc_score(y, data["dense"][:, 0])),
        "dense voxels, fitted": cross_validated(data["dense"], y, groups, **gentle),
        "histogram": cross_validated(data["histogram"], y, groups, **boosted),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=160)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--slices", type=int, default=32)
    parser.add_argument("--share", type=float, default=0.18, help="prevalence of each subtype")
    parser.add_argument("--set", default="{}", help="more values of the cohort, as JSON")
    parser.add_argument("--with-mimics-only", action="store_true")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    shares = dict.fromkeys(SUBTYPE_NAMES, args.share)
    result = {}
    for mimics in (True,) if args.with_mimics_only else (True, False):
        values = {
            "matrices": (256,),
            "slices": (args.slices, args.slices),
            "prevalence": shares,
            **json.loads(args.set),
        }
        started = time.monotonic()
        spec = CohortSpec(studies=args.studies, seed=args.seed, mimics=mimics, **values)
        figures = measure(spec, args.jobs)
        title = "with mimics" if mimics else "without mimics"
        result[title] = figures
        print(f"{title} ({time.monotonic() - started:.0f} s)")
        for name, value in figures.items():
            limit = WANTED.get(name) if mimics else None
            print(f"  {name:22s}{value:8.3f}" + (f"   wanted < {limit}" if limit else ""))
    if args.out:
        args.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
