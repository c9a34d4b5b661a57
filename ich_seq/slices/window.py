"""HU to the network's input: windowing, shrinking, normalising; one module, always in fp32, shipped with the weights."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from ich_seq.config import PreprocessConfig
from ich_seq.dicom import AIR_HU

PLANE = "square"
"""How a slice becomes a square: its pixels are made square before (`dicom.resample`, which says why), its matrix here, by air.

Part of the identity of embeddings.
"""


class Preprocess(nn.Module):
    """Windows each slice into channels, shrinks them and normalises; the numbers are buffers, so they travel with the weights."""

    lower_hu: Tensor
    width_hu: Tensor
    mean: Tensor
    std: Tensor

    def __init__(self, config: PreprocessConfig) -> None:
        super().__init__()
        lower = [window.level - window.width / 2 for window in config.windows]
        self.size, self.antialias = config.size, config.antialias
        for name, numbers in (
            ("lower_hu", lower),
            ("width_hu", [window.width for window in config.windows]),
            ("mean", config.mean),
            ("std", config.std),
        ):
            self.register_buffer(name, torch.tensor(numbers, dtype=torch.float32).view(1, -1, 1, 1))

    def tiles(self, hu: Float[Tensor, "b y x"]) -> Float[Tensor, "b c size size"]:
        """Windowed channels in [0, 1] at the network's size, in float32; the slices have square pixels.

        A matrix that is no square is filled up with air on both sides, so that a head keeps its shape. Each window maps
        [level - width/2, level + width/2] linearly to [0, 1] and clips what lies outside; then bilinear resizing with half-pixel
        centres (at 512 -> 256 the mean of each 2 x 2 block).

        Source: Burduja et al. 2020, Sensors 20:5611, section 3.
        """
        windowed = ((_squared(hu.float()).unsqueeze(1) - self.lower_hu) / self.width_hu).clamp(0, 1)
        if windowed.shape[-2:] == (self.size, self.size):
            return windowed
        return functional.interpolate(
            windowed,
            size=(self.size, self.size),
            mode="bilinear",
            antialias=self.antialias,
            align_corners=False,
        )

    def forward(self, tiles: Float[Tensor, "b c size size"]) -> Float[Tensor, "b c size size"]:
        """Tiles in [0, 1] to channels of about zero mean and unit variance, in float32."""
        with torch.autocast(tiles.device.type, enabled=False):
            return (tiles.float() - self.mean) / self.std


def _squared(hu: Float[Tensor, "b y x"]) -> Float[Tensor, "b side side"]:
    """The slices in the middle of a square of air; the same tensor where they fill it."""
    rows, columns = hu.shape[-2:]
    down, across = max(columns - rows, 0), max(rows - columns, 0)
    if down == across:
        return hu
    border = (across // 2, across - across // 2, down // 2, down - down // 2)
    return functional.pad(hu, border, value=AIR_HU)
