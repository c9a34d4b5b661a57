"""Random changes of windowed tiles, before normalising."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from ich_seq.config import AugmentConfig


@dataclass(frozen=True)
class Draws:
    """What chance decides for each tile: mirror images (0 to 1 against their probability), all else from -1 to 1 of its range.

    Drawn on the CPU for a whole batch, so that the same seed means the same tiles on every device, in parts, and on several processes.
    """

    angle: Float[Tensor, " b"]
    scale: Float[Tensor, " b"]
    flip: Float[Tensor, " b"]
    shift_x: Float[Tensor, " b"]
    shift_y: Float[Tensor, " b"]
    contrast: Float[Tensor, " b"]
    brightness: Float[Tensor, " b"]
    flip_vertical: Float[Tensor, " b"]

    def of(self, places: Tensor | slice) -> "Draws":
        """Those of some tiles of the batch."""
        return Draws(*(values[places] for values in vars(self).values()))

    def to(self, device: str | torch.device) -> "Draws":
        """The same on another device."""
        return Draws(*(values.to(device) for values in vars(self).values()))


def draw(count: int) -> Draws:
    """For so many tiles, from torch's generator, which each step seeds."""
    angle, scale = _uniform(count), _uniform(count)
    flip = torch.rand(count)
    others = [_uniform(count) for _ in range(4)]
    return Draws(angle, scale, flip, *others, flip_vertical=torch.rand(count))  # last: the others stay as they were


def augment(tiles: Float[Tensor, "b c y x"], config: AugmentConfig, draws: Draws) -> Float[Tensor, "b c y x"]:
    """Each tile flipped, shifted, turned, scaled, brightened and stretched in contrast on its own draw; still in [0, 1].

    What moves in from outside is 0: air in every linear window, nearly air in sigmoid ones, and less than air in slices that are
    divided by their largest HU, whose paper does not augment.

    Source: the kinds of change are those of Burduja et al. 2020; the sizes stand in the config.
    """
    moved = functional.grid_sample(
        tiles, _sampling_grid(tiles, config, draws), mode="bilinear", padding_mode="zeros", align_corners=False
    )
    contrast = 1 + config.contrast * draws.contrast
    brightness = config.brightness * draws.brightness
    scaled = (moved - 0.5) * contrast.view(-1, 1, 1, 1) + 0.5 + brightness.view(-1, 1, 1, 1)
    # Air stays air: brightness of the background would tell the network nothing but the draw.
    return torch.where(moved > 0, scaled.clamp(0, 1), moved)


def _uniform(count: int) -> Float[Tensor, " b"]:
    return 2 * torch.rand(count) - 1


def _sampling_grid(tiles: Float[Tensor, "b c y x"], config: AugmentConfig, draws: Draws) -> Float[Tensor, "b y x 2"]:
    angle = torch.deg2rad(config.rotate_deg * draws.angle)
    scale = 1 + config.scale_fraction * draws.scale
    flip = torch.where(draws.flip < config.flip_probability, -1.0, 1.0)
    cos, sin = torch.cos(angle) / scale, torch.sin(angle) / scale
    down = torch.where(draws.flip_vertical < config.vertical_flip_probability, -1.0, 1.0)
    # A tile spans [-1, 1], so a shift by a fraction of it is twice that fraction in grid coordinates.
    shift_x = 2 * config.shift_fraction * draws.shift_x
    shift_y = 2 * config.shift_fraction * draws.shift_y
    rows = torch.stack((flip * cos, -flip * sin, shift_x, down * sin, down * cos, shift_y), dim=1)
    return functional.affine_grid(rows.view(len(tiles), 2, 3), list(tiles.shape), align_corners=False)
