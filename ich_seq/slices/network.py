"""The slice classifier: a torchvision ResNet or ResNeXt with a six-label head that also hands out its pooled embedding."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Float32
from torch import Tensor, nn
from torchvision.models import get_model, list_models
from torchvision.models.resnet import Bottleneck, ResNet

from ich_seq.config import PreprocessConfig
from ich_seq.errors import ConfigError
from ich_seq.labels import LABELS
from ich_seq.slices.window import Preprocess

DEMO_BACKBONE = "resnext14_8x4d"


class SliceOutput(NamedTuple):
    """Six logits and the pooled vector of the penultimate layer, for each slice of a batch."""

    logits: Float[Tensor, "b l"]
    embedding: Float[Tensor, "b d"]


class SliceNet(nn.Module):
    """Tiles in [0, 1] to six logits and an embedding; `preprocess` turns HU into tiles and normalises them."""

    def __init__(self, backbone: str, preprocess: PreprocessConfig) -> None:
        super().__init__()
        self.preprocess = Preprocess(preprocess)
        self.backbone = build_backbone(backbone, channels=len(preprocess.windows))
        self.embedding_width = self.backbone.fc.in_features
        self.head = nn.Linear(self.embedding_width, len(LABELS))
        self.frozen_statistics = False
        self.backbone.fc = nn.Identity()  # type: ignore[assignment]  # the head is ours, the trunk hands out its pooled vector

    def train(self, mode: bool = True) -> "SliceNet":
        """As any module's; with `frozen_statistics` batch norm goes on using its running statistics, and leaves them as they are."""
        super().train(mode)
        if self.frozen_statistics:
            for module in self.modules():
                if isinstance(module, (nn.BatchNorm2d, nn.SyncBatchNorm)):
                    module.eval()
        return self

    def forward(self, tiles: Float[Tensor, "b c size size"]) -> SliceOutput:
        """Logits and embeddings of tiles in [0, 1], as `preprocess.tiles` makes them."""
        return self.from_features(self.features(tiles))

    def features(self, tiles: Float[Tensor, "b c size size"]) -> Float[Tensor, "b k h w"]:
        """The trunk's last feature map of tiles in [0, 1], before pooling: what Grad-CAM weighs."""
        trunk = self.backbone
        found = self.preprocess(tiles).contiguous(memory_format=torch.channels_last)
        found = trunk.maxpool(trunk.relu(trunk.bn1(trunk.conv1(found))))
        return trunk.layer4(trunk.layer3(trunk.layer2(trunk.layer1(found))))

    def from_features(self, feature_map: Float[Tensor, "b k h w"]) -> SliceOutput:
        """Logits and embeddings of what `features` gave: the rest of the forward pass."""
        embedding = self.backbone.avgpool(feature_map).flatten(1)
        return SliceOutput(self.head(embedding), embedding)

    def read(self, hu: Float32[Tensor, "b y x"]) -> SliceOutput:
        """Logits and embeddings of slices in HU, any matrix size."""
        return self(self.preprocess.tiles(hu))


def build_backbone(name: str, channels: int = 3) -> ResNet:
    """A ResNet or ResNeXt with random weights by its name in torchvision, or the demo's `resnext14_8x4d`.

    `resnext14_8x4d` has one bottleneck of 8 groups of 4 channels in each of the four stages: 14 layers, 2,048-d embeddings.

    Raises:
        ConfigError: no such network; the message lists those there are.
    """
    known = backbones()
    if name not in known:
        raise ConfigError(f"cnn.backbone: no network {name!r}; known: {', '.join(known)}")
    if name == DEMO_BACKBONE:
        network: nn.Module = ResNet(Bottleneck, [1, 1, 1, 1], groups=8, width_per_group=4)
    else:
        network = get_model(name, weights=None)
    if not isinstance(network, ResNet):
        raise ConfigError(f"cnn.backbone: {name!r} is not a ResNet or ResNeXt")
    if channels != network.conv1.in_channels:
        network.conv1 = nn.Conv2d(channels, 64, kernel_size=7, stride=2, padding=3, bias=False)
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def backbones() -> list[str]:
    """The names that `build_backbone` takes."""
    return sorted([*list_models(include=["resnet*", "resnext*", "wide_resnet*"]), DEMO_BACKBONE])
