"""A bundle on any table: another dataset, another hospital, with the thresholds and the calibration that it ships."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ich_seq.errors import DatasetError
from ich_seq.evaluation.data import EvaluationInput
from ich_seq.evaluation.held_out import data_columns, prob_of, text_of
from ich_seq.evaluation.overlap import Scope
from ich_seq.evaluation.result import About, Evaluation
from ich_seq.evaluation.scoring import ScoreStore, score_table
from ich_seq.evaluation.whole import evaluate_whole
from ich_seq.labels import LABEL_NAMES
from ich_seq.manifest.table import PER_SCAN
from ich_seq.model.ensemble import ModelInfo
from ich_seq.slices.tiles import UNREADABLE_LIMIT
from ich_seq.study.model import StudyModel


@dataclass(frozen=True)
class ScoredTable:
    """One row per slice that could be read, with `one_<label>` and `two_<label>`, and the faults of those that could not."""

    scores: pd.DataFrame
    unreadable: list[str]


def score_rows(
    model: StudyModel,
    rows: pd.DataFrame,
    root: Path,
    store: ScoreStore,
    on_series: Callable[[int, int], None] = lambda done, total: None,
) -> ScoredTable:
    """Both stages on every series of the rows.

    Raises:
        DatasetError: more than 1 % of the slices cannot be read.
        OutputError: the store cannot be written.
    """
    parts, unreadable = [], []
    columns = data_columns(rows)
    for series, found in score_table(model, rows, root, store, on_series):
        scored = series[columns].reset_index(drop=True)
        for stage, prob in (("one", found.stage_one), ("two", found.stage_two)):
            scored[[f"{stage}_{name}" for name in LABEL_NAMES]] = prob
        parts.append(scored)
        unreadable += found.unreadable
        if len(unreadable) > max(1, UNREADABLE_LIMIT * len(rows)):
            raise DatasetError(
                f"{len(unreadable)} of {len(rows)} slices cannot be read, more than {UNREADABLE_LIMIT:.0%}; the first: {unreadable[0]}"
            )
    scores = pd.concat(parts, ignore_index=True)
    return ScoredTable(scores[scores["two_any"].notna()].reset_index(drop=True), unreadable)


def evaluate_scored(
    info: ModelInfo, scope: Scope, scored: ScoredTable, seed: int = 0
) -> tuple[Evaluation, EvaluationInput]:
    """The evaluation of a scored table, and what it rests on. Where a label is of a whole scan, nothing is counted by slice."""
    scores = scored.scores
    data = EvaluationInput(
        patient_ids=text_of(scores["patient_id"]),
        scan_ids=text_of(scores["series_instance_uid"]),
        labels=scores[list(LABEL_NAMES)].to_numpy(np.int64),
        stage_one=prob_of(scores, "one"),
        stage_two=prob_of(scores, "two"),
        calibration=info.calibration,
        thresholds=info.thresholds,
        whole_scans=bool((scope.rows["labelled"] == PER_SCAN).any()),
    )
    about = About(
        model=info.name,
        model_digest=info.digest(),
        dataset=str(scope.rows["dataset"].iloc[0]),
        measured_on=scope.measured_on,
        external=scope.external,
        training_patients=scope.training_patients,
        unreadable=len(scored.unreadable),
    )
    return evaluate_whole(data, scores, about, seed), data
