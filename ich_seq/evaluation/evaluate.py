"""Both stages and the floors on held-out patients: figures per slice and per scan, each with its interval.

A scan's probability is the maximum over its slices, per label, and so is its truth; so for every system.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float, Integer, Shaped
from pydantic import BaseModel, ConfigDict

from ich_seq.evaluation.bootstrap import CONFIDENCE, ROUNDS, Estimate, PatientBootstrap, Statistic
from ich_seq.labels import LABEL_NAMES
from ich_seq.metrics import combine_labels, cross_entropy

STAGE_ONE, STAGE_TWO = "stage one", "stage two"

Probs = Float[np.ndarray, "n 6"]


@dataclass(frozen=True, slots=True)
class EvaluationInput:
    """Slices of held-out patients in any order, with the truth and what each system says of them.

    `scan_ids` is one name per scan (SeriesInstanceUID); columns of labels and probabilities are in the order
    of LABEL_NAMES; `floors` maps a floor's name to its probabilities, in the order in which to show them.
    """

    patient_ids: Shaped[np.ndarray, " n"]
    scan_ids: Shaped[np.ndarray, " n"]
    labels: Bool[np.ndarray, "n 6"] | Integer[np.ndarray, "n 6"]
    stage_one: Probs
    stage_two: Probs
    floors: Mapping[str, Probs] = field(default_factory=dict)


class _Result(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class LabelScore(_Result):
    """One system on one label."""

    label: str
    """Name as in RSNA's files."""
    auc: Estimate
    """Area under the ROC curve; null with one class only."""
    log_loss: Estimate
    """Mean cross-entropy in nats."""


class SystemScore(_Result):
    """One system: a floor, stage one or stage two."""

    system: str
    """`stage one`, `stage two`, or the floor's name."""
    weighted_log_loss: Estimate
    """The competition's metric in nats: `any` weighs 2, the subtypes 1, divided by 7; lower is better."""
    labels: tuple[LabelScore, ...]
    """In the order of RSNA's files."""


class LabelGain(_Result):
    """What stage two adds to stage one on one label, with paired intervals; positive is better in both."""

    label: str
    """Name as in RSNA's files."""
    auc: Estimate
    """AUC of stage two minus AUC of stage one."""
    log_loss: Estimate
    """Log loss of stage one minus log loss of stage two, in nats."""


class LabelCount(_Result):
    """How much truth there is for one label."""

    label: str
    """Name as in RSNA's files."""
    positives: int
    """Positive slices, or positive scans."""
    positive_patients: int
    """Patients with one at least."""


class LevelEvaluation(_Result):
    """All systems, counted by slice or by scan."""

    level: str
    """`slice` or `scan`."""
    count: int
    """Slices or scans."""
    counts: tuple[LabelCount, ...]
    """Truth per label."""
    systems: tuple[SystemScore, ...]
    """Floors first, then stage one, then stage two."""
    gains: tuple[LabelGain, ...]
    """Stage two against stage one, per label."""
    weighted_log_loss_gain: Estimate
    """Weighted log loss of stage one minus that of stage two, in nats; positive is better."""


class Evaluation(_Result):
    """What held-out patients say of both stages; what is undefined is null with a reason."""

    schema_version: str = "1.0"
    """Within a major version fields are only added."""
    patients: int
    """Held-out patients, the unit that is resampled."""
    confidence: float = CONFIDENCE
    """Coverage that the intervals aim at."""
    rounds: int
    """Resamples of the patients."""
    seed: int
    """Decides the resamples."""
    by_slice: LevelEvaluation
    """Counted by slice."""
    by_scan: LevelEvaluation
    """Counted by scan: the maximum over slices."""


@dataclass(frozen=True, slots=True)
class _Measured:
    """One system's statistics: AUC and log loss per label, and the weighted log loss."""

    aucs: list[Statistic]
    losses: list[Statistic]
    weighted: Statistic


def evaluate(data: EvaluationInput, rounds: int = ROUNDS, seed: int = 0) -> Evaluation:
    """AUC, log loss and the gain of stage two over stage one at slice and scan level, with 95 % intervals.

    Raises:
        ValueError: lengths differ, a label is not 0 or 1, a probability lies outside [0, 1], a floor bears a
            stage's name, or a scan has two patients.
    """
    _check(data)
    per_scan = _maximum_over_slices(data)
    return Evaluation(
        patients=len(np.unique(data.patient_ids)),
        rounds=rounds,
        seed=seed,
        by_slice=_level("slice", data, PatientBootstrap(data.patient_ids, rounds, seed)),
        by_scan=_level("scan", per_scan, PatientBootstrap(per_scan.patient_ids, rounds, seed)),
    )


