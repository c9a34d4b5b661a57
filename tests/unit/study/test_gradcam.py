"""Grad-CAM: equal to captum's through stage one, and to finite differences through both stages."""

from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch
from captum.attr import LayerGradCam
from tiny_model import load_tiny_model, write_tiny_model
from torch import nn
from torch.nn import functional

from ich_seq.config import LstmConfig, PreprocessConfig
from ich_seq.errors import ModelError
from ich_seq.labels import LABEL_NAMES
from ich_seq.slices.network import SliceNet, SliceOutput
from ich_seq.slices.window import Preprocess
from ich_seq.study.gradcam import GradCam, SeenScan, weigh

BACKBONES = ("resnext14_8x4d", "densenet121", "efficientnet_b0")


class FeatureMap(nn.Module):
    """The last feature map as a layer of its own, so that captum can hook it whatever the trunk."""

    def __init__(self, cnn: SliceNet) -> None:
        super().__init__()
        self.cnn = cnn

    def forward(self, tiles: torch.Tensor) -> torch.Tensor:
        return self.cnn.features(tiles)


class Logits(nn.Module):
    """A classifier that gives its logits alone, as captum wants it."""

    def __init__(self, cnn: SliceNet) -> None:
        super().__init__()
        self.cnn, self.feature_map = cnn, FeatureMap(cnn)

    def forward(self, tiles: torch.Tensor) -> torch.Tensor:
        return self.cnn.from_features(self.feature_map(tiles)).logits


def tiny_cam(
    folder: Path, slices: int = 6, dtype: torch.dtype = torch.float32, **more: object
) -> tuple[GradCam, SeenScan]:
    """A tiny model's maps of random slices, of which all feature maps are kept."""
    write_tiny_model(folder, size=64, lstm=LstmConfig(hidden=6, layers=2, deltas=True, position=True), **more)
    model = load_tiny_model(folder)
    generator = np.random.default_rng(1)
    slices_hu = [generator.uniform(0, 80, (64, 64)).astype(np.float32) for _ in range(slices)]
    seen = GradCam(model.cnn, model.pca, model.lstm).look(slices_hu, range(slices))
    seen = SeenScan(seen.places, seen.maps.to(dtype), seen.logits.to(dtype), seen.embedding.to(dtype))
    return GradCam(model.cnn.to(dtype), model.pca, model.lstm.to(dtype)), seen


@pytest.mark.parametrize("backbone", BACKBONES)
def test_stage_one_is_captums(backbone: str) -> None:
    torch.manual_seed(0)
    cnn = SliceNet(backbone, PreprocessConfig.model_validate({"size": 96})).eval()
    last = [layer for layer in cnn.modules() if isinstance(layer, nn.Linear)][-1]
    last.weight.data.abs_()  # so that every label has something positive to show
    slices_hu = [np.random.default_rng(k).uniform(0, 80, (96, 96)).astype(np.float32) for k in range(2)]
    cam = GradCam.__new__(GradCam)
    cam.cnn, cam.device = cnn, torch.device("cpu")
    seen = cam.look(slices_hu, range(2))
    tiles = torch.cat([cnn.preprocess.tiles(torch.from_numpy(hu)[None]) for hu in slices_hu])
    network = Logits(cnn)
    oracle = LayerGradCam(network, network.feature_map)
    for label in range(len(LABEL_NAMES)):
        theirs = oracle.attribute(tiles, target=label, relu_attributions=True)
        assert isinstance(theirs, torch.Tensor)
        ours = cam.stage_one(seen, label)
        assert ours.shape == (2, 3, 3)
        assert theirs.max() > 0
        assert np.corrcoef(ours.numpy().ravel(), theirs[:, 0].detach().numpy().ravel())[0, 1] >= 0.999
        assert torch.allclose(ours, theirs[:, 0], rtol=1e-3, atol=1e-7)


