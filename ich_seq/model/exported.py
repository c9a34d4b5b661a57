"""What `ichseq export` adds to a bundle: OpenVINO graphs and one ONNX file, named by their digests in model.json.

The network is cut where its precision changes, since OpenVINO computes a whole graph in one: `window` (HU to normalised tiles, always
fp32: in bf16, HU would be rounded before they are windowed), `slices` (tiles to stage one's logits and PCA coordinates, in fp32 or
bf16; `slices_int8` is its quantised copy) and `scan` (stage two, always fp32). A network that reads neighbouring slices has a `window`
that takes each slice by itself; what computes it sets the neighbours' tiles beside it. Nothing here needs torch or OpenVINO.
"""

import hashlib
import mmap
import os
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import numpy as np
from jaxtyping import UInt8
from pydantic import BaseModel, ConfigDict, Field

from ich_seq.config import PreprocessConfig
from ich_seq.distrust import DamagedError, open_own, read_own
from ich_seq.errors import BundleError

FOLDER, ONNX_FILE = "openvino", "pipeline.onnx"
GraphName = Literal["window", "slices", "slices_int8", "scan"]
Measured = Literal["bf16", "int8"]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=0)]
Loss = Annotated[float, Field(ge=0)]
_LARGEST_XML, _LARGEST_BIN = 64_000_000, 20_000_000_000
_AGAIN = "run `ichseq export` again"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)


class GraphDigests(_Part):
    """One graph, NAME.xml and NAME.bin, by the SHA-256 of both files."""

    xml_sha256: Sha256
    bin_sha256: Sha256


class PrecisionLoss(_Part):
    """What a precision costs against fp32 on the same slices: both stages, all labels."""

    measured_on: str
    """Which patients of which table."""
    patients: Count
    scans: Count
    slices: Count
    largest_prob_change: Loss
    """Of any probability, by either stage."""
    largest_auc_drop: Loss
    """By how much the AUC of any label fell; 0 where none did."""
    auc_change: dict[str, float]
    """Of each label that has slices with and without it: AUC over slices by stage two, minus that in fp32."""


class Calibration8(_Part):
    """What int8 was calibrated with: the ranges of activations."""

    slices: Count
    patients: Count
    table_sha256: Sha256
    float_layers: Count
    """So many convolutions at the front were left in floating point."""
    nncf_version: str


class Exported(_Part):
    """The graphs of a bundle and what is known of them; all were made from the bundle's own weights."""

    ichseq_version: str
    openvino_version: str
    graphs: dict[GraphName, GraphDigests]
    onnx_sha256: Sha256 | None = None
    """Of pipeline.onnx, the whole network in one file; null where none was asked for."""
    largest_difference: Loss
    """Of any fp32 probability from torch's, on one synthetic scan."""
    int8: Calibration8 | None = None
    losses: dict[Measured, PrecisionLoss] = {}
    """By precision; one that was not measured is missing."""


def tile_name(preprocess: PreprocessConfig) -> str:
    """What the window graph's output is called: `tiles`, or `slice_tiles` where the network reads neighbours beside each."""
    return "slice_tiles" if preprocess.adjacent_slices else "tiles"


class GraphFiles(NamedTuple):
    """A graph as OpenVINO takes it: the text of its .xml, and its .bin mapped into memory."""

    xml: bytes
    weights: UInt8[np.ndarray, " n"]


def read_graph(folder: Path, exported: Exported, name: GraphName) -> GraphFiles:
    """One graph of the bundle in `folder`, its digests compared before anything parses it; these very bytes are what was compared.

    Raises:
        BundleError: a file is missing, changed, a link, too large, or model.json does not name the graph.
    """
    digests = exported.graphs.get(name)
    if digests is None:
        raise BundleError(f"{folder / 'model.json'}: names no graph {name!r}; {_AGAIN}")
    xml_path, bin_path = (folder / FOLDER / f"{name}.{suffix}" for suffix in ("xml", "bin"))
    path = xml_path
    try:
        xml = read_own(xml_path, _LARGEST_XML)
        _compare(xml, digests.xml_sha256)
        path = bin_path
        weights = _mapped(bin_path)
        _compare(weights.data, digests.bin_sha256)
    except FileNotFoundError:
        raise BundleError(f"{path}: missing; {_AGAIN}") from None
    except DamagedError as error:
        raise BundleError(f"{path}: {error}; {_AGAIN}") from error
    return GraphFiles(xml, weights)


def _mapped(path: Path) -> UInt8[np.ndarray, " n"]:
    """A file's bytes without a copy of them; private, so that nothing that is written to them reaches the file."""
    with open_own(path, _LARGEST_BIN) as file:
        if os.fstat(file.fileno()).st_size == 0:
            return np.zeros(0, np.uint8)
        return np.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY), np.uint8)


def _compare(content: bytes | memoryview, digest: str) -> None:
    if hashlib.sha256(content).hexdigest() != digest:
        raise DamagedError("damaged or changed: its SHA-256 is not the one in model.json")
