"""What an evaluation rests on: truth and scores slice by slice, and their maxima over scans and patients."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float, Integer, Shaped

from ich_seq.calibration import Calibration
from ich_seq.thresholds import Thresholds

STAGE_ONE, STAGE_TWO, CALIBRATED = "stage one", "stage two", "stage two, calibrated"

Probs = Float[np.ndarray, "n 6"]


@dataclass(frozen=True, slots=True)
class ValidationScores:
    """Slices of the validation patients, on whom thresholds and calibration are chosen; fields as in `EvaluationInput`."""

    patient_ids: Shaped[np.ndarray, " n"]
    scan_ids: Shaped[np.ndarray, " n"]
    labels: Bool[np.ndarray, "n 6"] | Integer[np.ndarray, "n 6"]
    stage_one: Probs
    stage_two: Probs


@dataclass(frozen=True, slots=True)
class EvaluationInput:
    """Slices of held-out patients in any order, with the truth and what each system says of them.

    `scan_ids` is one name per scan (SeriesInstanceUID); columns of labels and probabilities are in the order
    of LABEL_NAMES; `floors` maps a floor's name to its probabilities, in the order in which to show them.
    `calibration` is the model's; thresholds are chosen on `validation`, or, without it, are the model's own `thresholds`.
    With `whole_scans` the labels are of scans, every slice carrying its scan's, and nothing is counted by slice.
    """

    patient_ids: Shaped[np.ndarray, " n"]
    scan_ids: Shaped[np.ndarray, " n"]
    labels: Bool[np.ndarray, "n 6"] | Integer[np.ndarray, "n 6"]
    stage_one: Probs
    stage_two: Probs
    floors: Mapping[str, Probs] = field(default_factory=dict)
    validation: ValidationScores | None = None
    calibration: Calibration | None = None
    thresholds: Thresholds | None = None
    whole_scans: bool = False

    def systems(self, level: str) -> dict[str, np.ndarray]:
        """Each system's probabilities by its name: floors, stage one, stage two, and stage two calibrated for the level."""
        found = {**self.floors, STAGE_ONE: self.stage_one, STAGE_TWO: self.stage_two}
        if self.calibration is not None:
            # A patient's calibrated score is the largest of the scans', and a rising curve keeps what is largest.
            apply = self.calibration.slice_probs if level == "slice" else self.calibration.scan_probs
            found[CALIBRATED] = apply(self.stage_two)
        return found

    def where(self, rows: Shaped[np.ndarray, " n"]) -> "EvaluationInput":
        """The rows chosen by a mask or by their places; validation, calibration and thresholds stay."""
        names = ("patient_ids", "scan_ids", "labels", "stage_one", "stage_two")
        floors = {name: probs[rows] for name, probs in self.floors.items()}
        return dataclasses.replace(self, **{name: getattr(self, name)[rows] for name in names}, floors=floors)


def check_input(data: EvaluationInput) -> None:
    """Nothing, when every array has a row for each slice.

    Raises:
        ValueError: lengths differ, a floor bears a stage's name, or a scan has two patients.
    """
    arrays = {
        "scan_ids": data.scan_ids,
        "labels": data.labels,
        "stage_one": data.stage_one,
        "stage_two": data.stage_two,
    }
    for name, array in (arrays | dict(data.floors)).items():
        if len(array) != len(data.patient_ids):
            raise ValueError(f"{name} has {len(array)} rows for {len(data.patient_ids)} slices")
    if clash := {STAGE_ONE, STAGE_TWO, CALIBRATED} & data.floors.keys():
        raise ValueError(f"a floor must not be called {sorted(clash)[0]!r}")
    patients_of_scans = {*zip(data.scan_ids.tolist(), data.patient_ids.tolist(), strict=True)}
    if len(patients_of_scans) != len(np.unique(data.scan_ids)):
        raise ValueError("a scan in scan_ids has slices of two patients")


def maximum_over(data: EvaluationInput, unit: str) -> EvaluationInput:
    """One row per scan (`scan_ids`) or patient (`patient_ids`), in order of their names: the maximum over its slices."""
    validation = data.validation
    return dataclasses.replace(
        data,
        **_maxima(data, unit),
        floors={name: maximum_of(getattr(data, unit), probs) for name, probs in data.floors.items()},
        validation=None if validation is None else validation_maximum_over(validation, unit),
    )


def validation_maximum_over(scores: ValidationScores, unit: str) -> ValidationScores:
    """The same of validation patients."""
    return ValidationScores(**_maxima(scores, unit))


def _maxima(scores: EvaluationInput | ValidationScores, unit: str) -> dict[str, np.ndarray]:
    names = ("patient_ids", "scan_ids", "labels", "stage_one", "stage_two")
    return {name: maximum_of(getattr(scores, unit), getattr(scores, name)) for name in names}


def maximum_of(units: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The greatest value of each unit, in order of the units' names; of names the first, since one scan has one patient."""
    order = np.argsort(units, kind="stable")
    _, starts = np.unique(units[order], return_index=True)
    if values.dtype.kind in "USO":
        return values[order][starts]
    return np.maximum.reduceat(values[order], starts, axis=0)
