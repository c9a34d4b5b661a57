"""A model bundle with seeded random weights, small enough to score a scan in a blink: its numbers mean nothing."""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ich_seq.config import CnnConfig, Config, LstmConfig, PreprocessConfig
from ich_seq.embeddings.pca import Pca
from ich_seq.model.bundle import Bundle, BundleInfo, TrainedOn, read_bundle, write_bundle
from ich_seq.model.card import model_card
from ich_seq.model.torch_backend import TorchModel, describe, pack_weights
from ich_seq.sequence.network import SequenceNet
from ich_seq.slices.network import SliceNet

TRAINED_ON = TrainedOn(
    dataset="none",
    description="Nothing: seeded random weights for tests.",
    patients=0,
    scans=0,
    slices=0,
    table_sha256="0" * 64,
)


def write_tiny_model(
    folder: Path,
    backbone: str = "resnext14_8x4d",
    size: int = 32,
    reduced: int = 8,
    lstm: LstmConfig | None = None,
    preprocess: PreprocessConfig | None = None,
    **more: Any,
) -> BundleInfo:
    """Writes a bundle with random weights from seed 0; `more` are further fields of its description."""
    torch.manual_seed(0)
    config = Config(
        name="tiny",
        about="for tests",
        preprocess=preprocess or PreprocessConfig.model_validate({"size": size}),
        cnn=CnnConfig(backbone=backbone, weights="none"),
        lstm=lstm or LstmConfig(hidden=8, layers=1),
    )
    cnn = SliceNet(backbone, config.preprocess)
    sequence = SequenceNet(reduced, config.lstm)
    generator = np.random.default_rng(0)
    components = np.linalg.qr(generator.standard_normal((cnn.embedding_width, reduced)))[0].T
    pca = Pca(
        mean=np.zeros(cnn.embedding_width, dtype=np.float32),
        components=np.ascontiguousarray(components, dtype=np.float32),
        explained_variance=np.ones(reduced, dtype=np.float32),
    )
    weights = pack_weights(cnn, pca, sequence)
    described = describe(config, cnn, pca, TRAINED_ON, {"stage_one": 1.0, "stage_two": 1.0}, weights)
    info = described.model_copy(update=more)
    write_bundle(folder, info, weights, model_card(info))
    return info


@cache
def _bundle(folder: Path) -> Bundle:
    return read_bundle(folder)


def load_tiny_model(folder: Path) -> TorchModel:
    """The bundle in `folder`, ready on one thread."""
    return TorchModel(_bundle(folder), "cpu")
