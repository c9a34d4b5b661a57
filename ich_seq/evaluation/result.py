"""What an evaluation says, as plain values that go into `evaluation.json`; what is undefined is null with a reason."""

from pydantic import BaseModel, ConfigDict

from ich_seq.evaluation.bootstrap import CONFIDENCE, Estimate
from ich_seq.evaluation.operating import OperatingPoint


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
    """One system: a floor, stage one, stage two, or stage two calibrated."""

    system: str
    """`stage one`, `stage two`, `stage two, calibrated`, or the floor's name."""
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
    """Floors first, then stage one, stage two, and stage two calibrated where the model is."""
    gains: tuple[LabelGain, ...]
    """Stage two against stage one, per label."""
    weighted_log_loss_gain: Estimate
    """Weighted log loss of stage one minus that of stage two, in nats; positive is better."""
    operating_points: tuple[OperatingPoint, ...] = ()
    """At thresholds that validation patients chose: both stages of a run, stage two of a model that ships them; else empty."""


class About(_Result):
    """What was evaluated on what."""

    model: str
    """Name of the model, or of the run's experiment."""
    model_digest: str | None
    """SHA-256 that names the model; null where a run has not written it yet."""
    dataset: str
    """Name of the dataset, as in its table."""
    measured_on: str
    """A sentence: whose scans these are, and how they relate to those that taught the model."""
    external: bool
    """Whether the table is another than the one that the model was trained with."""
    training_patients: bool
    """Whether patients that taught the model are, or may be, among those evaluated: then nothing here is held out."""
    unreadable: int = 0
    """Slices that were left out since they cannot be read."""


class SubgroupScore(_Result):
    """One group of scans, counted at one level."""

    attribute: str
    """What the scans differ in, such as `slice spacing`."""
    group: str
    """Which of them these are, such as `thin, below 2.5 mm`."""
    level: str
    """`slice` or `scan`."""
    count: int
    """Slices or scans."""
    patients: int
    """Patients."""
    positives: int
    """Slices or scans with any haemorrhage."""
    positive_patients: int
    """Patients with any haemorrhage."""
    auc_stage_one: Estimate
    """Of any haemorrhage; null with a reason where the group is too small."""
    auc_stage_two: Estimate
    """As above."""
    weighted_log_loss_stage_one: Estimate
    """The competition's metric, in nats."""
    weighted_log_loss_stage_two: Estimate
    """As above."""


class Mistake(_Result):
    """A scan that a label's score by stage two got most wrong."""

    kind: str
    """`false alarm`: a high score without the label; `miss`: a low score with it."""
    label: str
    """Name as in RSNA's files."""
    series_instance_uid: str
    """The scan."""
    sop_instance_uid: str
    """Its key slice: where the label scores highest, for a miss among the slices that have it, where that is known."""
    slice_number: int
    """Place of that slice, from 1 at the feet."""
    slices: int
    """Slices of the scan."""
    position_mm: float
    """Height of that slice above the lowest, along the normal."""
    scan_score: float
    """The label's score of the scan by stage two: the maximum over its slices."""
    calibrated: float | None
    """The same, calibrated; null without calibration."""
    slice_stage_one: float
    """The label's score of the key slice alone."""
    slice_stage_two: float
    """The label's score of the key slice with the whole scan."""
    threshold: float | None
    """The balanced threshold of scans that the score is on the wrong side of; null where there is none."""
    truth: tuple[str, ...]
    """Labels that the scan has."""


class Evaluation(_Result):
    """What held-out patients say of both stages; what is undefined is null with a reason."""

    schema_version: str = "1.2"
    """Within a major version fields are only added."""
    patients: int
    """Held-out patients, the unit that is resampled."""
    confidence: float = CONFIDENCE
    """Coverage that the intervals aim at."""
    rounds: int
    """Resamples of the patients."""
    seed: int
    """Decides the resamples."""
    by_slice: LevelEvaluation | None
    """Counted by slice; null where the labels are of whole scans."""
    by_scan: LevelEvaluation
    """Counted by scan: the maximum over slices."""
    by_patient: LevelEvaluation
    """Counted by patient: the maximum over the slices of all scans."""
    about: About | None = None
    """What was evaluated on what. Since 1.1."""
    subgroups: tuple[SubgroupScore, ...] = ()
    """By attribute, group and level. Since 1.1."""
    mistakes: tuple[Mistake, ...] = ()
    """The worst by label. Since 1.1."""
