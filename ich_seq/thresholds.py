"""Operating thresholds as they ship inside a model: per label, rule and level a score of stage two, and what it rests on.

A threshold says at or above, or below; that is not a diagnosis. They are chosen in `ich_seq.evaluation.operating`, on validation
patients.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

BALANCED, SENSITIVE_RULE = "balanced", "sensitive"
RULES = (BALANCED, SENSITIVE_RULE)
SLICE, SCAN = "slice", "scan"

_Count = Annotated[int, Field(gt=0)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)


class Threshold(_Part):
    """One threshold and the validation slices or scans that chose it."""

    level: Literal["slice", "scan"]
    """Whether it is for a slice's score or for a scan's, the maximum over its slices."""
    label: str
    """Name as in RSNA's files."""
    rule: Literal["balanced", "sensitive"]
    """`balanced`: the largest sum of sensitivity and specificity; `sensitive`: the highest threshold with sensitivity 0.95 or more."""
    score: float = Field(ge=0, le=1)
    """Of stage two, not calibrated; at or above it counts as positive."""
    positives: _Count
    """Validation slices or scans that have the label."""
    negatives: _Count
    """Those that have it not."""


class Thresholds(_Part):
    """All thresholds of a model; a label with one class only among the validation patients has none."""

    patients: _Count
    """Validation patients."""
    points: tuple[Threshold, ...]
    """By level, label and rule."""

    def find(self, level: str, label: str, rule: str = BALANCED) -> Threshold | None:
        """One threshold, or None where there is none."""
        wanted = (level, label, rule)
        return next((each for each in self.points if (each.level, each.label, each.rule) == wanted), None)
