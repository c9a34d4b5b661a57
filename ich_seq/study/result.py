"""StudyResult: what scoring says of one study, as plain values that go into `result.json` and come back from it.

Within a major version fields are only added, so a reader ignores those that it does not know. Everything here is free of protected
health information but for the UIDs.
"""

import json
from collections.abc import Mapping
from enum import StrEnum
from importlib import resources
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from ich_seq.labels import LABEL_NAMES, RESEARCH_NOTICE

RESULT_VERSION = "1.4"
SCHEMA_FILE = "result.schema.json"

LabelName = Literal["epidural", "intraparenchymal", "intraventricular", "subarachnoid", "subdural", "any"]
Probability = Annotated[float, Field(ge=0, le=1)]
Millimetres = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=0)]
SourceFormat = Literal["dicom", "nifti"]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Part(BaseModel):
    """A part of a result: frozen, every number finite, fields of later versions ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)


class Status(StrEnum):
    """Whether the series was whole, read beside every score."""

    COMPLETE = "complete"
    WITH_WARNINGS = "complete_with_warnings"
    INCOMPLETE = "incomplete"


class Probabilities(Part):
    """One probability a label, as the stage gives it; never calibrated."""

    epidural: Probability
    intraparenchymal: Probability
    intraventricular: Probability
    subarachnoid: Probability
    subdural: Probability
    any: Probability

    def of(self, label: str) -> float:
        """The probability of one label by name. Raises ValueError for another name."""
        if label not in LABEL_NAMES:
            raise ValueError(f"label {label!r}: use one of {', '.join(LABEL_NAMES)}")
        return getattr(self, label)


class CalibratedProbabilities(Part):
    """One calibrated probability a label; null for a label that the model does not calibrate."""

    epidural: Probability | None
    intraparenchymal: Probability | None
    intraventricular: Probability | None
    subarachnoid: Probability | None
    subdural: Probability | None
    any: Probability | None

    def of(self, label: str) -> float | None:
        """The probability of one label by name. Raises ValueError for another name."""
        if label not in LABEL_NAMES:
            raise ValueError(f"label {label!r}: use one of {', '.join(LABEL_NAMES)}")
        return getattr(self, label)


class SliceScore(Part):
    """One slice; index 0 is nearest the feet."""

    index: Count
    """Place in the scan, from 0 at the feet."""
    sop_instance_uid: str
    """SOPInstanceUID, the name by which a PACS finds the image; see `StudyResult.source_format` for NIfTI."""
    position_mm: Millimetres
    """Distance from the lowest slice that was used, along the slice normal, feet to head."""
    image_position_patient: tuple[float, float, float]
    """ImagePositionPatient in mm (left, posterior, superior); in NIfTI, the voxel at the front on the patient's right."""
    stage_one: Probabilities
    """What the slice alone suggests."""
    stage_two: Probabilities
    """What the slice suggests once the whole scan has been read."""
    calibrated: CalibratedProbabilities | None = None
    """Stage two's, calibrated for slices; null where the model has no calibration. Since 1.1."""
    averaged_sop_instance_uids: tuple[str, ...] = ()
    """Of the thin slices that this one is the mean of, feet to head; `sop_instance_uid` and the positions are then those of the middle
    one. Empty where a slice was scored as it is. Since 1.2."""


class Peak(Part):
    """The largest probability of one label over the slices of a scan, and where it is."""

    probability: Probability
    slice_index: Count
    """As `SliceScore.index`; the lowest slice where several are equal."""
    position_mm: Millimetres
    """As `SliceScore.position_mm`."""
    sop_instance_uid: str


class Reading(StrEnum):
    """What may be concluded from a score; none of them is a diagnosis, and later versions may add others."""

    NOT_THRESHOLDED = "not thresholded"
    INDETERMINATE = "indeterminate"
    AT_OR_ABOVE = "at or above the balanced threshold"
    BELOW = "below the balanced threshold"


class LabelScore(Part):
    """One label over the whole scan: the maximum over its slices, for both stages."""

    label: LabelName
    title: str
    stage_one: Peak
    stage_two: Peak
    """The score of the scan."""
    reading: str
    """A `Reading`; "indeterminate" in an incomplete series, where a bleed may lie in a gap, whatever the score."""
    calibrated: Probability | None = None
    """The scan's score by stage two, calibrated for maxima over scans; null where the model does not calibrate it. Since 1.1."""
    balanced_threshold: Probability | None = None
    """What `reading` compares stage two's score with, before calibration; null where the model has none. Since 1.1."""


class Gap(Part):
    """Slices are missing here."""

    after_mm: Millimetres
    """Position of the slice below the gap (of the thin slice, where thin ones were averaged), as `SliceScore.position_mm`."""
    gap_mm: Millimetres
    """From that slice to the next."""


class SeriesSummary(Part):
    """Geometry of the series that was scored; lengths in mm along the slice normal."""

    slices: Annotated[int, Field(gt=0)]
    rows: Annotated[int, Field(gt=0)]
    columns: Annotated[int, Field(gt=0)]
    spacing_mm: Millimetres
    """Median step from slice to slice; 0 for a single slice."""
    coverage_mm: Millimetres
    """From the first slice to the last, plus one spacing."""
    tilt_deg: Annotated[float, Field(ge=0, le=90)]
    """Gantry tilt, computed from the positions."""
    gaps: tuple[Gap, ...]


class CandidateSummary(Part):
    """A series of the study and why it was chosen, or not."""

    series_instance_uid: str
    slices: Count
    chosen: bool
    reason: str


class FindingSummary(Part):
    """Something that reading noticed; `code` is stable, `message` may be reworded."""

    code: str
    severity: Literal["refused", "dropped", "warning", "note"]
    message: str
    what_to_do: str
    count: Annotated[int, Field(gt=0)]
    """Files or slices that it concerns."""


