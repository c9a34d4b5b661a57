"""HU to the network's input: windowing, shrinking, normalising; one module, always in fp32, shipped with the weights."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from ich_seq.config import PreprocessConfig


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
        """Windowed channels in [0, 1] at the network's size, in float32.

        Each window maps [level - width/2, level + width/2] linearly to [0, 1] and clips what lies outside; then bilinear
        resizing with half-pixel centres (at 512 -> 256 the mean of each 2 x 2 block).

        Source: Burduja et al. 2020, Sensors 20:5611, section 3.
        """
        windowed = ((hu.float().unsqueeze(1) - self.lower_hu) / self.width_hu).clamp(0, 1)
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
