"""Trunks of the slice classifier by name: each gives its last spatial feature map and the pooled vector of it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models import get_model, list_models
from torchvision.models.convnext import ConvNeXt
from torchvision.models.densenet import DenseNet
from torchvision.models.efficientnet import EfficientNet
from torchvision.models.resnet import Bottleneck, ResNet
from torchvision.models.vgg import VGG
from torchvision.models.vision_transformer import VisionTransformer

from ich_seq.errors import ConfigError
from ich_seq.slices.small import KumarCnn, LussierCnn

DEMO_BACKBONE = "resnext14_8x4d"
_SMALL: dict[str, type[KumarCnn] | type[LussierCnn]] = {"kumar2021_cnn": KumarCnn, "lussier_cnn": LussierCnn}
OURS = (DEMO_BACKBONE, *_SMALL)
"""Networks that are not torchvision's, so that nobody publishes weights of them."""
_TRANSFORMER = "vit_b_16"
WITHOUT_MAP = (_TRANSFORMER,)
"""The networks whose family has no `feature_map`."""
_OTHERS = (
    *("densenet121", "densenet169", "efficientnet_b0", "efficientnet_b1", "efficientnet_b2", "efficientnet_b3"),
    *("efficientnet_b4", "convnext_tiny", "vgg16", _TRANSFORMER),
)


@dataclass(frozen=True)
class Family:
    """How one kind of network is divided.

    `first` names its first convolution, whose input channels may change. `behead` takes away its last linear layer and gives the
    width of what comes before. `feature_map` is None where nothing spatial is left to be pooled. `dense` names what has weights after
    the feature map; empty where pooling alone comes after it.
    """

    first: str
    behead: Callable[[Any], int]
    feature_map: Callable[[Any, Tensor], Tensor] | None
    pooled: Callable[[Any, Tensor], Tensor]
    dense: str = ""


def build_backbone(name: str, channels: int = 3, size: int = 224) -> Any:
    """A network with random weights by its name in torchvision, or one of ours; its classifier is still there.

    `resnext14_8x4d` has one bottleneck of 8 groups of 4 channels in each of the four stages: 14 layers, 2,048-d embeddings. Other
    than three channels make a new first convolution. `size`, rows and columns of a tile, shapes the small networks and `vit_b_16`.

    Raises:
        ConfigError: no such network, the message lists those there are; or one that cannot have this size.
    """
    known = backbones()
    if name not in known:
        raise ConfigError(f"cnn.backbone: no network {name!r}; known: {', '.join(known)}")
    if name in _SMALL:
        return _SMALL[name](channels, size)
    if name == DEMO_BACKBONE:
        network: nn.Module = ResNet(Bottleneck, [1, 1, 1, 1], groups=8, width_per_group=4)
    elif name == _TRANSFORMER:
        if size % 16:
            raise ConfigError(f"cnn.backbone: {name} cuts tiles into patches of 16 pixels; preprocess.size is {size}")
        network = get_model(name, weights=None, image_size=size)
    else:
        network = get_model(name, weights=None)
    place = family_of(network).first
    first = network.get_submodule(place)
    if isinstance(first, nn.Conv2d) and first.in_channels != channels:
        network.set_submodule(place, _with_channels(first, channels))
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def backbones() -> list[str]:
    """The names that `build_backbone` takes."""
    return sorted([*list_models(include=["resnet*", "resnext*", "wide_resnet*"]), *_OTHERS, *OURS])


def no_map_words(name: str) -> str:
    """Why nothing can be drawn of what a network of `WITHOUT_MAP` saw."""
    return (
        f"cnn.backbone: {name} has no spatial feature map before its pooled vector, so no heat map can be drawn; use a convolutional "
        "network"
    )


def family_of(network: nn.Module) -> Family:
    """How this network is divided."""
    return next(family for kind, family in _FAMILIES.items() if isinstance(network, kind))


def _with_channels(first: nn.Conv2d, channels: int) -> nn.Conv2d:
    """As `first`, for so many input channels, with torch's own random weights."""
    shape: Any = {"kernel_size": first.kernel_size, "stride": first.stride, "padding": first.padding}
    return nn.Conv2d(channels, first.out_channels, **shape, bias=first.bias is not None)


def _resnet_map(trunk: ResNet, tiles: Tensor) -> Tensor:
    found = trunk.maxpool(trunk.relu(trunk.bn1(trunk.conv1(tiles))))
    return trunk.layer4(trunk.layer3(trunk.layer2(trunk.layer1(found))))


def _behead_resnet(trunk: ResNet) -> int:
    width = trunk.fc.in_features
    trunk.fc = nn.Identity()  # type: ignore[assignment]
    return width


def _behead_densenet(trunk: DenseNet) -> int:
    width = trunk.classifier.in_features
    trunk.classifier = nn.Identity()  # type: ignore[assignment]
    return width


def _behead_classifier(trunk: EfficientNet | ConvNeXt | VGG) -> int:
    """What comes before the last linear layer stays: nothing, ConvNeXt's norm, VGG's two dense layers; not EfficientNet's dropout."""
    *before, last = trunk.classifier
    if not isinstance(last, nn.Linear):
        raise ValueError(f"the classifier of {type(trunk).__name__} does not end with a linear layer")
    trunk.classifier = nn.Sequential(*([] if isinstance(trunk, EfficientNet) else before))
    return last.in_features


def _behead_transformer(trunk: VisionTransformer) -> int:
    trunk.heads = nn.Sequential()
    return trunk.hidden_dim


def _whole_map(trunk: Any, tiles: Tensor) -> Tensor:
    return trunk.features(tiles)


_FAMILIES: dict[type[nn.Module], Family] = {
    ResNet: Family(
        "conv1", _behead_resnet, _resnet_map, lambda trunk, feature_map: trunk.avgpool(feature_map).flatten(1)
    ),
    DenseNet: Family(
        "features.conv0",
        _behead_densenet,
        lambda trunk, tiles: functional.relu(trunk.features(tiles)),
        lambda trunk, feature_map: functional.adaptive_avg_pool2d(feature_map, 1).flatten(1),
    ),
    EfficientNet: Family(
        "features.0.0",
        _behead_classifier,
        _whole_map,
        lambda trunk, feature_map: trunk.avgpool(feature_map).flatten(1),
    ),
    ConvNeXt: Family(
        "features.0.0",
        _behead_classifier,
        _whole_map,
        lambda trunk, feature_map: trunk.classifier(trunk.avgpool(feature_map)),
        dense="classifier",
    ),
    VGG: Family(
        "features.0",
        _behead_classifier,
        _whole_map,
        lambda trunk, feature_map: trunk.classifier(trunk.avgpool(feature_map).flatten(1)),
        dense="classifier",
    ),
    VisionTransformer: Family("conv_proj", _behead_transformer, None, lambda trunk, tiles: trunk(tiles)),
    KumarCnn: Family(
        "features.0",
        lambda trunk: trunk.behead(),
        _whole_map,
        lambda trunk, found: trunk.rest(found),
        dense="rest",
    ),
    LussierCnn: Family(
        "features.0",
        lambda trunk: trunk.behead(),
        _whole_map,
        lambda trunk, found: trunk.rest(found),
        dense="rest",
    ),
}
