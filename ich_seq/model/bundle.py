"""The model bundle on disk: written whole, distrusted when read; nothing here needs torch."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ich_seq import distrust
from ich_seq.calibration import Calibration
from ich_seq.config import CnnConfig, LstmConfig, PreprocessConfig
from ich_seq.distrust import DamagedError, open_own, read_own, strict_object, unsealed
from ich_seq.errors import BundleError
from ich_seq.files import make_folder, write_bytes, write_json, write_text
from ich_seq.labels import LABEL_NAMES, RESEARCH_NOTICE
from ich_seq.model.exported import Exported
from ich_seq.tensors import read_tensors
from ich_seq.thresholds import Thresholds

FORMAT_VERSION = 1
WEIGHTS_FILE, CARD_FILE = "weights.safetensors", "README.md"
OWN_DIGEST = "model_json_sha256"
_LARGEST_MODEL_JSON = 1_000_000
_LARGEST_WEIGHTS = 20_000_000_000
_PARTS = ("cnn", "pca", "lstm")


class TrainedOn(BaseModel):
    """Whose scans taught the weights."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    dataset: str
    description: str
    patients: int = Field(ge=0)
    scans: int = Field(ge=0)
    slices: int = Field(ge=0)
    table_sha256: str


class BundleInfo(BaseModel):
    """`model.json`: everything about a model but its weights."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format_version: Literal[1] = FORMAT_VERSION
    name: str
    ichseq_version: str
    labels: tuple[str, ...] = LABEL_NAMES
    preprocess: PreprocessConfig
    cnn: CnnConfig
    lstm: LstmConfig
    embedding_width: int = Field(gt=0)
    reduced_width: int = Field(gt=0)
    trained_on: TrainedOn
    validation_loss: dict[str, float]
    calibration: Calibration | None = None
    thresholds: Thresholds | None = None
    intended_use: str = RESEARCH_NOTICE
    weights_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    exported: Exported | None = None

    @property
    def adjacent_slices(self) -> int:
        """So many slices on either side are read beside each."""
        return self.preprocess.adjacent_slices

    @property
    def taught_by(self) -> tuple[TrainedOn, ...]:
        """Whose scans taught it."""
        return (self.trained_on,)

    @property
    def trained_on_words(self) -> str:
        """What taught it, in a sentence."""
        return self.trained_on.description

    def digest(self) -> str:
        """SHA-256 over this text, which itself holds the weights' digest: one name for the whole model.

        What was exported from it does not count: that is the same model for another runtime.
        """
        return hashlib.sha256(self.model_dump_json(exclude={"exported"}).encode()).hexdigest()


@dataclass(frozen=True)
class Bundle:
    """A model read from disk: its description and its weights by name (`cnn.`, `pca.`, `lstm.`)."""

    info: BundleInfo
    weights: dict[str, np.ndarray]

    def part(self, name: str) -> dict[str, np.ndarray]:
        """The weights of one part, without its prefix.

        Raises:
            BundleError: the bundle has no such part.
        """
        prefix = f"{name}."
        found = {key.removeprefix(prefix): value for key, value in self.weights.items() if key.startswith(prefix)}
        if not found:
            raise BundleError(f"{WEIGHTS_FILE}: has no {name}; the model is not whole")
        return found


def write_bundle(folder: Path, info: BundleInfo, weights: bytes, card: str) -> None:
    """Writes the weights (safetensors bytes), then the model card, then model.json, each whole or not at all.

    Raises:
        OutputError: disk full, or the folder is not writable.
    """
    make_folder(folder)
    write_bytes(folder / WEIGHTS_FILE, weights)
    write_text(folder / CARD_FILE, card)
    write_info(folder, info)


def write_info(folder: Path, info: BundleInfo) -> None:
    """Writes model.json alone; without an export it has no word of one, so that earlier versions read it.

    Raises:
        OutputError: as `write_bundle`.
    """
    left_out = {"exported"} if info.exported is None else None
    write_json(folder / "model.json", sealed(info.model_dump(mode="json", exclude=left_out)))


def sealed(content: dict[str, Any]) -> dict[str, Any]:
    """The fields of model.json with the SHA-256 of all of them, whatever their order and indentation."""
    return distrust.sealed(content, OWN_DIGEST)


def read_info(folder: Path) -> BundleInfo:
    """`model.json` of a bundle, without its weights.

    Raises:
        BundleError: no bundle there, not JSON, changed since it was written, of another version, or with fields that do not fit.
    """
    info = read_description(folder)
    if info.labels != LABEL_NAMES:
        raise BundleError(
            f"{folder / 'model.json'}: its labels are {', '.join(info.labels)}; this version needs {', '.join(LABEL_NAMES)}"
        )
    return info


def read_description(folder: Path) -> BundleInfo:
    """As `read_info`, whatever the labels are.

    Raises:
        BundleError: as `read_info`.
    """
    path = folder / "model.json"
    if not folder.is_dir():
        raise BundleError(
            f"{folder}: no model there; give the folder that holds model.json (the demo's is runs/demo/model)"
        )
    try:
        content = strict_object(read_own(path, _LARGEST_MODEL_JSON))
        if content.get("format_version") != FORMAT_VERSION:
            raise BundleError(
                f"{path}: bundle format {str(content.get('format_version'))[:20]}, and this version reads {FORMAT_VERSION}; "
                "get a model for this version, or the version of ichseq that wrote it"
            )
        return BundleInfo.model_validate(unsealed(content, OWN_DIGEST))
    except FileNotFoundError:
        if (folder / "ensemble.json").exists():
            raise BundleError(
                f"{folder}: an ensemble, and one model is needed here; give one of its members, such as {folder / 'members' / '01'}"
            ) from None
        raise BundleError(
            f"{folder}: not a model bundle (no model.json); give the folder `model` that `train-lstm` or `ensemble` wrote"
        ) from None
    except DamagedError as error:
        raise BundleError(f"{path}: damaged ({error}); get the model again") from error
    except ValidationError as error:
        fault = error.errors()[0]
        raise BundleError(
            f"{path}: damaged ({'.'.join(map(str, fault['loc']))}: {fault['msg']}); get the model again"
        ) from None


def read_bundle(folder: Path) -> Bundle:
    """A whole bundle; its weights are compared with their digest and every number is finite.

    Raises:
        BundleError: as `read_info`, or weights that are missing, damaged, changed, or not finite.
    """
    info = read_info(folder)
    path = folder / WEIGHTS_FILE
    try:
        with open_own(path, _LARGEST_WEIGHTS) as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest != info.weights_sha256:
            raise DamagedError("damaged or changed: its SHA-256 is not the one in model.json")
        weights = read_tensors(path, must_be_sealed=False)
    except FileNotFoundError:
        raise BundleError(f"{path}: missing; get the model again") from None
    except DamagedError as error:
        raise BundleError(f"{path}: {error}; get the model again") from error
    if unknown := sorted(name for name in weights if name.split(".")[0] not in _PARTS):
        raise BundleError(f"{path}: holds {unknown[0]!r}, which is no part of a model; get the model again")
    return Bundle(info, weights)