def _check(data: EvaluationInput) -> None:
    arrays = {"scan_ids": data.scan_ids, "labels": data.labels, **_systems(data)}
    for name, array in arrays.items():
        if len(array) != len(data.patient_ids):
            raise ValueError(f"{name} has {len(array)} rows for {len(data.patient_ids)} slices")
    if clash := {STAGE_ONE, STAGE_TWO} & data.floors.keys():
        raise ValueError(f"a floor must not be called {sorted(clash)[0]!r}")
    patients_of_scans = {*zip(data.scan_ids.tolist(), data.patient_ids.tolist(), strict=True)}
    if len(patients_of_scans) != len(np.unique(data.scan_ids)):
        raise ValueError("a scan in scan_ids has slices of two patients")


def _systems(data: EvaluationInput) -> dict[str, np.ndarray]:
    return {**data.floors, STAGE_ONE: data.stage_one, STAGE_TWO: data.stage_two}


def _maximum_over_slices(data: EvaluationInput) -> EvaluationInput:
    """One row per scan."""
    order = np.argsort(data.scan_ids, kind="stable")
    names, starts = np.unique(data.scan_ids[order], return_index=True)

    def maximum(values: np.ndarray) -> np.ndarray:
        return np.maximum.reduceat(values[order], starts, axis=0)

    return EvaluationInput(
        patient_ids=data.patient_ids[order][starts],
        scan_ids=names,
        labels=maximum(data.labels),
        stage_one=maximum(data.stage_one),
        stage_two=maximum(data.stage_two),
        floors={name: maximum(probs) for name, probs in data.floors.items()},
    )


def _level(level: str, data: EvaluationInput, bootstrap: PatientBootstrap) -> LevelEvaluation:
    measured = {name: _measure(data.labels, probs, bootstrap) for name, probs in _systems(data).items()}
    reasons = [_one_class(level, truth) for truth in data.labels.T]
    one, two = measured[STAGE_ONE], measured[STAGE_TWO]
    gains = (
        LabelGain(
            label=label,
            auc=(two.aucs[k] - one.aucs[k]).estimate(reasons[k]),
            log_loss=(one.losses[k] - two.losses[k]).estimate(),
        )
        for k, label in enumerate(LABEL_NAMES)
    )
    return LevelEvaluation(
        level=level,
        count=len(data.labels),
        counts=_counts(data),
        systems=tuple(_score(name, each, reasons) for name, each in measured.items()),
        gains=tuple(gains),
        weighted_log_loss_gain=(one.weighted - two.weighted).estimate(),
    )


def _measure(labels: np.ndarray, probs: np.ndarray, bootstrap: PatientBootstrap) -> _Measured:
    losses = cross_entropy(labels, probs)
    return _Measured(
        aucs=[bootstrap.auc(truth, prob) for truth, prob in zip(labels.T, probs.T, strict=True)],
        losses=[bootstrap.mean(loss) for loss in losses.T],
        weighted=bootstrap.mean(combine_labels(losses)),
    )


def _score(name: str, measured: _Measured, reasons: list[str]) -> SystemScore:
    labels = (
        LabelScore(label=label, auc=measured.aucs[k].estimate(reasons[k]), log_loss=measured.losses[k].estimate())
        for k, label in enumerate(LABEL_NAMES)
    )
    return SystemScore(system=name, weighted_log_loss=measured.weighted.estimate(), labels=tuple(labels))


def _counts(data: EvaluationInput) -> tuple[LabelCount, ...]:
    return tuple(
        LabelCount(
            label=label,
            positives=int(truth.sum()),
            positive_patients=len(np.unique(data.patient_ids[truth.astype(bool)])),
        )
        for label, truth in zip(LABEL_NAMES, data.labels.T, strict=True)
    )


def _one_class(level: str, truth: np.ndarray) -> str:
    """Why an AUC would be undefined."""
    return f"every {level} is positive" if truth.all() else f"no {level} is positive"
