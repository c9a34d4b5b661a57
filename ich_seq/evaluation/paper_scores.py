"""What the rows of the papers' table say of the slices that all of them have scored, corrected and measured on shared resamples."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float64

from ich_seq.errors import DatasetError
from ich_seq.evaluation.bootstrap import ROUNDS, PatientBootstrap, Statistic
from ich_seq.evaluation.comparison import STAGES
from ich_seq.evaluation.correction import fit_correction
from ich_seq.evaluation.finished_rows import FinishedRow
from ich_seq.labels import ANY_INDEX, LABEL_NAMES
from ich_seq.metrics import combine_labels, cross_entropy


@dataclass(frozen=True)
class Scores:
    """One system's corrected probabilities of the shared slices, and its statistics on the shared resamples."""

    held_out: Float64[np.ndarray, "n 6"]
    validation: Float64[np.ndarray, "v 6"]
    auc: Statistic
    loss: Statistic


@dataclass(frozen=True)
class Cohort:
    """The slices that every row scored: held-out and validation truth, and the resamples."""

    held_out: pd.DataFrame
    validation: pd.DataFrame
    draws: PatientBootstrap

    @property
    def truth(self) -> np.ndarray:
        """Labels of the held-out slices [n, 6]."""
        return self.held_out[list(LABEL_NAMES)].to_numpy(np.int64)

    @property
    def validation_truth(self) -> np.ndarray:
        """Labels of the validation slices [v, 6]."""
        return self.validation[list(LABEL_NAMES)].to_numpy(np.int64)


def shared_cohort(rows: Sequence[FinishedRow], rounds: int = ROUNDS, seed: int = 0) -> Cohort:
    """The slices that all rows have scored.

    Raises:
        DatasetError: two rows rest on another truth, or share no slice.
    """
    held_out = _shared([row.entry.scores for row in rows])
    return Cohort(
        held_out,
        _shared([row.validation for row in rows]),
        PatientBootstrap(held_out["patient"].to_numpy(), rounds, seed),
    )


def score(cohort: Cohort, held_out: np.ndarray, validation: np.ndarray) -> Scores:
    """A system's probabilities of the cohort's slices, corrected on its validation slices, and measured."""
    correction = fit_correction(cohort.validation_truth, validation)
    corrected = correction.apply(held_out)
    return Scores(corrected, correction.apply(validation), *_measured(cohort, corrected))


def scores_of(cohort: Cohort, row: FinishedRow, stage: str) -> Scores:
    """One stage of a row on the cohort."""
    held_out = probabilities(row.entry.scores, cohort.held_out, stage)
    return score(cohort, held_out, probabilities(row.validation, cohort.validation, stage))


def floor_loss(cohort: Cohort, prevalence: Float64[np.ndarray, " 6"]) -> Statistic:
    """Weighted log loss of the training patients' prevalence, said of every slice."""
    return _measured(cohort, np.tile(prevalence, (len(cohort.truth), 1)))[1]


def probabilities(scores: pd.DataFrame, slices: pd.DataFrame, stage: str) -> np.ndarray:
    """A stage's probabilities [n, 6] of some slices, in their order."""
    columns = [f"{STAGES[stage]}_{name}" for name in LABEL_NAMES]
    return scores.set_index("sop_instance_uid").loc[slices["sop_instance_uid"], columns].to_numpy(np.float64)


def _shared(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    named = ["sop_instance_uid", "series_instance_uid", *LABEL_NAMES]
    common = tables[0][[*named, "patient"]]
    for table in tables[1:]:
        common = common[common["sop_instance_uid"].isin(table["sop_instance_uid"])]
        theirs = table[table["sop_instance_uid"].isin(common["sop_instance_uid"])]
        if not (common[named].to_numpy() == theirs[named].to_numpy()).all():
            raise DatasetError("two rows of the table have other labels for a slice; make the table in another --out")
    if common.empty:
        raise DatasetError("the rows of the table share no slice; make the table in another --out")
    return common.reset_index(drop=True)


def _measured(cohort: Cohort, prob: np.ndarray) -> tuple[Statistic, Statistic]:
    truth = cohort.truth
    loss = cohort.draws.mean(combine_labels(cross_entropy(truth, prob)))
    return cohort.draws.auc(truth[:, ANY_INDEX], prob[:, ANY_INDEX]), loss
