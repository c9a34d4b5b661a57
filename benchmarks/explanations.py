"""Whether heat lies on the bleed: Grad-CAM of both stages on phantoms, where the truth is known voxel by voxel.

    .venv/bin/python -m benchmarks.explanations --run runs/demo

Any run on a cohort that `ichseq phantom` (or `ichseq demo`) wrote; several are pooled. Of every held-out slice that has a label the
map of that label is compared with the mask: pointing game (the hottest pixel lies on the bleed or within 10 mm of it) and the share of
the heat that lies on it, beside a random map on the same grid and a blob in the middle of the head that looks at nothing. Maps count
where the software would draw them: inside the head, on neither air nor bone. Intervals resample patients. Writes
`benchmarks/results/explanations.json` and `.md`; some minutes a run on one core.

Source: Zhang et al. 2018, 10.1007/s11263-017-1059-x (pointing game); Adebayo et al. 2018, arXiv:1810.03292 (randomised weights).
"""

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pandas as pd
import torch
from scipy.ndimage import distance_transform_edt
from scipy.stats import spearmanr

from benchmarks.explanation_tables import page
from ich_seq.cli.steps import image_folder
from ich_seq.evaluation.heat_scale import SeriesMaps, maps_of, positives_of, read_series
from ich_seq.files import write_json, write_text
from ich_seq.labels import ANY, LABEL_NAMES
from ich_seq.manifest.table import read_table
from ich_seq.model.heat_scale import ONE, TWO
from ich_seq.model.runtime import Compute
from ich_seq.model.torch_backend import TorchModel
from ich_seq.phantom.bleeds import MASK_CODES
from ich_seq.phantom.cohort import read_truth
from ich_seq.report.heat_picture import drawable
from ich_seq.sequence.network import SequenceNet
from ich_seq.slices.network import SliceNet
from ich_seq.slices.place import field_of, onto_slice
from ich_seq.study.gradcam import GradCam
from ich_seq.study.model import load_model
from ich_seq.training.run import machine, open_run

RESULTS = Path(__file__).parent / "results"
TOLERANCE_MM = 10.0
BLOB_SHARE = 0.25
"""Standard deviation of the blob in the middle, as a share of the root of the head's area."""
SYSTEMS = ("stage one", "stage two", "centre", "random map", "stage one, random weights", "stage two, random weights")


@dataclass(frozen=True, slots=True)
class Plane:
    """One slice: where heat counts, the bleeds of each label, where the hottest pixel is a hit, and a blob in the middle."""

    where: np.ndarray
    bleed: dict[str, np.ndarray]
    hit: dict[str, np.ndarray]
    blob: np.ndarray


def planes_of(series: SeriesMaps, mask: np.ndarray, place_of: dict[str, int]) -> Iterator[Plane]:
    """Of each slice of a series that has a label, feet to head, the truth."""
    for place in series.seen.places:
        row = series.rows.iloc[place]
        pixel_mm, hu = float(row["row_spacing_mm"]), series.slices_hu[place]
        truth = mask[..., place_of[row["sop_instance_uid"]]].T
        bleed = {name: truth == code for name, code in MASK_CODES.items()} | {ANY.name: truth > 0}
        near = {
            name: np.asarray(distance_transform_edt(~found)) * pixel_mm <= TOLERANCE_MM for name, found in bleed.items()
        }
        where = drawable(hu, pixel_mm)
        yield Plane(where, bleed, near, blob_in(where))


def blob_in(where: np.ndarray) -> np.ndarray:
    """A Gaussian in the middle of the head."""
    rows, columns = np.nonzero(where)
    sigma = BLOB_SHARE * np.sqrt(len(rows))
    y, x = np.indices(where.shape)
    return np.exp(-((y - rows.mean()) ** 2 + (x - columns.mean()) ** 2) / (2 * sigma**2))


def judge(heat: np.ndarray, plane: Plane, label: str) -> tuple[float, float]:
    """Pointing game (where several pixels are hottest, the share of them that hit) and share of heat on the bleed; 0 where cold."""
    counted = np.where(plane.where, heat, 0)
    total = float(counted.sum())
    if total <= 0:
        return 0.0, 0.0
    hottest = counted >= counted.max() * (1 - 1e-6)
    return float(plane.hit[label][hottest].mean()), float(counted[plane.bleed[label]].sum()) / total


def randomised(model: TorchModel, seed: int) -> GradCam:
    """The same networks with new random weights; the PCA is the trained one's."""
    torch.manual_seed(seed)
    cnn = SliceNet(model.info.cnn, model.info.preprocess).eval()
    return GradCam(cnn, model.pca, SequenceNet(model.info.reduced_width, model.info.lstm).eval())


