"""A bundle of any classifier with seeded random weights under which slices differ in every label: there a wrong graph shows."""

from pathlib import Path

import numpy as np
import torch
from tiny_model import TRAINED_ON
from torch import Tensor, nn

from ich_seq.config import CnnConfig, Config, LstmConfig, PreprocessConfig, TrainCnnConfig
from ich_seq.embeddings.pca import Pca
from ich_seq.model.bundle import write_bundle
from ich_seq.model.card import model_card
from ich_seq.model.export import synthetic_slices
from ich_seq.model.torch_backend import describe, pack_weights
from ich_seq.sequence.network import SequenceNet
from ich_seq.slices.network import SliceNet
from ich_seq.slices.read import network_tiles

REDUCED, SPREAD = 4, 1.0
"""Coordinates of the PCA, and the standard deviation of each output over the slices that settle it, about 0."""
SHOWN = ((512, 512), (300, 200), (97, 256), (64, 64), (33, 47), (131, 200)) * 2
"""Matrices of the slices that settle the statistics: a deep network with random weights runs away on what it was not settled on."""


def write_spread_model(folder: Path, cnn: CnnConfig, preprocess: PreprocessConfig) -> None:
    """Batch norm has the statistics of synthetic slices, and the PCA and the last layer are scaled to `SPREAD` over these."""
    torch.manual_seed(0)
    config = Config(
        name="spread",
        about="for tests",
        preprocess=preprocess,
        cnn=cnn,
        train_cnn=TrainCnnConfig(sampling="positives" if cnn.output == "classes" else "all"),
        lstm=LstmConfig(hidden=8, layers=1),
    )
    network = SliceNet(cnn, preprocess)
    tiles = network_tiles(network.preprocess, synthetic_slices(SHOWN), range(len(SHOWN)))
    with torch.no_grad():
        _settle(network, tiles)
        embedding = network(tiles).embedding
        _spread(network.head, embedding)
        pca = _pca(embedding)
    lstm = SequenceNet(REDUCED, config.lstm)
    weights = pack_weights(network, pca, lstm)
    info = describe(config, network, pca, TRAINED_ON, {"stage_one": 1.0, "stage_two": 1.0}, weights)
    write_bundle(folder, info, weights, model_card(info))


def _settle(network: SliceNet, tiles: Tensor) -> None:
    """Batch norm as these slices need it; nothing is dropped meanwhile, or deep networks would not be settled."""
    network.eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
            module.train()
    network(tiles)
    network.eval()


def _spread(head: nn.Module, embedding: Tensor) -> None:
    last = head if isinstance(head, nn.Linear) else head.get_submodule("linear")
    assert isinstance(last, nn.Linear)
    outputs = last(embedding)
    deviation = outputs.std(dim=0)
    assert (deviation > 0).all(), "slices do not differ"
    factor = SPREAD / deviation
    last.weight.mul_(factor.unsqueeze(1))
    last.bias.sub_(outputs.mean(dim=0)).mul_(factor)


def _pca(embedding: Tensor) -> Pca:
    """The first directions in which the embeddings of these slices differ, to unit variance."""
    mean = embedding.mean(dim=0)
    _, _, directions = torch.linalg.svd(embedding - mean, full_matrices=False)
    coordinates = (embedding - mean) @ directions[:REDUCED].T
    components = directions[:REDUCED] / coordinates.std(dim=0, keepdim=True).T
    return Pca(mean.numpy(), components.contiguous().numpy(), np.ones(REDUCED, np.float32))
