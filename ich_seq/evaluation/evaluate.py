"""Both stages and the floors on held-out patients: figures per slice, scan and patient, each with its interval.

A scan's (a patient's) probability is the maximum over its slices, per label, and so is its truth; so for every system.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float, Integer, Shaped
from pydantic import BaseModel, ConfigDict

from ich_seq.evaluation.bootstrap import CONFIDENCE, ROUNDS, Estimate, PatientBootstrap, Statistic
from ich_seq.evaluation.operating import OperatingPoint, Scored, operating_points
from ich_seq.labels import LABEL_NAMES
from ich_seq.metrics import calibration_error, combine_labels, cross_entropy

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
    validation: "ValidationScores | None" = None


@dataclass(frozen=True, slots=True)
class ValidationScores:
    """Slices of the validation patients, on whom thresholds are chosen; fields as in `EvaluationInput`."""

    patient_ids: Shaped[np.ndarray, " n"]
    scan_ids: Shaped[np.ndarray, " n"]
    labels: Bool[np.ndarray, "n 6"] | Integer[np.ndarray, "n 6"]
    stage_one: Probs
    stage_two: Probs


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
    average_precision: Estimate
    """Area under the steps of precision and recall; null with one class only."""
    brier: Estimate
    """Mean squared distance of probability and truth."""
    calibration_error: float
    """Expected calibration error in 15 bins."""


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
    """`slice`, `scan` or `patient`."""
    count: int
    """Slices, scans or patients."""
    counts: tuple[LabelCount, ...]
    """Truth per label."""
    systems: tuple[SystemScore, ...]
    """Floors first, then stage one, then stage two."""
    gains: tuple[LabelGain, ...]
    """Stage two against stage one, per label."""
    weighted_log_loss_gain: Estimate
    """Weighted log loss of stage one minus that of stage two, in nats; positive is better."""
    operating_points: tuple[OperatingPoint, ...] = ()
    """Both stages at thresholds that validation patients chose; empty without validation patients."""


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
    by_patient: LevelEvaluation
    """Counted by patient: the maximum over the slices of all scans."""


@dataclass(frozen=True, slots=True)
class _Measured:
    """One system's statistics: AUC and log loss per label, and the weighted log loss."""

    aucs: list[Statistic]
    losses: list[Statistic]
    precisions: list[Statistic]
    briers: list[Statistic]
    calibration_errors: list[float]
    weighted: Statistic


def evaluate(data: EvaluationInput, rounds: int = ROUNDS, seed: int = 0) -> Evaluation:
    """AUC, log loss and the gain of stage two over stage one at slice and scan level, with 95 % intervals.

    Raises:
        ValueError: lengths differ, a label is not 0 or 1, a probability lies outside [0, 1], a floor bears a
            stage's name, or a scan has two patients.
    """
    _check(data)
    per_scan, per_patient = _maximum_over(data, "scan_ids"), _maximum_over(data, "patient_ids")
    return Evaluation(
        patients=len(np.unique(data.patient_ids)),
        rounds=rounds,
        seed=seed,
        by_slice=_level("slice", data, PatientBootstrap(data.patient_ids, rounds, seed)),
        by_scan=_level("scan", per_scan, PatientBootstrap(per_scan.patient_ids, rounds, seed)),
        by_patient=_level("patient", per_patient, PatientBootstrap(per_patient.patient_ids, rounds, seed)),
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


def _maximum_over(data: EvaluationInput, unit: str) -> EvaluationInput:
    """One row per scan (`scan_ids`) or patient (`patient_ids`): the maximum over its slices."""
    validation = data.validation
    return dataclasses.replace(
        data,
        **_maxima(data, unit),
        floors={name: _maximum(getattr(data, unit), probs) for name, probs in data.floors.items()},
        validation=None if validation is None else ValidationScores(**_maxima(validation, unit)),
    )


def _maxima(scores: EvaluationInput | ValidationScores, unit: str) -> dict[str, np.ndarray]:
    names = ("patient_ids", "scan_ids", "labels", "stage_one", "stage_two")
    return {name: _maximum(getattr(scores, unit), getattr(scores, name)) for name in names}


def _maximum(units: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The greatest value of each unit, in order of the units' names; of names the first, since one scan has one patient."""
    order = np.argsort(units, kind="stable")
    _, starts = np.unique(units[order], return_index=True)
    if values.dtype.kind in "USO":
        return values[order][starts]
    return np.maximum.reduceat(values[order], starts, axis=0)


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
        operating_points=tuple(_operating_points(data, bootstrap)),
    )


def _operating_points(data: EvaluationInput, bootstrap: PatientBootstrap) -> Iterator[OperatingPoint]:
    if data.validation is None:
        return
    for system, here, there in (
        (STAGE_ONE, data.stage_one, data.validation.stage_one),
        (STAGE_TWO, data.stage_two, data.validation.stage_two),
    ):
        for k, label in enumerate(LABEL_NAMES):
            chosen_on = Scored(data.validation.labels[:, k], there[:, k])
            yield from operating_points(system, label, chosen_on, Scored(data.labels[:, k], here[:, k]), bootstrap)


def _measure(labels: np.ndarray, probs: np.ndarray, bootstrap: PatientBootstrap) -> _Measured:
    losses = cross_entropy(labels, probs)
    return _Measured(
        aucs=[bootstrap.auc(truth, prob) for truth, prob in zip(labels.T, probs.T, strict=True)],
        losses=[bootstrap.mean(loss) for loss in losses.T],
        precisions=[bootstrap.average_precision(truth, prob) for truth, prob in zip(labels.T, probs.T, strict=True)],
        briers=[bootstrap.mean((prob - truth) ** 2) for truth, prob in zip(labels.T, probs.T, strict=True)],
        calibration_errors=[calibration_error(truth, prob) for truth, prob in zip(labels.T, probs.T, strict=True)],
        weighted=bootstrap.mean(combine_labels(losses)),
    )


def _score(name: str, measured: _Measured, reasons: list[str]) -> SystemScore:
    labels = (
        LabelScore(
            label=label,
            auc=measured.aucs[k].estimate(reasons[k]),
            log_loss=measured.losses[k].estimate(),
            average_precision=measured.precisions[k].estimate(reasons[k]),
            brier=measured.briers[k].estimate(),
            calibration_error=measured.calibration_errors[k],
        )
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
