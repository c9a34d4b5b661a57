"""The absolute scale of explanations: one constant for each label and stage, beside the model that it was measured with.

A map times the score that it explains, divided by its constant, is 1 where it is as hot as the hottest hundredth of the cells on
validation slices that have the label: equal heat is equal colour, on every scan. The scale is a file of its own in the bundle, so a
model keeps its name and its scores whether it has one or not.
"""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ich_seq.distrust import DamagedError, read_own, sealed, strict_object, unsealed
from ich_seq.errors import BundleError
from ich_seq.files import write_json
from ich_seq.model.bundle import BundleInfo

SCALE_FILE = "explain.json"
PERCENTILE = 99.0
ONE, TWO = "one", "two"
_LARGEST = 100_000

Stage = Literal["one", "two"]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)


class HeatConstant(_Part):
    """What one label's maps by one stage are divided by, and from which score on they are drawn."""

    stage: Stage
    label: str
    """Name as in RSNA's files."""
    constant: float | None = Field(default=None, gt=0)
    """Of map times score, over all cells of the validation slices that have the label; null where none has it, or all is 0."""
    threshold: float | None = Field(default=None, ge=0, le=1)
    """A slice's score from which on its map is drawn: the balanced threshold of that stage; null with one class only."""
    positives: int = Field(ge=0)
    """Validation slices that have the label."""


class HeatScale(_Part):
    """The constants of one model, and whose slices gave them."""

    format_version: Literal[1] = 1
    model_digest: str = Field(pattern=r"^[0-9a-f]{64}$")
    percentile: float = Field(default=PERCENTILE, gt=0, le=100)
    dataset: str
    patients: int = Field(gt=0)
    scans: int = Field(gt=0)
    slices: int = Field(gt=0)
    constants: tuple[HeatConstant, ...]

    def find(self, stage: str, label: str) -> HeatConstant:
        """One label's constant by one stage. Raises ValueError where there is no such stage or label."""
        for each in self.constants:
            if (each.stage, each.label) == (stage, label):
                return each
        raise ValueError(f"no constant for stage {stage!r}, label {label!r}")


def write_heat_scale(folder: Path, scale: HeatScale) -> Path:
    """Puts the scale into the bundle in `folder`; returns its path.

    Raises:
        OutputError: disk full, or the folder is not writable.
    """
    write_json(folder / SCALE_FILE, sealed(scale.model_dump(mode="json")))
    return folder / SCALE_FILE


def read_heat_scale(folder: Path, info: BundleInfo) -> HeatScale:
    """The scale of the bundle in `folder`, which `info` describes.

    Raises:
        BundleError: the model has none, or it is damaged or another model's.
    """
    path = folder / SCALE_FILE
    way_out = f"make one with `ichseq explain-scale --model {folder} --table TABLE` (in a run: `ichseq explain-scale --run RUN`)"
    try:
        scale = HeatScale.model_validate(unsealed(strict_object(read_own(path, _LARGEST))))
    except FileNotFoundError:
        raise BundleError(f"{folder}: the model has no scale for explanations ({SCALE_FILE}); {way_out}") from None
    except DamagedError as error:
        raise BundleError(f"{path}: damaged ({error}); {way_out}") from error
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(map(str, fault["loc"]))
        raise BundleError(f"{path}: damaged ({where}: {fault['msg']}); {way_out}") from None
    if scale.model_digest != info.digest():
        raise BundleError(f"{path}: the scale of another model; {way_out}")
    return scale
