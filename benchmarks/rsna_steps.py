"""The steps that `benchmarks.rsna_size` measures, one a process: `python -m benchmarks.rsna_steps NAME WORK LSTM_SCANS`."""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ich_seq.files import write_json
from ich_seq.labels import LABEL_NAMES

if TYPE_CHECKING:
    import pandas as pd

    from ich_seq.evaluation.data import EvaluationInput, ValidationScores

EXTRACTOR = "e" * 64


@dataclass(frozen=True)
class Step:
    """What a row of the page is called, and the work; it returns what it has to say of itself."""

    title: str
    run: Callable[[Path, int], str]


class _Clock:
    """Seconds of each named part."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.started = time.monotonic()

    def say(self, name: str) -> None:
        now = time.monotonic()
        self.parts.append(f"{name} {now - self.started:.1f} s")
        self.started = now

    def __str__(self) -> str:
        return ", ".join(self.parts)


def table(work: Path, _: int) -> str:
    """Read and validate, split, check, digest, summarise; the split table is what later steps read."""
    from ich_seq.config import load_config
    from ich_seq.manifest.index import split_record, summarise
    from ich_seq.manifest.split import check_no_leak, split_table
    from ich_seq.manifest.table import read_table, write_table

    clock, split = _Clock(), load_config("burduja2020").split
    rows = read_table(work / "table.parquet")
    clock.say("read and validated")
    rows["split"] = split_table(rows, split)
    clock.say("split")
    check_no_leak(rows)
    clock.say("leak check")
    split_record(rows, split)
    summarise(rows)
    clock.say("digest and counts")
    write_table(rows, work / "split.parquet")
    clock.say("written")
    return str(clock)


def labels(work: Path, _: int) -> str:
    """RSNA's file of labels, six rows a slice."""
    from ich_seq.manifest.kaggle import read_labels

    found, _notes = read_labels(work / "labels.csv")
    return f"{6 * len(found):,} rows"


def cache_index(work: Path, _: int) -> str:
    """The end of an extraction: every part read once, and the index written."""
    from ich_seq.embeddings.cache import write_index

    cache = write_index(work / "features", EXTRACTOR, (work / "identities.txt").read_text().split())
    return f"{len(cache.index.parts):,} parts, {cache.index.rows:,} slices"


def pca(work: Path, _: int) -> str:
    """As published: 32,000 training slices."""
    return _fit(work, 32_000)


def pca_all(work: Path, _: int) -> str:
    """All training slices."""
    return _fit(work, 10**9)


def _fit(work: Path, slices: int) -> str:
    from ich_seq.embeddings.cache import open_cache
    from ich_seq.embeddings.fit_pca import fit_pca
    from ich_seq.embeddings.stage import TRAINING_SPLITS

    clock, rows = _Clock(), _split_table(work)
    training = set(rows.loc[rows["split"].isin(TRAINING_SPLITS), "series_instance_uid"])
    cache = open_cache(work / "features", EXTRACTOR)
    clock.say("table and index opened")
    _, kept = fit_pca(cache, training, 120, slices, seed=0)
    clock.say("fitted")
    return f"{clock}; {kept:.1%} of the variance kept"


def reduce(work: Path, _: int) -> str:
    """All embeddings through the PCA into the file that stage two reads."""
    from ich_seq.embeddings.cache import open_cache
    from ich_seq.embeddings.fit_pca import load_pca
    from ich_seq.embeddings.reduced import write_reduced

    cache = open_cache(work / "features", EXTRACTOR)
    path = write_reduced(cache, load_pca(cache))
    return f"{path.stat().st_size / 1e6:.0f} MB"


def lstm(work: Path, scans: int) -> str:
    """One epoch of the published network, one scan a step, validation and checkpoints included."""
    return _train(work, scans, "burduja2020")


def lstm_recommended(work: Path, scans: int) -> str:
    """One epoch as recommended, 16 scans a step."""
    return _train(work, scans, "recommended")


def _train(work: Path, scans: int, config_name: str) -> str:
    from ich_seq.config import load_config
    from ich_seq.embeddings.cache import open_cache
    from ich_seq.embeddings.reduced import read_reduced
    from ich_seq.sequence.dataset import label_scans
    from ich_seq.sequence.train import train_lstm

    clock, rows = _Clock(), _split_table(work)
    found = label_scans(read_reduced(open_cache(work / "features", EXTRACTOR)), rows)
    clock.say(f"{len(found):,} scans read and labelled")
    split_of = rows.drop_duplicates("series_instance_uid").set_index("series_instance_uid")["split"].to_dict()
    taught = [scan for uid, scan in found.items() if split_of[uid] in ("stage_one", "stage_two")]
    used = taught[:scans] if scans else taught
    validation = [scan for uid, scan in found.items() if split_of[uid] == "validation"]
    config = load_config(config_name)
    once = config.train_lstm.model_copy(update={"epochs": 1, "patients": "all"})
    grouped = {"stage_one": used, "stage_two": [], "validation": validation}
    result = train_lstm(config.model_copy(update={"train_lstm": once}), grouped, work / f"fit_{config_name}", "cpu")
    seconds = result.records[0]["train_seconds"]
    clock.say(
        f"{len(used):,} scans trained in {seconds:.0f} s; with set-up and validation of {len(validation):,} scans"
    )
    if len(used) == len(taught):
        return str(clock)
    return (
        f"{clock}; extrapolated to {len(taught):,} scans: {seconds * len(taught) / len(used) / 60:.0f} min of training"
    )


