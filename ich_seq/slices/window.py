"""HU to the network's input: windowing, size, neighbours, normalising; one module, always in fp32, shipped with the weights."""

import math
from typing import cast

import torch
from jaxtyping import Float, Int64, Real
from torch import Tensor, nn
from torch.nn import functional

from ich_seq.config import PreprocessConfig
from ich_seq.dicom import AIR_HU

PLANE = "square"
"""How a slice becomes a square: its pixels are made square before (`dicom.resample`, which says why), its matrix here, by air.

Part of the identity of embeddings.
"""


_AS_BEFORE = {"windowing", "sigmoid_upper", "sigmoid_margin", "grey_mean", "resize", "max_pool", "adjacent_slices"}
"""Choices that no weight tells; where all are the default, embeddings have the identity that they always had."""


class Preprocess(nn.Module):
    """Windows each slice into channels, brings them to size and normalises; the numbers are buffers, so they travel with the weights.

    `tiles` takes slices one by one, `with_neighbours` sets the tiles of a scan beside each other, and `forward` normalises.
    """

    lower_hu: Tensor
    width_hu: Tensor
    mean: Tensor
    std: Tensor

    def __init__(self, config: PreprocessConfig) -> None:
        super().__init__()
        self.size, self.antialias, self.adjacent_slices = config.size, config.antialias, config.adjacent_slices
        self._config = config
        for name, numbers, times in (
            ("lower_hu", [window.level - window.width / 2 for window in config.windows], 1),
            ("width_hu", [window.width for window in config.windows], 1),
            ("mean", config.mean, 2 * config.adjacent_slices + 1),
            ("std", config.std, 2 * config.adjacent_slices + 1),
        ):
            self.register_buffer(name, torch.tensor(list(numbers) * times, dtype=torch.float32).view(1, -1, 1, 1))

    @property
    def identity(self) -> str:
        """What decides its tiles beside its numbers, as text."""
        chosen = self._config.model_dump_json(include=_AS_BEFORE)
        return f"{self.size} {self.antialias} {PLANE}" + (f" {chosen}" if chosen != "{}" else "")

    def tiles(self, hu: Real[Tensor, "b y x"]) -> Float[Tensor, "b c size size"]:
        """Windowed channels in [0, 1] at the network's size, in float32, of each slice by itself; the slices have square pixels.

        HU may be whole numbers of 16 bits: they are the same in float32.

        A matrix that is no square is filled up with air on both sides, so that a head keeps its shape. Then each window maps HU to
        [0, 1] (`_scaled`), and then the tile is shrunk: bilinear with half-pixel centres (at 512 -> 256 the mean of each 2 x 2 block)
        or as the config says.

        Source: Burduja et al. 2020, Sensors 20:5611, section 3; the other choices as the config's fields say.
        """
        slices, side = hu.float(), self.size * self._config.max_pool
        whole = _in_square(slices, side) if self._config.resize == "pad_or_crop" else _squared(slices)
        channels = self._scaled(whole.unsqueeze(1), slices)
        if self._config.grey_mean:
            channels = channels.mean(dim=1, keepdim=True)
        may_differ = torch.compiler.is_exporting() and self._config.resize != "pad_or_crop"
        if may_differ or channels.shape[-2:] != (side, side):
            channels = self._shrunk(channels, side)
        return functional.max_pool2d(channels, self._config.max_pool) if self._config.max_pool > 1 else channels

    def with_neighbours(self, tiles: Float[Tensor, "s c size size"]) -> Float[Tensor, "s channels size size"]:
        """Tiles of successive slices of one scan, feet to head, each with those of its neighbours: the lowest slice's channels first.

        Beyond an end of the scan its last slice stands in. The same tensor for a network that reads slices by themselves.

        Source: adjacent slices as three channels, section 3.2.2 of paper 004, which does not say what it does at the ends.
        """
        if not self.adjacent_slices:
            return tiles
        offsets = torch.arange(-self.adjacent_slices, self.adjacent_slices + 1, device=tiles.device)
        places = torch.arange(tiles.shape[0], device=tiles.device).unsqueeze(1) + offsets
        return tiles[places.clamp(0, tiles.shape[0] - 1)].flatten(1, 2)

    def forward(self, tiles: Float[Tensor, "b c size size"]) -> Float[Tensor, "b c size size"]:
        """Tiles in [0, 1] to channels of about zero mean and unit variance, in float32."""
        with torch.autocast(tiles.device.type, enabled=False):
            return (tiles.float() - self.mean) / self.std

    def _scaled(self, whole: Float[Tensor, "b 1 side side"], slices: Float[Tensor, "b y x"]) -> Tensor:
        """HU to [0, 1], a channel for each window.

        Linear: level - width/2 to level + width/2, what lies outside clipped. Sigmoid: U / (1 + exp(-(W x + b))) / U with
        W = 2/width ln(U/e - 1) and b = -level W, so W x + b = (linear - 1/2) 2 ln(U/e - 1). Without windows: (1 + x/max|x|) / 2.

        Source: equation 1 of paper 000; paper 003, page on pre-processing.
        """
        if self._config.windowing == "largest_absolute":
            largest = slices.abs().amax(dim=(1, 2)).clamp(min=1).view(-1, 1, 1, 1)
            return ((1 + whole / largest) / 2).clamp(0, 1)
        linear = (whole - self.lower_hu) / self.width_hu
        if self._config.windowing == "linear":
            return linear.clamp(0, 1)
        steepness = 2 * math.log(self._config.sigmoid_upper / self._config.sigmoid_margin - 1)
        return torch.sigmoid((linear - 0.5) * steepness)

    def _shrunk(self, channels: Float[Tensor, "b c y x"], side: int) -> Float[Tensor, "b c side side"]:
        if self._config.resize == "every_nth":  # of 512 for 128: rows and columns 0, 4, 8, ...
            if torch.compiler.is_exporting():
                rows, columns = (_nearest_places(length, side) for length in channels.shape[-2:])
                return channels.index_select(2, rows).index_select(3, columns)
            return functional.interpolate(channels, size=(side, side), mode="nearest")
        return functional.interpolate(
            channels, size=(side, side), mode="bilinear", antialias=self.antialias, align_corners=False
        )


