"""An ensemble as it is shipped: a folder with its members, each a whole bundle, and `ensemble.json`, which says how they are combined.

Members lie in `members/01`, `members/02`, ... and nowhere else: no path stands in the file, so that it can name none. `ensemble.json`
holds the description of each, with the SHA-256 of its weights, and is written last. What is added to a member (`export`,
`explain-scale`) leaves the member, and so the ensemble, the same model.
"""

import hashlib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ich_seq.calibration import Calibration
from ich_seq.combining import Combination
from ich_seq.distrust import DamagedError, read_own, sealed, strict_object, unsealed
from ich_seq.errors import BundleError
from ich_seq.labels import LABEL_NAMES, RESEARCH_NOTICE
from ich_seq.model.bundle import BundleInfo, TrainedOn, read_info
from ich_seq.thresholds import Thresholds

ENSEMBLE_FILE, MEMBERS_FOLDER = "ensemble.json", "members"
FORMAT, FORMAT_VERSION = "ichseq ensemble", 1
MOST_MEMBERS = 10
_LARGEST_JSON = 12_000_000
_AGAIN = "get the model again, or make it with `ichseq ensemble`"

_Probability = Annotated[float, Field(ge=0, le=1)]
_Loss = Annotated[float, Field(ge=0)]
_EXPORTED = {"members": {"__all__": {"exported"}}}


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)


class SearchFigures(_Part):
    """What the search over subsets found, of which the ensemble is the best; all of stage two, on the validation patients."""

    tried: tuple[str, ...] = Field(min_length=2)
    """Names of the models among which subsets were searched."""
    subsets: int = Field(gt=0)
    """So many were tried: each combination of one model and more."""
    level: Literal["slice", "scan"]
    """What the losses are of."""
    loss: _Loss
    """Weighted log loss of the best subset, of votes the weighted squared error of their shares; too low by having been chosen."""
    loss_of_all: _Loss
    """Of all models together."""
    loss_elsewhere: float | None = Field(ge=0)
    """The same of patients left out, a tenth at a time, by what the others chose; null of one patient alone."""
    p_value: _Probability
    """White's reality check: how often chance alone would give the best subset its advantage over all models together."""
    rounds: int = Field(gt=0)
    """Resamples of patients."""


class EnsembleInfo(_Part):
    """`ensemble.json`: everything about an ensemble but its members' weights."""

    format: Literal["ichseq ensemble"] = FORMAT
    format_version: Literal[1] = FORMAT_VERSION
    name: str
    ichseq_version: str
    labels: tuple[str, ...] = LABEL_NAMES
    members: tuple[BundleInfo, ...] = Field(min_length=1, max_length=MOST_MEMBERS)
    """In order of their folders; without what was exported from them, which their own descriptions name."""
    stage_one: Combination
    stage_two: Combination
    """How the members' probabilities by each stage are combined; stage two's is the final one."""
    chosen_on: TrainedOn
    """Whose scans chose combinations, thresholds and calibration: the table's validation patients, and how many they are."""
    unseen: bool
    """Whether it is known that none of those patients taught a member's weights."""
    validation_loss: dict[str, _Loss]
    search: SearchFigures | None = None
    calibration: Calibration | None = None
    thresholds: Thresholds | None = None
    slice_thresholds_one: tuple[_Probability | None, ...] = Field(
        min_length=len(LABEL_NAMES), max_length=len(LABEL_NAMES)
    )
    """The balanced threshold of each label on stage one's score of a slice, for explanations; null with one class only."""
    intended_use: str = RESEARCH_NOTICE

    @model_validator(mode="after")
    def _fits(self) -> "EnsembleInfo":
        for stage in (self.stage_one, self.stage_two):
            if len(stage.weights) != len(self.members):
                raise ValueError(f"weights of {len(stage.weights)} members for {len(self.members)}")
        if self.stage_one.method != self.stage_two.method:
            raise ValueError(f"stage one by {self.stage_one.method}, stage two by {self.stage_two.method}")
        if len({member.digest() for member in self.members}) < len(self.members):
            raise ValueError("a member stands twice")
        return self

    @property
    def adjacent_slices(self) -> int:
        """The largest number of slices on either side that any member reads beside each."""
        return max(member.adjacent_slices for member in self.members)

    @property
    def taught_by(self) -> tuple[TrainedOn, ...]:
        """Whose scans taught it, a table once: those of its members, and those on whom it was chosen."""
        found: dict[str, TrainedOn] = {}
        for taught in (*(member.trained_on for member in self.members), self.chosen_on):
            found.setdefault(taught.table_sha256, taught)
        return tuple(found.values())

    @property
    def trained_on_words(self) -> str:
        """What taught the members, each sentence once."""
        return " ".join(dict.fromkeys(member.trained_on.description for member in self.members))

    def digest(self) -> str:
        """SHA-256 over this text, which holds the digests of the members' weights; what was exported from them does not count."""
        return hashlib.sha256(self.model_dump_json(exclude=_EXPORTED).encode()).hexdigest()

    def written(self) -> dict[str, object]:
        """The content of `ensemble.json`, sealed."""
        return sealed(self.model_dump(mode="json", exclude=_EXPORTED))