def measure_run(folder: Path, root: Path | None, seed: int) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """A row for each positive slice, label and system, and what the run is."""
    run, started = open_run(folder), time.monotonic()
    loaded = load_model(run.model, Compute("cpu", 1))
    if not isinstance(loaded, TorchModel):
        raise SystemExit(f"{folder}: not a model of two stages")
    table = read_table(run.table)
    images = image_folder(table, root)
    held_out = table[table["split"] == "test"]
    truth = {study["series_instance_uid"]: study for study in read_truth(images)["studies"]}
    trained, random = GradCam(loaded.cnn, loaded.pca, loaded.lstm), randomised(loaded, seed)
    generator, rows, grid = np.random.default_rng(seed), [], (0, 0)
    for series in read_series(trained, held_out, images, keep_hu=True):
        if not series.seen.places:
            continue
        again = random_series(random, series)
        study = truth[series.rows["series_instance_uid"].iloc[0]]
        mask = np.asarray(nibabel.load(images / study["mask"]).dataobj)  # type: ignore[attr-defined]
        place_of = {each["sop_instance_uid"]: place for place, each in enumerate(study["slices"])}
        planes = dict(zip(series.seen.places, planes_of(series, mask, place_of), strict=True))
        grid = tuple(series.seen.maps.shape[2:])
        for label, name in enumerate(LABEL_NAMES):
            if not (places := positives_of(series, label)):
                continue
            maps = {
                f"stage {stage}{end}": maps_of(cam, found, stage, label)
                for stage in (ONE, TWO)
                for cam, found, end in ((trained, series, ""), (random, again, ", random weights"))
            }
            for number, place in enumerate(places):
                cells = {system: found[number] for system, found in maps.items()}
                cells["random map"] = generator.random(grid)
                named = {
                    "run": folder.name,
                    "patient": f"{images}:{series.rows['patient_id'].iloc[place]}",
                    "label": name,
                }
                rows += [named | found for found in judged(cells, planes[place], name, loaded)]
    facts = {"model": loaded.info.name, "digest": loaded.info.digest(), "backbone": loaded.info.cnn.backbone}
    facts |= {
        "size": loaded.info.preprocess.size,
        "grid": list(grid),
        "minutes": round((time.monotonic() - started) / 60, 1),
    }
    return rows, facts


def judged(cells: dict[str, np.ndarray], plane: Plane, label: str, model: TorchModel) -> Iterator[dict[str, Any]]:
    """Every system on one slice and label; trained maps with their rank correlation to those of random weights."""
    rows, columns = plane.where.shape
    field = field_of(rows, columns, model.info.preprocess)
    heats = {system: onto_slice(found, field, (rows, columns)) for system, found in cells.items()} | {
        "centre": plane.blob
    }
    for system, heat in heats.items():
        hit, share = judge(heat, plane, label)
        yield {
            "system": system,
            "hit": hit,
            "share": share,
            "alike": alike(cells, system),
            "bleed": float((plane.bleed[label] & plane.where).sum() / plane.where.sum()),
        }


def alike(cells: dict[str, np.ndarray], system: str) -> float | None:
    """Spearman's correlation of a trained map with the one of random weights; None where either is flat."""
    other = cells.get(f"{system}, random weights")
    if other is None or not np.ptp(other) or not np.ptp(cells[system]):
        return None
    correlation, _ = spearmanr(cells[system].ravel(), other.ravel())
    return float(np.asarray(correlation))


def random_series(cam: GradCam, series: SeriesMaps) -> SeriesMaps:
    """The same slices through the network of random weights."""
    seen = cam.look(series.slices_hu, series.seen.places)
    return SeriesMaps(series.rows, seen, series.scores, series.slices_hu)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--run", type=Path, action="append", required=True, help="a run on a phantom cohort; repeatable"
    )
    parser.add_argument("--root", type=Path, help="the cohort's folder, where it is not where it was indexed (one run)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=RESULTS / "explanations")
    args = parser.parse_args()
    torch.set_num_threads(1)
    rows, facts = [], []
    for folder in args.run:
        found, about = measure_run(folder, args.root, args.seed)
        rows, facts = rows + found, [*facts, about]
        print(f"{folder}: {len(found)} rows, {about['minutes']} minutes")
    frame = pd.DataFrame(rows)
    text, figures = page(frame, facts, machine())
    write_text(args.out.with_suffix(".md"), text)
    write_json(args.out.with_suffix(".json"), figures)
    print(text)


if __name__ == "__main__":
    main()