def test_the_gradient_through_both_stages_is_that_of_finite_differences(tmp_path: Path) -> None:
    """Central differences of 1e-4 in float64 along 12 random directions: ten times the step gives a hundred times the error, 7e-5."""
    cam, seen = tiny_cam(tmp_path / "model", dtype=torch.float64)
    assert seen.maps.dtype == torch.float64
    generator = torch.Generator().manual_seed(2)

    def refined(maps: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            out = cam.cnn.from_features(maps)
            return cam.refined(out.logits, out.embedding)[0]

    for target in (0, 3):
        gradients = [cam.gradient_of(seen, label, target) for label in range(len(LABEL_NAMES))]
        for _ in range(12):
            way = torch.randn(seen.maps.shape, generator=generator, dtype=torch.float64)
            change = (refined(seen.maps + 1e-4 * way) - refined(seen.maps - 1e-4 * way))[target] / 2e-4
            for label, gradient in enumerate(gradients):
                assert float((gradient * way).sum()) == pytest.approx(float(change[label]), rel=1e-5, abs=1e-9)


def test_the_gradient_of_single_cells_is_that_of_finite_differences(tmp_path: Path) -> None:
    cam, seen = tiny_cam(tmp_path / "model", dtype=torch.float64)
    generator = np.random.default_rng(3)
    for label in range(len(LABEL_NAMES)):
        gradient = cam.gradient_of(seen, label, 2)
        for _ in range(4):
            cell = tuple(int(generator.integers(0, length)) for length in seen.maps.shape)
            values = []
            for step in (0.05, -0.05):
                maps = seen.maps.clone()
                maps[cell] += step
                with torch.no_grad():
                    out = cam.cnn.from_features(maps)
                    values.append(float(cam.refined(out.logits, out.embedding)[0, 2, label]))
            assert float(gradient[cell]) == pytest.approx((values[0] - values[1]) / 0.1, rel=1e-4, abs=1e-11)


def test_a_slices_own_map_is_the_one_among_the_maps_of_its_score(tmp_path: Path) -> None:
    cam, seen = tiny_cam(tmp_path / "model")
    own = cam.stage_two(seen, 5)
    for place in seen.places:
        torch.testing.assert_close(cam.stage_two_of(seen, 5, place)[place], own[place])


def test_refined_scores_are_those_of_scoring(tmp_path: Path) -> None:
    cam, seen = tiny_cam(tmp_path / "model")
    model = load_tiny_model(tmp_path / "model")
    reduced = model.pca.reduce(seen.embedding.numpy())
    scored = model.refine(reduced, torch.sigmoid(seen.logits).numpy())
    with torch.no_grad():
        refined = torch.sigmoid(cam.refined(seen.logits, seen.embedding)[0])
    np.testing.assert_allclose(refined.numpy(), scored, atol=1e-6)


def test_where_stage_one_has_the_last_word_both_maps_are_one(tmp_path: Path) -> None:
    """With a blend of 0 the refined logit is stage one's, so the gradient may come through the probabilities alone."""
    cam, seen = tiny_cam(tmp_path / "model")
    cam.lstm.blend.zero_()
    torch.testing.assert_close(cam.stage_two(seen, 1), cam.stage_one(seen, 1), rtol=1e-4, atol=1e-7)


def test_a_map_is_the_positive_part_of_weighed_channels() -> None:
    """Two channels with mean gradients 1 and -2: [[1, 0], [3, 2]] - 2 [[0, 1], [1, 2]] = [[1, -2], [1, -2]]."""
    maps = torch.tensor([[[[1.0, 0.0], [3.0, 2.0]], [[0.0, 1.0], [1.0, 2.0]]]])
    gradient = torch.tensor([[[[4.0, 0.0], [0.0, 0.0]], [[-2.0, -2.0], [-2.0, -2.0]]]])
    assert weigh(maps, gradient).tolist() == [[[1, 0], [1, 0]]]


@pytest.mark.parametrize("reach", [0, 1, 2])
@pytest.mark.parametrize("count", [2, 3, 7])
def test_the_score_without_a_slice_is_that_of_the_scan_that_lacks_it(tmp_path: Path, reach: int, count: int) -> None:
    """Seen anew from its HU, so that the slices around it read others beside them; a scan of one slice is none to such a network."""
    one = {"windows": [{"level": 40, "width": 80}], "mean": [0.0], "std": [1.0]} if reach else {}
    preprocess = PreprocessConfig.model_validate({"size": 64, "adjacent_slices": reach, **one})
    write_tiny_model(tmp_path / "model", preprocess=preprocess, lstm=LstmConfig(hidden=6, layers=2, deltas=True))
    model = load_tiny_model(tmp_path / "model")
    generator = np.random.default_rng(1)
    slices_hu = [generator.uniform(0, 80, (64, 64)).astype(np.float32) for _ in range(count)]
    cam = GradCam(model.cnn, model.pca, model.lstm)
    targets = [0, count - 1]
    without = cam.without_each(cam.look(slices_hu, []), targets)
    if reach and count == 2:
        assert torch.isnan(without).all()
        return
    for row, target in enumerate(targets):
        assert torch.isnan(without[row, target]).all()
        for gone in set(range(count)) - {target}:
            rest = [place for place in range(count) if place != gone]
            alone = cam.look([slices_hu[place] for place in rest], [])
            with torch.no_grad():
                refined = cam.refined(alone.logits, alone.embedding)[0, rest.index(target)]
            torch.testing.assert_close(without[row, gone], refined, rtol=1e-4, atol=1e-5)


def test_a_network_that_reads_neighbours_has_its_map_on_the_slice_in_the_middle() -> None:
    """A spot in slice 2 only, and a network that looks at its middle channel: slices 1 and 3 read the spot too, and stay cold."""

    class Middle(nn.Module):
        """The middle one of three channels, shrunk, is the feature map, and its mean the only embedding."""

        def __init__(self) -> None:
            super().__init__()
            choices = {
                "size": 64,
                "windows": [{"level": 40, "width": 80}],
                "mean": [0],
                "std": [1],
                "adjacent_slices": 1,
            }
            self.preprocess = Preprocess(PreprocessConfig.model_validate(choices))

        def features(self, tiles: torch.Tensor) -> torch.Tensor:
            assert tiles.shape[1] == 3
            return functional.avg_pool2d(tiles[:, 1:2], 8)

        def from_features(self, feature_map: torch.Tensor) -> SliceOutput:
            mean = feature_map.mean(dim=(2, 3))
            return SliceOutput(mean.expand(-1, 6), mean)

    slices_hu = [np.zeros((64, 64), np.float32) for _ in range(5)]
    slices_hu[2][40:48, 8:16] = 70
    cam = GradCam.__new__(GradCam)
    cam.cnn, cam.device = cast(SliceNet, Middle()), torch.device("cpu")
    maps = cam.stage_one(cam.look(slices_hu, range(5)), 0)
    assert [place for place in range(5) if maps[place].max() > 0] == [2]
    assert divmod(int(maps[2].argmax()), 8) == (5, 1)


def test_a_trunk_without_a_spatial_map_is_refused(tmp_path: Path) -> None:
    cnn = SliceNet("vit_b_16", PreprocessConfig.model_validate({"size": 32})).eval()
    cam = GradCam.__new__(GradCam)
    cam.cnn, cam.device = cnn, torch.device("cpu")
    with pytest.raises(ModelError, match="vit_b_16 has no spatial feature map"):
        cam.look([np.zeros((32, 32), np.float32)], [0])


def test_a_map_of_one_cell_is_refused(tmp_path: Path) -> None:
    write_tiny_model(tmp_path / "model", size=32)
    model = load_tiny_model(tmp_path / "model")
    cam = GradCam(model.cnn, model.pca, model.lstm)
    with pytest.raises(ModelError, match="1 x 1 places at 32 pixels"):
        cam.look([np.zeros((32, 32), np.float32)], [0])
