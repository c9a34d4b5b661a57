"""The model bundle on disk: written whole, distrusted when read; nothing here needs torch."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load_file

from ich_seq.calibration import Calibration
from ich_seq.config import CnnConfig, LstmConfig, PreprocessConfig
from ich_seq.errors import BundleError
from ich_seq.files import make_folder, sha256_of, write_bytes, write_json, write_text
from ich_seq.labels import LABEL_NAMES, RESEARCH_NOTICE
from ich_seq.thresholds import Thresholds

FORMAT_VERSION = 1
WEIGHTS_FILE, CARD_FILE = "weights.safetensors", "README.md"
OWN_DIGEST = "model_json_sha256"
_LARGEST_MODEL_JSON = 1_000_000


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

    def digest(self) -> str:
        """SHA-256 over this text, which itself holds the weights' digest: one name for the whole model."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()


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
    write_json(folder / "model.json", sealed(info.model_dump(mode="json")))


def sealed(content: dict[str, object]) -> dict[str, object]:
    """The fields of model.json with the SHA-256 of all of them, whatever their order and indentation."""
    rest = {name: value for name, value in content.items() if name != OWN_DIGEST}
    text = json.dumps(rest, sort_keys=True, separators=(",", ":"))
    return rest | {OWN_DIGEST: hashlib.sha256(text.encode()).hexdigest()}


def read_info(folder: Path) -> BundleInfo:
    """`model.json` of a bundle, without its weights.

    Raises:
        BundleError: no bundle there, not JSON, changed since it was written, of another version, or with fields that do not fit.
    """
    path = folder / "model.json"
    if not folder.is_dir():
        raise BundleError(
            f"{folder}: no model there; give the folder that holds model.json (the demo's is runs/demo/model)"
        )
    if not path.is_file():
        raise BundleError(f"{folder}: not a model bundle (no model.json); give the folder that `train-lstm` wrote")
    if path.stat().st_size > _LARGEST_MODEL_JSON:
        raise BundleError(f"{path}: larger than any model.json ({_LARGEST_MODEL_JSON:,} bytes at most)")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise BundleError(f"{path}: damaged (a JSON {type(content).__name__}, not an object); get the model again")
        if content.get("format_version") != FORMAT_VERSION:
            raise BundleError(
                f"{path}: bundle format {content.get('format_version')!r}, and this version reads {FORMAT_VERSION}; "
                "get a model for this version, or the version of ichseq that wrote it"
            )
        if content.pop(OWN_DIGEST, None) != sealed(content)[OWN_DIGEST]:
            raise BundleError(f"{path}: changed since it was written (its SHA-256 does not fit); get the model again")
        info = BundleInfo.model_validate(content)
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BundleError(f"{path}: damaged (not JSON: {error}); get the model again") from error
    except ValidationError as error:
        fault = error.errors()[0]
        raise BundleError(
            f"{path}: damaged ({'.'.join(map(str, fault['loc']))}: {fault['msg']}); get the model again"
        ) from None
    if info.labels != LABEL_NAMES:
        raise BundleError(
            f"{path}: its labels are {', '.join(info.labels)}; this version needs {', '.join(LABEL_NAMES)}"
        )
    return info


def read_bundle(folder: Path) -> Bundle:
    """A whole bundle; its weights are compared with their digest and every number is finite.

    Raises:
        BundleError: as `read_info`, or weights that are missing, damaged, changed, or not finite.
    """
    info = read_info(folder)
    path = folder / WEIGHTS_FILE
    if not path.is_file():
        raise BundleError(f"{path}: missing; get the model again")
    if sha256_of(path) != info.weights_sha256:
        raise BundleError(f"{path}: damaged or changed (its SHA-256 is not the one in model.json); get the model again")
    try:
        weights = load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise BundleError(f"{path}: not a safetensors file ({error}); get the model again") from error
    for name, values in weights.items():
        if np.issubdtype(values.dtype, np.floating) and not np.isfinite(values).all():
            raise BundleError(f"{path}: {name} holds NaN or infinity; the model cannot be used")
    return Bundle(info, weights)
