"""The slice classifier: a trunk by name with a six-label head, which also hands out its embedding and its last feature map."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Float32
from torch import Tensor, nn

from ich_seq.config import CnnConfig, PreprocessConfig
from ich_seq.errors import ConfigError
from ich_seq.slices.backbones import build_backbone, family_of, no_map_words
from ich_seq.slices.heads import make_head
from ich_seq.slices.window import Preprocess


class SliceOutput(NamedTuple):
    """Six logits and the pooled vector of the penultimate layer, for each slice of a batch."""

    logits: Float[Tensor, "b l"]
    embedding: Float[Tensor, "b d"]


class SliceNet(nn.Module):
    """Tiles in [0, 1] to six logits and an embedding; `preprocess` turns HU into tiles and normalises them."""

    def __init__(self, cnn: str | CnnConfig, preprocess: PreprocessConfig) -> None:
        super().__init__()
        self.cnn = CnnConfig(backbone=cnn) if isinstance(cnn, str) else cnn
        self.preprocess = Preprocess(preprocess)
        self.backbone = build_backbone(self.cnn.backbone, preprocess.channels, preprocess.size)
        self.family = family_of(self.backbone)
        pooled_width = self.family.behead(self.backbone)  # the head is ours
        self.embedding_width = self.cnn.dense or pooled_width
        self.neck = _neck(pooled_width, self.cnn)
        self.head = make_head(self.embedding_width, self.cnn.output, 0.0 if self.cnn.dense else self.cnn.head_dropout)
        self.frozen_statistics = False

    def train(self, mode: bool = True) -> "SliceNet":
        """As any module's; with `frozen_statistics` batch norm goes on using its running statistics, and leaves them as they are."""
        super().train(mode)
        if self.frozen_statistics:
            for module in self.modules():
                if isinstance(module, (nn.BatchNorm2d, nn.SyncBatchNorm)):
                    module.eval()
        return self

    @property
    def rules(self) -> str:
        """What decides its logits beside weights and preprocessing, as text; nothing for six independent outputs."""
        chosen = self.cnn.model_dump_json(include={"dense", "head_dropout", "output"})
        return "" if chosen == "{}" else f" {chosen}"

    def forward(self, tiles: Float[Tensor, "b c size size"]) -> SliceOutput:
        """Logits and embeddings of tiles in [0, 1], as `preprocess.tiles` makes them, with their neighbours where they are read."""
        return self.from_normalised(self._normalised(tiles))

    def from_normalised(self, normalised: Float[Tensor, "b c size size"]) -> SliceOutput:
        """The same of normalised tiles: an exported graph begins there, since normalising belongs to the graph of the windows."""
        if self.family.feature_map is None:
            return self._from_pooled(self.family.pooled(self.backbone, normalised))
        return self.from_features(self.family.feature_map(self.backbone, normalised))

    def features(self, tiles: Float[Tensor, "b c size size"]) -> Float[Tensor, "b k h w"]:
        """The trunk's last spatial feature map of tiles in [0, 1], before it is pooled: what Grad-CAM weighs.

        Raises:
            ConfigError: the trunk has none.
        """
        if self.family.feature_map is None:
            raise ConfigError(no_map_words(self.cnn.backbone))
        return self.family.feature_map(self.backbone, self._normalised(tiles))

    def from_features(self, feature_map: Float[Tensor, "b k h w"]) -> SliceOutput:
        """Logits and embeddings of what `features` gave: the rest of the forward pass."""
        return self._from_pooled(self.family.pooled(self.backbone, feature_map))

    def _normalised(self, tiles: Float[Tensor, "b c size size"]) -> Float[Tensor, "b c size size"]:
        return self.preprocess(tiles).contiguous(memory_format=torch.channels_last)

    def _from_pooled(self, pooled: Float[Tensor, "b d"]) -> SliceOutput:
        embedding = self.neck(pooled)
        return SliceOutput(self.head(embedding), embedding)

    def read(self, hu: Float32[Tensor, "b y x"]) -> SliceOutput:
        """Logits and embeddings of slices in HU, any matrix size; with neighbours, they are successive slices of one scan."""
        return self(self.preprocess.with_neighbours(self.preprocess.tiles(hu)))


def _neck(width: int, cnn: CnnConfig) -> nn.Module:
    """Paper 004's dropout and dense layer between pooling and outputs; its activation is not printed."""
    if not cnn.dense:
        return nn.Identity()
    return nn.Sequential(nn.Dropout(cnn.head_dropout), nn.Linear(width, cnn.dense), nn.ReLU())
