"""The two files of a model bundle: model.json, a zero byte, weights.safetensors; digests are set right, so that more is met."""

import contextlib
import hashlib
import json

import numpy as np
from safetensors.numpy import save

from fuzz.targets.scratch import scratch_file
from ich_seq.config import CnnConfig, LstmConfig, PreprocessConfig
from ich_seq.errors import BundleError
from ich_seq.model.bundle import WEIGHTS_FILE, BundleInfo, TrainedOn, read_bundle, sealed


def seeds() -> list[bytes]:
    """A bundle of three small tensors."""
    weights = save({f"{part}.x": np.linspace(0, 1, 4, dtype=np.float32) for part in ("cnn", "pca", "lstm")})
    taught = TrainedOn(dataset="none", description="", patients=0, scans=0, slices=0, table_sha256="0" * 64)
    info = BundleInfo(
        name="tiny",
        ichseq_version="0",
        preprocess=PreprocessConfig(),
        cnn=CnnConfig(),
        lstm=LstmConfig(),
        embedding_width=8,
        reduced_width=4,
        trained_on=taught,
        validation_loss={},
        weights_sha256="0" * 64,
    )
    return [info.model_dump_json().encode() + b"\0" + weights]


def check(data: bytes) -> None:
    """Nothing where the bundle is read or refused."""
    description, _, weights = data.partition(b"\0")
    with contextlib.suppress(ValueError, RecursionError):
        content = json.loads(description)
        if isinstance(content, dict):
            content["weights_sha256"] = hashlib.sha256(weights).hexdigest()
            description = json.dumps(sealed(content)).encode()
    scratch_file(f"bundle/{WEIGHTS_FILE}", weights)
    path = scratch_file("bundle/model.json", description)
    with contextlib.suppress(BundleError):
        read_bundle(path.parent)
