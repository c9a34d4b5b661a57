"""Both stages and the floors on held-out patients: figures per slice, scan and patient, each with its interval.

A scan's (a patient's) probability is the maximum over its slices, per label, and so is its truth; so for every system.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ich_seq.evaluation.bootstrap import ROUNDS, PatientBootstrap, Statistic
from ich_seq.evaluation.data import STAGE_ONE, STAGE_TWO, EvaluationInput, check_input, maximum_over
from ich_seq.evaluation.operating import OperatingPoint, Scored, choose_thresholds, operating_points, shipped_thresholds
from ich_seq.evaluation.result import Evaluation, LabelCount, LabelGain, LabelScore, LevelEvaluation, SystemScore
from ich_seq.labels import LABEL_NAMES
from ich_seq.metrics import calibration_error, combine_labels, cross_entropy


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
    """AUC, log loss and the gain of stage two over stage one at slice, scan and patient level, with 95 % intervals.

    Labels of whole scans are counted by scan and patient only.

    Raises:
        ValueError: lengths differ, a label is not 0 or 1, a probability lies outside [0, 1], a floor bears a
            stage's name, or a scan has two patients.
    """
    check_input(data)
    per_scan, per_patient = maximum_over(data, "scan_ids"), maximum_over(data, "patient_ids")
    by_slice = None if data.whole_scans else _level("slice", data, PatientBootstrap(data.patient_ids, rounds, seed))
    return Evaluation(
        patients=len(np.unique(data.patient_ids)),
        rounds=rounds,
        seed=seed,
        by_slice=by_slice,
        by_scan=_level("scan", per_scan, PatientBootstrap(per_scan.patient_ids, rounds, seed)),
        by_patient=_level("patient", per_patient, PatientBootstrap(per_patient.patient_ids, rounds, seed)),
    )


def _level(level: str, data: EvaluationInput, bootstrap: PatientBootstrap) -> LevelEvaluation:
    measured = {name: _measure(data.labels, probs, bootstrap) for name, probs in data.systems(level).items()}
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
        operating_points=tuple(_operating_points(level, data, bootstrap)),
    )


def _operating_points(level: str, data: EvaluationInput, bootstrap: PatientBootstrap) -> Iterator[OperatingPoint]:
    """Both stages at thresholds of the validation patients; without them stage two at those that the model ships."""
    for system, here, stage in ((STAGE_ONE, data.stage_one, "stage_one"), (STAGE_TWO, data.stage_two, "stage_two")):
        for k, label in enumerate(LABEL_NAMES):
            if data.validation is not None:
                chosen = choose_thresholds(Scored(data.validation.labels[:, k], getattr(data.validation, stage)[:, k]))
            elif data.thresholds is not None and system == STAGE_TWO:
                chosen = shipped_thresholds(data.thresholds, level, label)
            else:
                chosen = {}
            yield from operating_points(system, label, chosen, Scored(data.labels[:, k], here[:, k]), bootstrap)


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