def _in_square(hu: Float[Tensor, "b y x"], side: int) -> Float[Tensor, "b side side"]:
    """The middle of the slices, or the slices in the middle of air; a negative border cuts.

    The first border is the half of side - length, rounded down; so written, nothing negative is halved, which ONNX rounds upwards.
    """
    rows, columns = hu.shape[-2:]
    left, above = (side + columns) // 2 - columns, (side + rows) // 2 - rows
    return functional.pad(hu, (left, side - columns - left, above, side - rows - above), value=AIR_HU)


def _squared(hu: Float[Tensor, "b y x"]) -> Float[Tensor, "b side side"]:
    """The slices in the middle of a square of air; the same tensor where they fill it.

    An exported graph takes any matrix, so it holds no such choice: there a border may be 0 wide, and a size may stay the same.
    """
    rows, columns = hu.shape[-2:]
    down, across = cast(int, torch.sym_max(columns - rows, 0)), cast(int, torch.sym_max(rows - columns, 0))
    if not torch.compiler.is_exporting() and down == across:
        return hu
    border = (across // 2, across - across // 2, down // 2, down - down // 2)
    return functional.pad(hu, border, value=AIR_HU)


def _nearest_places(length: int | torch.SymInt, side: int) -> Int64[Tensor, " _"]:
    """Which of so many rows torch's nearest resize takes, in its own float32 sums: ONNX's resize takes another now and then.

    OpenVINO divides in a way of its own: unless `side` is a power of two it takes a neighbouring row at .8 % of lengths up to 1,100.
    """
    rows = cast(int, length)
    every = torch.full((side,), rows, dtype=torch.float32) / side
    return (torch.arange(side, dtype=torch.float32) * every).floor().long().clamp(max=rows - 1)
