"""The slice classifier against torchvision's own networks."""

import pytest
import torch
from torchvision.models import resnet18

from ich_seq.config import PreprocessConfig, Window
from ich_seq.errors import ConfigError
from ich_seq.slices.backbones import backbones, build_backbone
from ich_seq.slices.network import SliceNet

SMALL = PreprocessConfig(size=64)


def test_resnext101_with_six_labels_has_the_published_number_of_parameters() -> None:
    with torch.device("meta"):
        network = SliceNet("resnext101_32x8d", PreprocessConfig())
    assert sum(p.numel() for p in network.parameters()) == 86_754_630
    assert network.embedding_width == 2048


def test_the_demo_network_has_2048_d_embeddings() -> None:
    assert SliceNet("resnext14_8x4d", SMALL).embedding_width == 2048


def test_the_embedding_is_what_torchvision_pools_before_its_classifier() -> None:
    torch.manual_seed(0)
    network = SliceNet("resnet18", SMALL).eval()
    reference = resnet18(weights=None).eval()
    state = {key: value for key, value in network.backbone.state_dict().items() if not key.startswith("fc.")}
    reference.load_state_dict(state, strict=False)
    pooled = []
    reference.avgpool.register_forward_hook(lambda module, inputs, output: pooled.append(output.flatten(1)))
    tiles = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        output = network(tiles)
        reference(network.preprocess(tiles))
        logits = network.head(pooled[0])
    torch.testing.assert_close(output.embedding, pooled[0], rtol=1e-4, atol=1e-5)  # channels-last sums in another order
    torch.testing.assert_close(output.logits, logits, rtol=1e-4, atol=1e-5)


def test_other_than_three_windows_make_as_many_input_channels() -> None:
    one = PreprocessConfig(windows=(Window(level=40, width=80),), mean=(0.2,), std=(0.3,), size=32)
    network = SliceNet("resnet18", one).eval()
    assert network.read(torch.zeros(1, 40, 50)).logits.shape == (1, 6)


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "resnext50_32x4d", "wide_resnet50_2", "resnext14_8x4d"])
def test_a_resnet_or_resnext_is_built_by_its_name(name: str) -> None:
    with torch.device("meta"):
        assert build_backbone(name).fc.in_features == (512 if name == "resnet18" else 2048)


def test_an_unknown_network_is_refused_with_the_list() -> None:
    with pytest.raises(ConfigError, match="no network 'resnext102'; known: .*resnext101_32x8d"):
        build_backbone("resnext102")
    assert "resnext101_32x8d" in backbones()


def test_the_rest_of_the_forward_pass_from_the_feature_map_gives_the_same_bits() -> None:
    network, tiles = SliceNet("resnet18", SMALL).eval(), torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        feature_map = network.features(tiles)
        whole, rest = network(tiles), network.from_features(feature_map)
        trunk = network.backbone(network.preprocess(tiles).contiguous(memory_format=torch.channels_last))
    assert feature_map.shape == (2, 512, 2, 2)
    assert torch.equal(whole.logits, rest.logits)
    assert torch.equal(whole.embedding, trunk)
