"""A run's both stages, and the floors, on its held-out patients."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float32

from ich_seq.embeddings.extract import open_current_cache
from ich_seq.embeddings.reduced import read_reduced
from ich_seq.embeddings.stage import TRAINING_SPLITS
from ich_seq.errors import DatasetError, PixelsUnreadableError
from ich_seq.evaluation.data import EvaluationInput, ValidationScores
from ich_seq.evaluation.floors import FloorData, fit_floors, hu_histogram, relative_position
from ich_seq.evaluation.result import About, Evaluation
from ich_seq.evaluation.whole import evaluate_whole
from ich_seq.labels import LABEL_NAMES
from ich_seq.manifest.table import OPTIONAL_COLUMNS, slice_places
from ich_seq.model.bundle import BundleInfo, read_info
from ich_seq.nifti import read_stored_slice
from ich_seq.sequence.dataset import Scan, label_scans
from ich_seq.sequence.train import load_lstm, refine
from ich_seq.slices.tiles import UNREADABLE_LIMIT
from ich_seq.slices.train import load_cnn
from ich_seq.training.run import Run

HELD_OUT, VALIDATION = "test", "validation"
FLOOR_SLICES = 20_000
"""So many training slices teach the floors at most: their images are read anew, and RSNA's would be 395 GB."""
_HELD_OUT_PATIENTS = "Held-out patients of the run: split test, on whom nothing was fitted or chosen."
_LEAKING = "NOT HELD OUT: the split is by series, and some patients are on both sides."
_KEPT = (
    *("patient_id", "series_instance_uid", "sop_instance_uid", "path", "slice_index", "position_mm", *LABEL_NAMES),
    *("row_spacing_mm", "column_spacing_mm", "slice_thickness_mm", "bits_stored", "pixel_representation"),
    *OPTIONAL_COLUMNS,
)


def split_scores(run: Run, table: pd.DataFrame, split: str = HELD_OUT) -> pd.DataFrame:
    """One row per slice of a split: its identifiers, its labels, and `one_<label>` and `two_<label>`, the stages' probabilities.

    Raises:
        DatasetError: a stage is not trained, or nobody is in the split.
        CacheError: the embedding cache is missing, damaged or of other weights.
    """
    cache = open_current_cache(run.features, load_cnn(run.config, run.stage_one))
    held_out = table[table["split"] == split]
    scans = label_scans(read_reduced(cache), held_out)
    if not scans:
        raise DatasetError(f"no slices in the split `{split}`; raise split.{split} in the config")
    lstm = load_lstm(run.config, run.stage_two)
    return pd.concat([_scan_rows(scan, refine(lstm, scan).numpy()) for scan in scans.values()]).merge(
        held_out[data_columns(held_out)], on=["series_instance_uid", "sop_instance_uid"], validate="one_to_one"
    )


def validation_scores(run: Run, table: pd.DataFrame) -> ValidationScores:
    """Truth and both stages' probabilities of the slices of the validation patients.

    Raises:
        DatasetError, CacheError: as `split_scores`.
    """
    scores = split_scores(run, table, VALIDATION)
    return ValidationScores(
        patient_ids=text_of(scores["patient_id"]),
        scan_ids=text_of(scores["series_instance_uid"]),
        labels=scores[list(LABEL_NAMES)].to_numpy(np.int64),
        stage_one=prob_of(scores, "one"),
        stage_two=prob_of(scores, "two"),
    )


def held_out_input(
    run: Run, table: pd.DataFrame, root: Path, on_slice: Callable[[int, int], None] = lambda done, total: None
) -> tuple[EvaluationInput, pd.DataFrame]:
    """Truth, both stages and the floors on the held-out slices, and the scores as a table.

    The floors are fitted on the run's training patients, without the slices that cannot be read: on all, or on FLOOR_SLICES of them.

    Raises:
        DatasetError, CacheError: as `split_scores`; or more than 1 % of the training slices cannot be read, or a held-out slice
            that could be when embeddings were extracted.
    """
    scores, chosen_on = split_scores(run, table), validation_scores(run, table)
    info = _bundle_info(run)
    training = floor_rows(table[table["split"].isin(TRAINING_SPLITS)], FLOOR_SLICES, run.config.seed)
    both = pd.concat([training, scores], ignore_index=True)
    histogram, readable = _histograms(slice_places(both, root), on_slice)
    held_out = np.arange(len(both)) >= len(training)
    _refuse_lost(both[~readable], held_out[~readable], len(training))
    taught = readable & ~held_out
    train, test = _floor_data(both[taught], histogram[taught]), _floor_data(both[held_out], histogram[held_out])
    data = EvaluationInput(
        patient_ids=test.patient_ids,
        scan_ids=text_of(scores["series_instance_uid"]),
        labels=test.labels,
        stage_one=prob_of(scores, "one"),
        stage_two=prob_of(scores, "two"),
        floors=fit_floors(train, test, run.config.seed),
        validation=chosen_on,
        calibration=None if info is None else info.calibration,
    )
    return data, scores