ModelInfo = BundleInfo | EnsembleInfo
"""What describes a model, of one pipeline or of several."""


def is_ensemble(folder: Path) -> bool:
    """Whether a folder says that it is an ensemble, whatever it holds."""
    path = folder / ENSEMBLE_FILE
    return path.exists() or path.is_symlink()


def read_model_info(folder: Path) -> ModelInfo:
    """The description of the model in a folder, a bundle or an ensemble, without weights.

    Raises:
        BundleError: as `read_info` or `read_ensemble_info`.
    """
    return read_ensemble_info(folder) if is_ensemble(folder) else read_info(folder)


def member_folder(folder: Path, place: int) -> Path:
    """Where the member at a place, from 0, lies in an ensemble."""
    return folder / MEMBERS_FOLDER / f"{place + 1:02d}"


def read_ensemble_info(folder: Path) -> EnsembleInfo:
    """`ensemble.json` of an ensemble, whose members are seen to be the ones that it names; `exported` is as each member says.

    Raises:
        BundleError: damaged, changed since it was written, of another version, with other labels, or with a member that is missing,
            changed, a link, or an ensemble itself.
    """
    path = folder / ENSEMBLE_FILE
    try:
        content = strict_object(read_own(path, _LARGEST_JSON))
        if (content.get("format"), content.get("format_version")) != (FORMAT, FORMAT_VERSION):
            found = f"{str(content.get('format'))[:20]} {str(content.get('format_version'))[:20]}"
            raise BundleError(
                f"{path}: format {found}, and this version reads {FORMAT} {FORMAT_VERSION}; get a model for this version, or the "
                "version of ichseq that wrote it"
            )
        info = EnsembleInfo.model_validate(unsealed(content))
    except FileNotFoundError:
        raise BundleError(f"{folder}: not an ensemble (no {ENSEMBLE_FILE}); {_AGAIN}") from None
    except DamagedError as error:
        raise BundleError(f"{path}: damaged ({error}); {_AGAIN}") from error
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(map(str, fault["loc"])) or "as a whole"
        raise BundleError(f"{path}: damaged ({where}: {fault['msg']}); {_AGAIN}") from None
    if (folder / "model.json").exists():
        raise BundleError(f"{folder}: holds model.json and {ENSEMBLE_FILE}, and one folder is one model; {_AGAIN}")
    if info.labels != LABEL_NAMES:
        raise BundleError(
            f"{path}: its labels are {', '.join(info.labels)}; this version needs {', '.join(LABEL_NAMES)}"
        )
    return info.model_copy(update={"members": _members(folder, info)})


def _members(folder: Path, info: EnsembleInfo) -> tuple[BundleInfo, ...]:
    """The members' own descriptions; raises BundleError where one is not the member that is named."""
    found = []
    for place, named in enumerate(info.members):
        own = member_folder(folder, place)
        for each in (own.parent, own):
            if each.is_symlink():
                raise BundleError(f"{each}: a link, not a folder of the ensemble; {_AGAIN}")
        if not own.is_dir():
            raise BundleError(f"{own}: missing, a member of the ensemble; {_AGAIN}")
        member = read_info(own)
        if member.digest() != named.digest():
            raise BundleError(f"{own}: another model than the one that {ENSEMBLE_FILE} names, {named.name}; {_AGAIN}")
        found.append(member)
    return tuple(found)
