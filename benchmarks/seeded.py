"""What several benchmarks measure with: the full-size pipeline with seeded random weights, and a head scan of 32 slices."""

import os
from pathlib import Path

import numpy as np
import torch

from benchmarks.processes import ICHSEQ, once
from ich_seq.config import CnnConfig, Config
from ich_seq.embeddings.pca import Pca
from ich_seq.model.bundle import TrainedOn, read_info, write_bundle, write_info
from ich_seq.model.card import model_card
from ich_seq.model.export import synthetic_slices, write_graph
from ich_seq.model.openvino_backend import OpenVinoModel
from ich_seq.model.quantise import quantise
from ich_seq.model.torch_backend import describe, pack_weights
from ich_seq.sequence.network import SequenceNet
from ich_seq.slices.network import SliceNet

PROJECT = Path(__file__).resolve().parents[1]
RESULTS = Path(__file__).parent / "results"
REAL = Path(os.environ.get("ICHSEQ_REAL_DATA", PROJECT.parent / "shared" / "data")) / "rsna_series_ID_52c1ab5a"


def seeded_bundle(folder: Path, backbone: str = "resnext101_32x8d") -> Path:
    """A model with seeded random weights: the published BiLSTM behind ResNeXt-101 32x8d, the published size, or another backbone."""
    torch.manual_seed(0)
    config = Config(name="seeded", about="Random weights, for timing.", cnn=CnnConfig(backbone=backbone))
    cnn, lstm = SliceNet(config.cnn.backbone, config.preprocess).eval(), SequenceNet(120, config.lstm).eval()
    generator = np.random.default_rng(0)
    components = np.linalg.qr(generator.standard_normal((cnn.embedding_width, 120)))[0].T.astype(np.float32)
    pca = Pca(np.zeros(cnn.embedding_width, np.float32), np.ascontiguousarray(components), np.ones(120, np.float32))
    nobody = TrainedOn(dataset="none", description="Random weights.", patients=0, scans=0, slices=0, table_sha256="")
    weights = pack_weights(cnn, pca, lstm)
    info = describe(config, cnn, pca, nobody, {}, weights)
    write_bundle(folder, info, weights, model_card(info))
    return folder


def add_int8(folder: Path) -> None:
    """An int8 graph for its speed alone, calibrated on eight synthetic slices; random weights can pass no gate."""
    info = read_info(folder)
    if info.exported is None:
        raise ValueError("export first")
    model = OpenVinoModel(folder, info, "fp32", jobs=1)
    tiles = [model.tiles(hu) for hu in synthetic_slices([(512, 512)] * 8)]
    digests = write_graph(folder, "slices_int8", quantise(folder, info, info.exported, tiles, 0))
    graphs = {**info.exported.graphs, "slices_int8": digests}
    write_info(folder, info.model_copy(update={"exported": info.exported.model_copy(update={"graphs": graphs})}))


def scan_of_32(work: Path) -> tuple[Path, str]:
    """The real RSNA series of 32 slices where it is at hand (ICHSEQ_REAL_DATA), else a synthetic one; and which it is."""
    if REAL.is_dir():
        return REAL, f"the real series {REAL.name}, 32 slices of 512 x 512"
    return synthetic_studies(work / "one", 1), "a synthetic scan, 32 slices of 512 x 512"


def synthetic_studies(folder: Path, studies: int) -> Path:
    """So many synthetic studies of 32 slices of 512 x 512."""
    words = ("phantom", "--studies", str(studies), "--slices", "32", "--matrix", "512", "--out", str(folder), "--quiet")
    once((*ICHSEQ, *words))
    return folder
