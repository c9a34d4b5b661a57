"""Several evaluations side by side: each system's figures, what it costs, and its paired difference from the first one.

Figures stand as each evaluation has them. Differences are taken only where all were measured on the same slices of the same patients,
on the same resamples; elsewhere there are none, and the comparison says so.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, ValidationError

from ich_seq.config import load_config, shipped_configs
from ich_seq.distrust import MOST_JSON, DamagedError, read_own, strict_object
from ich_seq.errors import DatasetError, UsageError
from ich_seq.evaluation.bootstrap import ROUNDS, Estimate, PatientBootstrap, Statistic
from ich_seq.evaluation.data import STAGE_ONE, STAGE_TWO
from ich_seq.evaluation.floors import PREVALENCE
from ich_seq.evaluation.operating import BALANCED, OperatingPoint
from ich_seq.evaluation.published import DATASET
from ich_seq.evaluation.result import Evaluation, LevelEvaluation, SystemScore
from ich_seq.evaluation.run_cost import Cost, cost_of
from ich_seq.labels import ANY, ANY_INDEX, LABEL_NAMES
from ich_seq.metrics import combine_labels, cross_entropy
from ich_seq.training.run import open_run

STAGES = {STAGE_ONE: "one", STAGE_TWO: "two"}
_START = {"none": "random", "imagenet": "ImageNet"}
_FIGURES, _SCORES = "evaluation.json", "scores.csv"
_NAMED = ("patient", "series_instance_uid", "sop_instance_uid")


class _Result(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class ComparedSystem(_Result):
    """One stage of one entry."""

    entry: str
    """Name of the entry."""
    system: str
    """`stage one` or `stage two`."""
    learnt: bool | None
    """Whether its weighted log loss is below the prevalence floor's, the whole interval; null without a floor."""
    weighted_log_loss: Estimate
    """The competition's metric, in nats."""
    auc: tuple[Estimate, ...]
    """By label, in the order of RSNA's files."""
    point: OperatingPoint | None
    """Of any haemorrhage at the balanced threshold, where there is one."""
    auc_difference: Estimate | None
    """AUC of any haemorrhage minus that of the first entry's same stage, paired; null for the first, or where slices differ."""
    loss_difference: Estimate | None
    """Weighted log loss of the first entry's same stage minus this one's, paired; positive is better."""


class Comparison(_Result):
    """Entries side by side."""

    level: str
    """`slice`, or `scan` where labels are of whole scans."""
    same_slices: bool
    """Whether all rest on the same slices of the same patients."""
    counts: dict[str, str]
    """Of each entry, what it was measured on."""
    systems: tuple[ComparedSystem, ...]
    """Stage one and two of each entry, in the order asked for."""
    costs: dict[str, Cost]
    """By entry."""
    experiments: dict[str, str]
    """Of each entry, the name of its config or model, by which published figures are found."""
    unlike_print: dict[str, str]
    """Of each entry, what it differs in from what is printed of RSNA 2019: data, size, start; empty if nothing."""


@dataclass(frozen=True)
class Entry:
    """An evaluation that was read: `name` is unique in a comparison; `scores` has a row a slice, by SOPInstanceUID."""

    name: str
    folder: Path
    evaluation: Evaluation
    scores: pd.DataFrame
    cost: Cost
    unlike_print: str = ""


def read_entry(folder: Path) -> Entry:
    """A run that was evaluated, or the folder that `ichseq evaluate --model` wrote.

    Raises:
        UsageError: there is no evaluation.
        DatasetError: it is damaged, or of a version without what is needed.
    """
    own = folder / "evaluation" if (folder / "evaluation").is_dir() else folder
    if not (own / _FIGURES).is_file():
        raise UsageError(
            f"{folder}: no {_FIGURES} here; give a run that `ichseq evaluate --run` measured, "
            "or the --out of `ichseq evaluate --model`"
        )
    again = "run `ichseq evaluate` again"
    try:
        evaluation = Evaluation.model_validate(strict_object(read_own(own / _FIGURES, MOST_JSON)))
    except (DamagedError, ValidationError) as error:
        raise DatasetError(f"{own / _FIGURES}: not an evaluation of this version; {again}") from error
    return Entry(
        name=folder.name,
        folder=folder,
        evaluation=evaluation,
        scores=read_scores(own / _SCORES, again),
        cost=cost_of(folder),
        unlike_print=_unlike_print(folder, evaluation),
    )


def compare(entries: Sequence[Entry], rounds: int = ROUNDS, seed: int = 0) -> Comparison:
    """The entries side by side, the first as reference.

    Raises:
        UsageError: fewer than two entries.
        DatasetError: labels of slices and of whole scans are mixed.
    """
    if len(entries) < 2:
        raise UsageError("a comparison needs two runs or evaluations at least")
    levels = [_level(entry.evaluation) for entry in entries]
    if len({level.level for level in levels}) > 1:
        raise DatasetError("some are measured by slice and others by whole scan; compare those of one kind")
    tables = [entry.scores if levels[0].level == "slice" else _scans(entry.scores) for entry in entries]
    names = _unique([entry.name for entry in entries])
    same = all(_same(tables[0], table) for table in tables[1:])
    draws = PatientBootstrap(tables[0]["patient"].to_numpy(), rounds, seed) if same else None
    measured = [{stage: _paired(table, key, draws) for stage, key in STAGES.items()} for table in tables]
    systems = [
        _system(name, level, stage, measured[0][stage] if place else None, own[stage])
        for place, (name, level, own) in enumerate(zip(names, levels, measured, strict=True))
        for stage in STAGES
    ]
    return Comparison(
        level=levels[0].level,
        same_slices=same,
        counts={
            name: f"{level.count:,} {level.level}s of {entry.evaluation.patients:,} patients"
            for name, level, entry in zip(names, levels, entries, strict=True)
        },
        systems=tuple(systems),
        costs={name: entry.cost for name, entry in zip(names, entries, strict=True)},
        experiments={
            name: entry.evaluation.about.model if entry.evaluation.about else ""
            for name, entry in zip(names, entries, strict=True)
        },
        unlike_print={name: entry.unlike_print for name, entry in zip(names, entries, strict=True)},
    )


