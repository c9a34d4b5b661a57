"""Every way from HU to the network's input as OpenVINO computes it: the same tiles as torch's, of any matrix."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_model import write_tiny_model

from ich_seq.config import PreprocessConfig, load_config, shipped_configs
from ich_seq.errors import ModelError
from ich_seq.model.bundle import read_bundle
from ich_seq.model.export import synthetic_slices, window_graph
from ich_seq.model.onnx_parts import onnx_part
from ich_seq.model.telemetry import no_telemetry
from ich_seq.model.torch_backend import TorchModel

DIVIDED = {"windows": (), "windowing": "largest_absolute", "mean": (0.5,), "std": (0.5,)}
GREY = {"grey_mean": True, "mean": (0.2,), "std": (0.4,)}
INPUTS = {
    "linear": {},
    "antialiased": {"antialias": True},
    "antialiased, pooled": {"antialias": True, "max_pool": 2},
    "pooled": {"max_pool": 2},
    "sigmoid": {"windowing": "sigmoid"},
    "sigmoid, cut, pooled": {"windowing": "sigmoid", "resize": "pad_or_crop", "max_pool": 2},
    "cut to an odd size": {"resize": "pad_or_crop", "size": 51},
    "every n-th": {"resize": "every_nth", "size": 64},
    "grey": GREY,
    "grey, every n-th": {**GREY, "resize": "every_nth", "size": 64},
    "grey sigmoid, neighbours": {**GREY, "windowing": "sigmoid", "adjacent_slices": 1},
    "divided": DIVIDED,
    "divided, cut": {**DIVIDED, "resize": "pad_or_crop"},
    "divided, neighbours": {**DIVIDED, "adjacent_slices": 1},
    "neighbours": {"adjacent_slices": 1},
    "far neighbours, cut": {"adjacent_slices": 4, "resize": "pad_or_crop"},
}
ALWAYS = "antialiased, pooled"
SAMPLED = str(np.random.default_rng(0).choice([name for name in INPUTS if name != ALWAYS]))
MATRICES = ((512, 512), (48, 48), (96, 96), (47, 49), (51, 33), (33, 51), (200, 131), (52, 52), (20, 20))
"""Larger, smaller and of the size itself; sides that differ from it by an odd number either way."""


def model_of(folder: Path, inputs: dict[str, Any]) -> TorchModel:
    write_tiny_model(folder, preprocess=PreprocessConfig.model_validate({"size": 48, **inputs}))
    return TorchModel(read_bundle(folder))


def compare(model: TorchModel) -> None:
    whole, config = model.cnn.preprocess, model.info.preprocess
    with no_telemetry():
        from openvino import Core

    graph = window_graph(onnx_part("window", model), config)
    compiled = Core().compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1})
    for hu in synthetic_slices(MATRICES):
        with torch.no_grad():
            tile = whole.tiles(torch.from_numpy(hu)[None])
            wanted = whole(tile.repeat(1, 2 * config.adjacent_slices + 1, 1, 1))[:, : config.slice_channels]
        assert wanted.std() > 0
        # Up to 4 standard deviations in float32, and an antialiased resize whose weights are rounded once more.
        np.testing.assert_allclose(compiled(hu[None])[0], wanted, atol=1e-4)


@pytest.mark.parametrize("name", [ALWAYS, SAMPLED])
def test_a_window_graph_gives_torchs_tiles(tmp_path: Path, name: str) -> None:
    compare(model_of(tmp_path, INPUTS[name]))


@pytest.mark.campaign
@pytest.mark.parametrize("name", INPUTS)
def test_each_window_graph_gives_torchs_tiles(tmp_path: Path, name: str) -> None:
    compare(model_of(tmp_path, INPUTS[name]))


@pytest.mark.campaign
@pytest.mark.parametrize("name", shipped_configs())
def test_each_shipped_configs_window_graph_gives_torchs_tiles(tmp_path: Path, name: str) -> None:
    compare(model_of(tmp_path, load_config(name).preprocess.model_dump()))


def test_neighbours_normalised_otherwise_than_the_slice_are_refused(tmp_path: Path) -> None:
    model = model_of(tmp_path, INPUTS["neighbours"])
    model.cnn.preprocess.std[0, 4] = 2
    with pytest.raises(ModelError, match="another std for neighbouring slices.*score with --runtime torch"):
        onnx_part("window", model)