class Dropped(Part):
    """Files that were given and not used, counted by reason; their names are left out on purpose."""

    code: str
    reason: str
    count: Annotated[int, Field(gt=0)]
    in_series: bool
    """Whether they belong to the series that was scored, which is then incomplete."""


class MemberIdentity(Part):
    """One model of an ensemble, and what computed it."""

    name: str
    digest: Sha256
    """As `ModelIdentity.digest`."""
    backbone: str
    input_size: Annotated[int, Field(gt=0)]
    """As `ModelIdentity.input_size`."""
    windows: tuple[tuple[float, float], ...]
    """Level and width in HU of each input channel."""
    adjacent_slices: Count
    """So many slices on either side are read beside each."""
    runtime: str
    """As `Computation.runtime`."""
    precision: str
    """As `Computation.precision`."""


class ModelIdentity(Part):
    """Which model, and what taught it."""

    name: str
    digest: Sha256
    """SHA-256 over the model's description, which holds the digest of its weights."""
    trained_on: str
    backbone: str
    """Of an ensemble those of its members, each named once."""
    input_size: Annotated[int, Field(gt=0)]
    """Rows and columns of the network's input, in pixels; of an ensemble the largest."""
    windows: tuple[tuple[float, float], ...]
    """Level and width in HU of each input channel; of an ensemble each that a member has."""
    calibrated: bool
    thresholded: bool
    combined_by: str | None = None
    """How an ensemble combines its members: `average`, `vote`, `weighted` or `fitted`; null for one model. Since 1.4."""
    members: tuple[MemberIdentity, ...] = ()
    """Of an ensemble its models, in order; empty for one model. Since 1.4."""


class Computation(Part):
    """What computed the scores."""

    runtime: str
    """`torch` or `openvino`, of an ensemble perhaps `torch and openvino`; later versions may add others."""
    precision: str
    """Of stage one's network: `fp32`, `bf16` or `int8`; windowing and stage two are always fp32."""
    device: str


class StudyResult(Part):
    """What scoring says of one study."""

    version: Annotated[str, Field(pattern=r"^1\.[0-9]+$")] = RESULT_VERSION
    """Of this format; within a major version fields are only added."""
    notice: str = RESEARCH_NOTICE
    status: Status
    suitability: str = "not checked"
    """As `ichseq check` says it: `usable` or `usable with warnings`; `not checked` in results of earlier versions."""
    source_format: SourceFormat = "dicom"
    """What was scored. NIfTI has no UIDs: in their place stands `nifti-` and 16 digits of `input_sha256`, which is never a valid UID;
    for a slice `#` follows, and its place along its axis in the file, from 0."""
    study_instance_uid: str
    series_instance_uid: str
    input_sha256: Sha256
    """Over HU and geometry of the slices in order: equal for a folder, its zip and renamed files; a NIfTI copy has another."""
    model: ModelIdentity
    scan: tuple[LabelScore, ...] = Field(min_length=len(LABEL_NAMES), max_length=len(LABEL_NAMES))
    """The six labels in the order of `ich_seq.labels`."""
    slices: tuple[SliceScore, ...] = Field(min_length=1)
    """Feet to head."""
    series: SeriesSummary
    candidates: tuple[CandidateSummary, ...]
    findings: tuple[FindingSummary, ...]
    dropped: tuple[Dropped, ...]
    timings_s: dict[str, Millimetres]
    """Seconds a phase, in the order in which they began; pixels are read while stage one computes."""
    versions: dict[str, str]
    """Of ichseq and of what it computed with, and the device."""
    computed: Computation | None = None
    """Since 1.3."""

    def label(self, name: str) -> LabelScore:
        """The scan's score of one label by name. Raises ValueError for another name."""
        for score in self.scan:
            if score.label == name:
                return score
        raise ValueError(f"label {name!r}: use one of {', '.join(LABEL_NAMES)}")

    def with_timing(self, phase: str, seconds: float) -> "StudyResult":
        """The result with one more phase timed."""
        return self.model_copy(update={"timings_s": {**self.timings_s, phase: round(seconds, 4)}})


def status_of(slices_missing: bool, warnings: bool) -> Status:
    """The status of a scan that was scored: a gap, or a slice that could not be used, makes it incomplete; any warning is said."""
    if slices_missing:
        return Status.INCOMPLETE
    return Status.WITH_WARNINGS if warnings else Status.COMPLETE


def reading_of(status: Status, score: float = 0.0, threshold: float | None = None) -> str:
    """What may be concluded: nothing may read absent where slices are missing; else on which side of the threshold the score lies."""
    if status is Status.INCOMPLETE:
        return Reading.INDETERMINATE.value
    if threshold is None:
        return Reading.NOT_THRESHOLDED.value
    return Reading.AT_OR_ABOVE.value if score >= threshold else Reading.BELOW.value


def result_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of `result.json`, as it ships with the package."""
    return json.loads((resources.files("ich_seq") / "study" / SCHEMA_FILE).read_text(encoding="utf-8"))


def schema_from_models() -> dict[str, Any]:
    """The same schema made from the models above; a test keeps the shipped file equal to it."""
    schema = StudyResult.model_json_schema(mode="serialization")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **_without_titles(schema)}


def _without_titles(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Pydantic repeats every field's name as its title; the property of that name stays."""

    def clean(value: Any, named: bool) -> Any:
        if isinstance(value, Mapping):
            return {k: clean(v, k in ("properties", "$defs")) for k, v in value.items() if named or k != "title"}
        return [clean(item, False) for item in value] if isinstance(value, list) else value

    return clean(schema, False)
