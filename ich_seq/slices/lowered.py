"""A trained slice classifier made fast: batch norm folded into the convolutions before it, the trunk in bf16. For inference alone."""

from dataclasses import replace
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from ich_seq.slices.backbones import Family
from ich_seq.slices.network import SliceNet


def fold_batch_norm(trunk: nn.Module) -> int:
    """Folds each batch norm that directly follows a convolution into it, one pair after another; returns how many it folded.

    A convolution and the norm after it in the order of their parent are one after the other in every trunk of ours
    (`tests/unit/slices/test_lowered.py` reads that from the traced graphs). DenseNet's norms that come before a convolution stay.

    Raises:
        ValueError: in training mode, where batch norm goes by the batch's own statistics.
    """
    if trunk.training:
        raise ValueError("batch norm is folded in evaluation mode")
    folded = 0
    for parent in trunk.modules():
        for (_, convolution), (name, norm) in pairwise(list(parent.named_children())):
            if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                _fold(convolution, norm)
                setattr(parent, name, nn.Identity())
                folded += 1
    return folded


def lower(network: SliceNet) -> SliceNet:
    """The same network, changed in place: batch norm folded, the trunk up to its last feature map in bf16, channels last.

    Windowing, resize and normalising stay in fp32, and so does what comes after the feature map: pooling, dense layers, outputs. A
    trunk without a feature map is wholly in bf16. Batch norms that cannot be folded keep fp32 numbers. Weights are converted one by
    one, so that no second copy of them is held.

    Raises:
        ValueError: in training mode.
    """
    trunk, family = network.backbone, network.family
    fold_batch_norm(trunk)
    kept = {family.dense} - {""}
    for name, module in trunk.named_modules():
        if not isinstance(module, nn.BatchNorm2d) and name.partition(".")[0] not in kept:
            for parameter in module.parameters(recurse=False):
                parameter.data = parameter.data.to(torch.bfloat16)
    trunk.to(memory_format=torch.channels_last)
    network.family = _in_bf16(family)
    return network


def _fold(convolution: nn.Conv2d, norm: nn.BatchNorm2d) -> None:
    if norm.running_mean is None or norm.running_var is None:
        raise ValueError("a batch norm without running statistics cannot be folded")
    convolution.weight, convolution.bias = fuse_conv_bn_weights(
        convolution.weight,
        convolution.bias,
        norm.running_mean,
        norm.running_var,
        norm.eps,
        norm.weight,
        norm.bias,
    )


def _in_bf16(family: Family) -> Family:
    """The family whose trunk reads and gives fp32 and computes in bf16."""
    to_map = family.feature_map
    if to_map is None:

        def pooled(trunk: nn.Module, tiles: Float[Tensor, "b c y x"]) -> Float[Tensor, "b d"]:
            return family.pooled(trunk, tiles.to(torch.bfloat16)).float()

        return replace(family, pooled=pooled)

    def feature_map(trunk: nn.Module, tiles: Float[Tensor, "b c y x"]) -> Float[Tensor, "b k h w"]:
        return to_map(trunk, tiles.to(torch.bfloat16)).float()

    return replace(family, feature_map=feature_map)