def evaluation(work: Path, _: int) -> str:
    """The held-out patients."""
    return _evaluate(work, ("test",))


def evaluation_all(work: Path, _: int) -> str:
    """As many slices as RSNA's training part."""
    return _evaluate(work, ("test", "stage_one", "stage_two"))


def _evaluate(work: Path, splits: tuple[str, ...]) -> str:
    from ich_seq.evaluation.evaluate import evaluate

    clock = _Clock()
    data = _scores(work, splits)
    clock.say("scores read")
    found = evaluate(data)
    clock.say(f"figures and {found.rounds:,} rounds at three levels")
    assert found.by_slice is not None  # every label is a slice's
    auc = found.by_slice.systems[-1].labels[-1].auc
    count = f"{found.by_slice.count:,} slices of {found.patients:,} patients"
    return f"{clock}; {count}, {len(found.by_slice.systems)} systems; AUC of any {auc.value:.4f} [{auc.low:.4f}, {auc.high:.4f}]"


def _scores(work: Path, splits: tuple[str, ...]) -> "EvaluationInput":
    """Stage one as the cache has it, stage two a little better, two real floors, and noise for the histogram's."""
    from ich_seq.evaluation.data import EvaluationInput
    from ich_seq.evaluation.floors import position_floor, prevalence_floor, relative_position

    rows, one = _split_table(work), _stage_one(work)
    held_out, training = (
        rows["split"].isin(splits).to_numpy(),
        rows["split"].isin(("stage_one", "stage_two")).to_numpy(),
    )
    truth = rows[list(LABEL_NAMES)].to_numpy(np.int64)
    rng = np.random.default_rng(1)
    two = one.loc[rows["sop_instance_uid"]].to_numpy(np.float64)
    one, two = two, two + truth + 0.5 * rng.standard_normal(truth.shape)
    position = relative_position(rows["series_instance_uid"].to_numpy(str), rows["position_mm"].to_numpy())
    histogram = one + 2 * rng.standard_normal(one.shape)
    floors = {
        "prevalence": prevalence_floor(truth[training], int(held_out.sum())),
        "position": position_floor(position[training], truth[training], position[held_out]),
        "histogram": _sigmoid(histogram[held_out]),
    }
    there = (rows["split"] == "validation").to_numpy()
    return EvaluationInput(
        **_part(rows, truth, one, two, held_out), floors=floors, validation=_validation(rows, truth, one, two, there)
    )


def _validation(
    rows: "pd.DataFrame", truth: np.ndarray, one: np.ndarray, two: np.ndarray, there: np.ndarray
) -> "ValidationScores":
    from ich_seq.evaluation.data import ValidationScores

    return ValidationScores(**_part(rows, truth, one, two, there))


def _part(
    rows: "pd.DataFrame", truth: np.ndarray, one: np.ndarray, two: np.ndarray, which: np.ndarray
) -> dict[str, Any]:
    return {
        "patient_ids": rows["patient_id"][which].to_numpy(str),
        "scan_ids": rows["series_instance_uid"][which].to_numpy(str),
        "labels": truth[which],
        "stage_one": _sigmoid(one[which]),
        "stage_two": _sigmoid(two[which]),
    }


def _stage_one(work: Path) -> "pd.DataFrame":
    """Logits by SOPInstanceUID."""
    import pandas as pd

    from ich_seq.embeddings.cache import open_cache
    from ich_seq.embeddings.reduced import read_reduced

    series = list(read_reduced(open_cache(work / "features", EXTRACTOR)))
    names = [uid for each in series for uid in each.sop_instance_uids]
    return pd.DataFrame(np.concatenate([each.logits for each in series]), index=names)


def _sigmoid(logit: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-logit))


def _split_table(work: Path) -> "pd.DataFrame":
    from ich_seq.manifest.table import read_table

    return read_table(work / "split.parquet")


STEPS = {
    "table": Step("the table: read and validated, split, leak check", table),
    "labels": Step("Kaggle's file of labels, training part", labels),
    "cache_index": Step("index of the embedding cache", cache_index),
    "pca": Step("PCA on 32,000 training slices", pca),
    "reduce": Step("all embeddings through the PCA", reduce),
    "lstm": Step("stage two, one epoch of `burduja2020`, one scan a step", lstm),
    "lstm_recommended": Step("stage two, one epoch of `recommended`, 16 scans a step", lstm_recommended),
    "evaluate": Step("evaluation of the held-out patients, 1,000 rounds", evaluation),
    "pca_all": Step("PCA on all training slices", pca_all),
    "evaluate_all": Step("evaluation of as many slices as the training part has, 1,000 rounds", evaluation_all),
}
"""Every step in the order in which they depend on each other."""


if __name__ == "__main__":
    name, folder, scans = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    write_json(folder / f"{name}.json", {"said": STEPS[name].run(folder, scans)})
