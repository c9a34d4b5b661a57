"""Every trunk by name: the papers' numbers of parameters, the feature map, and the embedding that torchvision's classifier reads."""

import pytest
import torch
from torch import nn
from torchvision.models import get_model

from ich_seq.config import CnnConfig, PreprocessConfig, Window, load_config
from ich_seq.errors import ConfigError
from ich_seq.slices.backbones import WITHOUT_MAP, backbones
from ich_seq.slices.network import SliceNet

SMALL = PreprocessConfig(size=64)
NAMES = (
    *("resnet50", "resnext50_32x4d", "resnext101_32x8d", "densenet121", "densenet169", "convnext_tiny", "vgg16"),
    *(f"efficientnet_b{number}" for number in range(5)),
    *("kumar2021_cnn", "lussier_cnn", "resnext14_8x4d"),
)


def on_meta(cnn: str | CnnConfig, preprocess: PreprocessConfig) -> SliceNet:
    """Shapes alone, for nothing; normalising, which switches autocast off, cannot be had without numbers."""
    with torch.device("meta"):
        network = SliceNet(cnn, preprocess)
    network.preprocess.forward = lambda tiles: tiles  # type: ignore[method-assign]
    return network


def learnt(network: SliceNet) -> int:
    return sum(each.numel() for each in network.parameters())


def statistics(network: SliceNet) -> int:
    """Means and variances of batch norm, which Keras counts too."""
    return sum(each.numel() for name, each in network.named_buffers() if "running" in name)


@pytest.mark.parametrize(
    ("name", "count"),
    [("efficientnet", 7_949_688), ("resnet", 23_824_198), ("densenet", 7_169_478)],
)
@pytest.mark.parametrize("kind", ["asip_baseline", "windowed_optimised"])
def test_paper_004_has_its_number_of_parameters(name: str, count: int, kind: str) -> None:
    config = load_config(f"asip2022_{name}_{kind}")
    network = on_meta(config.cnn, config.preprocess)
    assert learnt(network) + statistics(network) == count
    assert network.embedding_width == 128


def test_paper_002_has_1_2_million_parameters() -> None:
    printed, seven = (load_config(name) for name in ("kumar2021_positives", "kumar2021"))
    by_hand = 32 * 10 + 64 * 289 + 128 * 577 + 64 * 1153 + 64 * (64 * 16 * 16 + 1) + 64 * 65 + 6 * 65
    assert learnt(on_meta(printed.cnn, printed.preprocess)) == by_hand == 1_219_654
    assert learnt(on_meta(seven.cnn, seven.preprocess)) == by_hand + 65


def test_paper_003_has_the_layers_that_it_prints() -> None:
    config = load_config("lussier")
    by_hand = 16 * 50 + 32 * (16 * 25 + 1) + 16 * (32 * 251 * 251 + 1) + 6 * 17
    assert learnt(on_meta(config.cnn, config.preprocess)) == by_hand == 32_270_262


@pytest.mark.parametrize("name", NAMES)
def test_every_trunk_has_a_spatial_feature_map_an_embedding_and_six_logits(name: str) -> None:
    network = on_meta(name, SMALL).eval()
    feature_map = network.features(torch.empty(2, 3, 64, 64, device="meta"))
    output = network.from_features(feature_map)
    assert feature_map.ndim == 4
    assert feature_map.shape[-1] >= 2
    assert output.embedding.shape == (2, network.embedding_width)
    assert output.logits.shape == (2, 6)
    assert name in backbones()


def test_the_networks_without_a_map_are_those_that_are_named() -> None:
    names = [name for name in backbones() if on_meta(name, PreprocessConfig(size=64)).family.feature_map is None]
    assert names == list(WITHOUT_MAP)


@pytest.mark.parametrize("name", ["densenet121", "efficientnet_b0", "convnext_tiny"])
def test_the_embedding_is_what_torchvisions_last_linear_layer_reads(name: str) -> None:
    torch.manual_seed(0)
    reference = get_model(name, weights=None).eval()
    network = SliceNet(name, SMALL).eval()
    network.backbone.load_state_dict(
        {key: value for key, value in reference.state_dict().items() if key in network.backbone.state_dict()}
    )
    read: list[torch.Tensor] = []
    last = [module for module in reference.modules() if isinstance(module, nn.Linear)][-1]
    last.register_forward_hook(lambda module, inputs, output: read.append(inputs[0]))
    tiles = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        reference(network.preprocess(tiles))
        embedding = network(tiles).embedding
    torch.testing.assert_close(embedding, read[0], rtol=1e-4, atol=1e-5)  # channels-last sums in another order


@pytest.mark.parametrize("name", ["densenet121", "efficientnet_b0", "convnext_tiny", "kumar2021_cnn", "resnet18"])
def test_neighbours_are_input_channels_of_any_trunk(name: str) -> None:
    config = PreprocessConfig(
        windows=(Window(level=60, width=40),), mean=(0.0,), std=(1.0,), size=64, adjacent_slices=2
    )
    network = on_meta(name, config)
    first = next(module for module in network.backbone.modules() if isinstance(module, nn.Conv2d))
    assert first.in_channels == 5


def test_a_trunk_without_a_spatial_feature_map_scores_and_says_that_it_has_none() -> None:
    network = on_meta("vit_b_16", SMALL).eval()
    tiles = torch.empty(2, 3, 64, 64, device="meta")
    assert network(tiles).embedding.shape == (2, 768)
    with pytest.raises(ConfigError, match="vit_b_16 has no spatial feature map"):
        network.features(tiles)


@pytest.mark.parametrize(("name", "size"), [("vit_b_16", 40), ("kumar2021_cnn", 4), ("lussier_cnn", 11)])
def test_a_size_that_a_trunk_cannot_have_is_refused(name: str, size: int) -> None:
    with pytest.raises(ConfigError, match=rf"{name} .*preprocess\.size is {size}"):
        on_meta(name, PreprocessConfig(size=size))