def floor_rows(training: pd.DataFrame, slices: int, seed: int) -> pd.DataFrame:
    """The rows of whole series in a seeded random order until they are so many slices, or all; in the order of the table."""
    series = np.random.default_rng(seed).permutation(sorted(training["series_instance_uid"].unique()))
    before = training["series_instance_uid"].value_counts()[series].cumsum().shift(fill_value=0)
    return training[training["series_instance_uid"].isin(before.index[before < slices])]


def evaluate_run(
    run: Run, table: pd.DataFrame, root: Path, on_slice: Callable[[int, int], None] = lambda done, total: None
) -> tuple[Evaluation, EvaluationInput, pd.DataFrame]:
    """The evaluation of a run on its held-out patients, what it rests on, and the scores as a table.

    Raises:
        DatasetError, CacheError: as `held_out_input`.
    """
    data, scores = held_out_input(run, table, root, on_slice)
    info, leaks = _bundle_info(run), run.config.split.first_series > 0
    about = About(
        model=run.config.name,
        model_digest=None if info is None else info.digest(),
        dataset=str(table["dataset"].iloc[0]),
        measured_on=_LEAKING if leaks else _HELD_OUT_PATIENTS,
        external=False,
        training_patients=leaks,
    )
    return evaluate_whole(data, scores, about, run.config.seed), data, scores


def _bundle_info(run: Run) -> BundleInfo | None:
    """The run's model; None before there is one."""
    return read_info(run.model) if (run.model / "model.json").exists() else None


def _scan_rows(scan: Scan, refined: Float32[np.ndarray, "s l"]) -> pd.DataFrame:
    rows = pd.DataFrame({"series_instance_uid": scan.series_instance_uid, "sop_instance_uid": scan.sop_instance_uids})
    for index, name in enumerate(LABEL_NAMES):
        rows[f"one_{name}"], rows[f"two_{name}"] = scan.prob[:, index].numpy(), refined[:, index]
    return rows


def data_columns(table: pd.DataFrame) -> list[str]:
    """The columns of a table of slices that an evaluation keeps beside the scores: those of _KEPT that it has."""
    return [name for name in _KEPT if name in table]


def prob_of(scores: pd.DataFrame, stage: str) -> np.ndarray:
    """The probabilities of stage `one` or `two`, in the order of LABEL_NAMES."""
    return scores[[f"{stage}_{name}" for name in LABEL_NAMES]].to_numpy(np.float64)


def text_of(column: pd.Series) -> np.ndarray:
    """A column of identifiers as an array of text."""
    return np.asarray(column.astype(str).tolist())


def _floor_data(rows: pd.DataFrame, histogram: Float32[np.ndarray, "n bins"]) -> FloorData:
    position = relative_position(text_of(rows["series_instance_uid"]), rows["position_mm"].to_numpy(np.float64))
    labels = rows[list(LABEL_NAMES)].to_numpy(np.int64)
    return FloorData(text_of(rows["patient_id"]), position, histogram, labels)


def _refuse_lost(lost: pd.DataFrame, held_out: np.ndarray, training: int) -> None:
    if held_out.any():
        raise DatasetError(f"{lost['path'][held_out].iloc[0]}: cannot be read any more; its scores are in the cache")
    if len(lost) > UNREADABLE_LIMIT * training:
        raise DatasetError(
            f"{len(lost)} of {training} training slices cannot be read, more than {UNREADABLE_LIMIT:.0%}; "
            f"the first: {lost['path'].iloc[0]}"
        )


def _histograms(
    places: list[tuple[Path, int]], on_slice: Callable[[int, int], None]
) -> tuple[Float32[np.ndarray, "n bins"], np.ndarray]:
    """A histogram for each slice, and whether the slice could be read; zeros where it could not."""
    rows: list[Float32[np.ndarray, " bins"] | None] = []
    with ThreadPoolExecutor(max_workers=2) as pool:
        for done, row in enumerate(pool.map(_histogram, places), start=1):
            rows.append(row)
            on_slice(done, len(places))
    readable = np.array([row is not None for row in rows])
    empty = np.zeros(len(next(row for row in rows if row is not None)), np.float32) if readable.any() else np.zeros(0)
    return np.stack([empty if row is None else row for row in rows]), readable


def _histogram(place: tuple[Path, int]) -> Float32[np.ndarray, " bins"] | None:
    try:
        return hu_histogram(read_stored_slice(*place))
    except PixelsUnreadableError:
        return None
