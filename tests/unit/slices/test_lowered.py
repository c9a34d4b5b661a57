"""Folded batch norm against the network as it was trained, and bf16 against fp32; what is folded is read from traced graphs."""

import copy
from collections.abc import Iterator

import pytest
import torch
from torch import fx, nn

from ich_seq.config import PreprocessConfig
from ich_seq.slices.backbones import backbones, build_backbone
from ich_seq.slices.lowered import fold_batch_norm, lower
from ich_seq.slices.network import SliceNet

FOLDED = 1e-5
"""Of a probability, by folding alone. Measured on random networks of up to 121 layers: 2e-6, the rounding of float32."""
IN_BF16 = 0.03
"""Of a probability, by bf16. Measured on the same: 0.015, and as much with torch's own autocast; trained networks change less."""
SMALL = {"resnext14_8x4d": 17, "densenet121": 59, "efficientnet_b0": 49}
"""Small trunks and how many of their batch norms follow a convolution: all, but for DenseNet's before convolutions."""
LARGE = [
    pytest.param(name, marks=pytest.mark.campaign) for name in ("convnext_tiny", "vit_b_16", "vgg16")
]  # 3 to 17 s each


def trained(name: str, size: int) -> tuple[SliceNet, torch.Tensor]:
    """A random network whose batch norms have the statistics of some tiles, as after training, and scales of their own."""
    torch.manual_seed(0)
    network, tiles = SliceNet(name, PreprocessConfig(size=size)), torch.rand(4, 3, size, size)
    norms = [module for module in network.eval().modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        nn.init.uniform_(norm.weight, 0.5, 1.5)
        nn.init.normal_(norm.bias, 0, 0.2)
        norm.train().momentum = 1.0
    with torch.no_grad():
        network(tiles)
    for norm in norms:
        norm.eval()
    return network, tiles


def change(network: SliceNet, other: SliceNet, tiles: torch.Tensor) -> float:
    """The largest of a probability."""
    with torch.inference_mode():
        one, two = (torch.sigmoid(each(tiles).logits) for each in (network, other))
    return float((one - two).abs().max())


@pytest.mark.parametrize("name", SMALL)
def test_folding_changes_no_probability_and_bf16_changes_it_little(name: str) -> None:
    network, tiles = trained(name, 64)
    folded = copy.deepcopy(network)
    assert fold_batch_norm(folded.backbone) == SMALL[name]
    assert change(network, folded, tiles) <= FOLDED
    lowered = lower(copy.deepcopy(network))
    assert 0 < change(network, lowered, tiles) <= IN_BF16
    kept = {
        type(module)
        for module in lowered.backbone.modules()
        for each in module.parameters(False)
        if each.dtype == torch.float32
    }
    assert kept <= {nn.BatchNorm2d}
    for weight in lowered.backbone.parameters():
        assert weight.ndim < 4 or weight.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("name", ["kumar2021_cnn", "lussier_cnn", *LARGE])
def test_a_trunk_without_batch_norm_is_only_brought_to_bf16(name: str) -> None:
    network, tiles = trained(name, 32)
    before = copy.deepcopy(network.state_dict())
    assert fold_batch_norm(network.backbone) == 0
    assert all(torch.equal(tensor, before[key]) for key, tensor in network.state_dict().items())
    lowered = lower(copy.deepcopy(network))
    assert 0 < change(network, lowered, tiles) <= IN_BF16
    dense = {key for key, tensor in lowered.backbone.state_dict().items() if tensor.dtype == torch.float32}
    assert {key.partition(".")[0] for key in dense} <= {"classifier", "rest"}


def test_a_lowered_network_reads_and_gives_float32_at_every_joint() -> None:
    """Grad-CAM takes the feature map apart from the rest, and differentiates what comes after it."""
    network, tiles = trained("resnext14_8x4d", 64)
    lowered = lower(network)
    found = lowered.features(tiles)
    output = lowered.from_features(found)
    assert {each.dtype for each in (found, output.logits, output.embedding)} == {torch.float32}
    leaf = found.detach().requires_grad_()
    gradient = torch.autograd.grad(lowered.from_features(leaf).logits.sum(), leaf)[0]
    by_hand = (
        lowered.head.weight.sum(dim=0) / found[0, 0].numel()
    )  # the logits' weights, spread by the mean over places
    torch.testing.assert_close(gradient[1, :, 0, 0], by_hand)


def test_batch_norm_in_training_mode_is_not_folded() -> None:
    with torch.device("meta"), pytest.raises(ValueError, match="evaluation mode"):
        fold_batch_norm(build_backbone("resnet18"))


def after_convolutions(trunk: nn.Module) -> Iterator[str]:
    """Batch norms that read a convolution which nothing else reads, by the trunk's traced graph."""
    graph, modules = fx.symbolic_trace(trunk).graph, dict(trunk.named_modules())
    for node in graph.nodes:
        if node.op == "call_module" and isinstance(modules[node.target], nn.BatchNorm2d):
            (read,) = node.args
            alone = read.op == "call_module" and len(read.users) == 1
            if alone and isinstance(modules[read.target], nn.Conv2d):
                yield node.target


def norms_gone(name: str) -> tuple[set[str], set[str]]:
    """What the graph says can be folded, and what was."""
    with torch.device("meta"):
        trunk = build_backbone(name).eval()
    wanted = set(after_convolutions(trunk))
    before = {key for key, module in trunk.named_modules() if isinstance(module, nn.BatchNorm2d)}
    fold_batch_norm(trunk)
    return wanted, before - {key for key, module in trunk.named_modules() if isinstance(module, nn.BatchNorm2d)}


@pytest.mark.parametrize("name", ["resnext14_8x4d", "densenet121", "efficientnet_b0"])
def test_exactly_those_norms_are_folded_that_alone_read_a_convolution(name: str) -> None:
    wanted, found = norms_gone(name)
    assert found == wanted
    assert wanted


@pytest.mark.campaign  # tracing all trunks takes half a minute of one core
@pytest.mark.parametrize(
    "name", sorted(set(backbones()) - {"vit_b_16", "kumar2021_cnn", "lussier_cnn"})
)  # these have none
def test_the_same_of_every_trunk(name: str) -> None:
    wanted, found = norms_gone(name)
    assert found == wanted