def _system(
    name: str, level: LevelEvaluation, stage: str, reference: "_Paired | None", own: "_Paired | None"
) -> ComparedSystem:
    score = _of(level, stage)
    floor = next((each for each in level.systems if each.system == PREVALENCE), None)
    points = (
        each for each in level.operating_points if (each.system, each.label, each.rule) == (stage, ANY.name, BALANCED)
    )
    both = None if reference is None or own is None else (own.auc - reference.auc, reference.loss - own.loss)
    return ComparedSystem(
        entry=name,
        system=stage,
        learnt=None if floor is None else _below(score.weighted_log_loss, floor.weighted_log_loss),
        weighted_log_loss=score.weighted_log_loss,
        auc=tuple(label.auc for label in score.labels),
        point=next(points, None),
        auc_difference=None if both is None else both[0].estimate(),
        loss_difference=None if both is None else both[1].estimate(),
    )


def _below(loss: Estimate, floor: Estimate) -> bool:
    highest = loss.value if loss.high is None else loss.high
    return highest is not None and floor.value is not None and highest < floor.value


@dataclass(frozen=True)
class _Paired:
    auc: Statistic
    loss: Statistic


def _paired(table: pd.DataFrame, stage: str, draws: PatientBootstrap | None) -> _Paired | None:
    if draws is None:
        return None
    truth = table[list(LABEL_NAMES)].to_numpy(np.int64)
    prob = table[[f"{stage}_{name}" for name in LABEL_NAMES]].to_numpy(np.float64)
    loss = combine_labels(cross_entropy(truth, prob))
    return _Paired(draws.auc(truth[:, ANY_INDEX], prob[:, ANY_INDEX]), draws.mean(loss))


def _level(evaluation: Evaluation) -> LevelEvaluation:
    return evaluation.by_scan if evaluation.by_slice is None else evaluation.by_slice


def _of(level: LevelEvaluation, stage: str) -> SystemScore:
    return next(each for each in level.systems if each.system == stage)


def _scans(scores: pd.DataFrame) -> pd.DataFrame:
    """A scan's truth and scores are the maxima over its slices."""
    return scores.groupby("series_instance_uid", as_index=False).max()


def _same(one: pd.DataFrame, other: pd.DataFrame) -> bool:
    """Whether two tables hold the same slices with the same truth, grouped alike by patient."""
    columns = ["sop_instance_uid", "patient", *LABEL_NAMES]
    return len(one) == len(other) and bool((one[columns].to_numpy() == other[columns].to_numpy()).all())


def read_scores(path: Path, again: str) -> pd.DataFrame:
    """The scores that an evaluation wrote, a row a slice in order of SOPInstanceUID; `again` says how to make them anew.

    Raises:
        DatasetError: missing, damaged, or of a version without what is needed.
    """
    wanted = [*_NAMED, *LABEL_NAMES, *(f"{stage}_{name}" for stage in STAGES.values() for name in LABEL_NAMES)]
    try:
        table = pd.read_csv(path, dtype={"series_instance_uid": str, "sop_instance_uid": str})
    except FileNotFoundError:
        raise DatasetError(f"{path}: missing; {again}") from None
    except (ValueError, OSError) as error:
        raise DatasetError(f"{path}: not readable as a table ({error}); {again}") from error
    if missing := [name for name in wanted if name not in table]:
        raise DatasetError(f"{path}: has no column {missing[0]}; {again}")
    try:
        numbers = table[wanted[len(_NAMED) :]].to_numpy(np.float64)
    except ValueError:
        numbers = np.array([np.nan])
    if not len(table) or not ((numbers >= 0) & (numbers <= 1)).all():  # nan is neither
        raise DatasetError(f"{path}: a label or a probability is no number from 0 to 1; {again}")
    return table[wanted].sort_values("sop_instance_uid", ignore_index=True)


def _unlike_print(folder: Path, evaluation: Evaluation) -> str:
    """What an entry differs in from the paper whose config it bears, in words."""
    dataset = evaluation.about.dataset if evaluation.about else DATASET
    parts = [] if dataset == DATASET else [f"on {dataset}, not RSNA 2019"]
    if (folder / "config.json").is_file():
        own = open_run(folder).config
        paper = load_config(own.name) if own.name in shipped_configs() else own
        if own.preprocess.size != paper.preprocess.size:
            parts.append(f"at {own.preprocess.size} px, not {paper.preprocess.size}")
        if own.cnn.weights != paper.cnn.weights:
            parts.append(f"from {_START.get(own.cnn.weights, 'other')} weights")
        if own.train_cnn.steps_per_epoch and own.train_cnn.steps_per_epoch != paper.train_cnn.steps_per_epoch:
            parts.append("with other slice visits")
    return ", ".join(parts)


def _unique(names: Sequence[str]) -> list[str]:
    """A number behind names that occur more than once."""
    return [
        name if names.count(name) == 1 else f"{name} ({names[: place + 1].count(name)})"
        for place, name in enumerate(names)
    ]
