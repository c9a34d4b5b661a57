"""From members' scores on validation patients to the description of their ensemble."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ich_seq import __version__
from ich_seq.combining import Combination, Method, Metric
from ich_seq.config import CalibrationMethod
from ich_seq.evaluation.calibrate import fit_calibration, fit_thresholds
from ich_seq.evaluation.data import ValidationScores, validation_maximum_over
from ich_seq.evaluation.ensembles import Search, choose, search
from ich_seq.evaluation.member_scores import ScoredMembers
from ich_seq.evaluation.operating import Scored, choose_threshold
from ich_seq.evaluation.overlap import Scope
from ich_seq.labels import ANY_INDEX, LABEL_NAMES
from ich_seq.metrics import roc_auc, weighted_log_loss
from ich_seq.model.bundle import TrainedOn
from ich_seq.model.ensemble import EnsembleInfo, SearchFigures
from ich_seq.model.members import Member
from ich_seq.study.ensemble import combined
from ich_seq.thresholds import BALANCED


@dataclass(frozen=True, slots=True)
class Wish:
    """How to combine, on what weights or thresholds are chosen, whether subsets are searched, and how scores are calibrated."""

    method: Method
    metric: Metric | None = None
    level: str = "slice"
    search: bool = False
    calibration: CalibrationMethod = "temperature"
    name: str = "ensemble"


@dataclass(frozen=True, slots=True)
class ChosenOn:
    """The table on which an ensemble is chosen: its digest, and whose rows they are."""

    table_sha256: str
    scope: Scope


@dataclass(frozen=True, slots=True)
class Figures:
    """One model, or the ensemble, by stage two on the validation patients; AUC of any is nan with one class only."""

    name: str
    slice_loss: float
    scan_loss: float
    slice_auc: float
    scan_auc: float


@dataclass(frozen=True, slots=True)
class Made:
    """An ensemble: its description, its members, and what was seen on the way, beside every model that was offered."""

    info: EnsembleInfo
    members: tuple[Member, ...]
    offered: tuple[str, ...]
    figures: tuple[Figures, ...]
    found: Search | None


def make_ensemble(members: Sequence[Member], scored: ScoredMembers, on: ChosenOn, wish: Wish) -> Made:
    """The ensemble of all members, or with a search of the best subset, chosen on the scored validation patients.

    Stage one and stage two have a combination each, by the same method; the search is of stage two. Combinations are of slices in
    any case, a scan's score being the maximum over its slices as of any model: `level` says on what they are chosen.

    Raises:
        ValueError: as `choose` and `search`.
    """
    found = _search(scored, wish)
    kept = tuple(range(len(members))) if found is None else found.subsets[0].members
    one, two = (
        choose(scored.by(wish.level, stage).of(kept), wish.method, wish.metric) for stage in ("stage_one", "stage_two")
    )
    seen = _as_applied(scored, kept, one, two)
    offered = numbered([member.info.name for member in members])
    info = EnsembleInfo(
        name=wish.name,
        ichseq_version=__version__,
        members=tuple(members[place].info.model_copy(update={"exported": None}) for place in kept),
        stage_one=one,
        stage_two=two,
        chosen_on=_chosen_on(scored, on),
        unseen=not on.scope.training_patients,
        validation_loss={
            stage: weighted_log_loss(seen.labels, getattr(seen, stage)) for stage in ("stage_one", "stage_two")
        },
        search=None if found is None else _search_figures(found, offered, wish.level),
        calibration=fit_calibration(seen, wish.calibration),
        thresholds=fit_thresholds(seen),
        slice_thresholds_one=tuple(
            choose_threshold(Scored(seen.labels[:, k], seen.stage_one[:, k]), BALANCED) for k in range(len(LABEL_NAMES))
        ),
    )
    each = [figures_of(name, scored.of(place)) for place, name in enumerate(offered)]
    own = tuple(members[place] for place in kept)
    return Made(info, own, offered, (*each, figures_of("ensemble", seen)), found)


def figures_of(name: str, seen: ValidationScores) -> Figures:
    """One system's figures by stage two."""
    scans = validation_maximum_over(seen, "scan_ids")
    slice_auc, scan_auc = (_auc(each) for each in (seen, scans))
    slice_loss, scan_loss = (weighted_log_loss(each.labels, each.stage_two) for each in (seen, scans))
    return Figures(name, slice_loss, scan_loss, slice_auc, scan_auc)


def numbered(names: Sequence[str]) -> tuple[str, ...]:
    """Each name with its number, since models of one config bear one name."""
    return tuple(f"{number} {name}" for number, name in enumerate(names, start=1))


def _search(scored: ScoredMembers, wish: Wish) -> Search | None:
    return search(scored.by(wish.level, "stage_two"), wish.method, wish.metric) if wish.search else None


def _search_figures(found: Search, offered: tuple[str, ...], level: str) -> SearchFigures:
    every = tuple(range(len(offered)))
    of_all = next(subset for subset in found.subsets if subset.members == every)
    return SearchFigures.model_validate(
        {
            "tried": offered,
            "subsets": len(found.subsets),
            "level": level,
            "loss": found.subsets[0].loss,
            "loss_of_all": of_all.loss,
            "loss_elsewhere": None if np.isnan(found.loss_elsewhere) else found.loss_elsewhere,
            "p_value": found.p_value,
            "rounds": found.rounds,
        }
    )


def _as_applied(scored: ScoredMembers, kept: tuple[int, ...], one: Combination, two: Combination) -> ValidationScores:
    """The ensemble's scores of the slices, in the precision in which it will answer."""
    stage_one, stage_two = (
        combined(by, list(prob[list(kept)].astype(np.float32))).astype(np.float64)
        for by, prob in ((one, scored.stage_one), (two, scored.stage_two))
    )
    return ValidationScores(scored.patient_ids, scored.scan_ids, scored.labels, stage_one, stage_two)


def _chosen_on(scored: ScoredMembers, on: ChosenOn) -> TrainedOn:
    rows: pd.DataFrame = on.scope.rows
    return TrainedOn(
        dataset=str(rows["dataset"].iloc[0]),
        description=on.scope.measured_on,
        patients=len(np.unique(scored.patient_ids)),
        scans=len(np.unique(scored.scan_ids)),
        slices=len(scored.labels),
        table_sha256=on.table_sha256,
    )


def _auc(seen: ValidationScores) -> float:
    truth = seen.labels[:, ANY_INDEX].astype(bool)
    return roc_auc(truth, seen.stage_two[:, ANY_INDEX])
