"""Random changes of windowed tiles, before normalising; drawn from torch's generator, which each step seeds."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from ich_seq.config import AugmentConfig


def augment(tiles: Float[Tensor, "b c y x"], config: AugmentConfig) -> Float[Tensor, "b c y x"]:
    """Each tile flipped, shifted, turned, scaled, brightened and stretched in contrast on its own draw; still in [0, 1].

    What moves in from outside is 0, the value of air in every window.

    Source: the kinds of change are those of Burduja et al. 2020; the sizes stand in the config.
    """
    moved = functional.grid_sample(
        tiles, _sampling_grid(tiles, config), mode="bilinear", padding_mode="zeros", align_corners=False
    )
    batch = tiles.shape[0]
    contrast = 1 + config.contrast * _uniform(batch, tiles.device)
    brightness = config.brightness * _uniform(batch, tiles.device)
    scaled = (moved - 0.5) * contrast.view(-1, 1, 1, 1) + 0.5 + brightness.view(-1, 1, 1, 1)
    # Air stays air: brightness of the background would tell the network nothing but the draw.
    return torch.where(moved > 0, scaled.clamp(0, 1), moved)


def _uniform(count: int, device: torch.device) -> Float[Tensor, " b"]:
    # Drawn on the CPU, so that the same seed means the same tiles on every device.
    return (2 * torch.rand(count) - 1).to(device)


def _sampling_grid(tiles: Float[Tensor, "b c y x"], config: AugmentConfig) -> Float[Tensor, "b y x 2"]:
    batch, device = tiles.shape[0], tiles.device
    angle = torch.deg2rad(config.rotate_deg * _uniform(batch, device))
    scale = 1 + config.scale_fraction * _uniform(batch, device)
    flip = torch.where(torch.rand(batch).to(device) < config.flip_probability, -1.0, 1.0)
    cos, sin = torch.cos(angle) / scale, torch.sin(angle) / scale
    # A tile spans [-1, 1], so a shift by a fraction of it is twice that fraction in grid coordinates.
    shift_x = 2 * config.shift_fraction * _uniform(batch, device)
    shift_y = 2 * config.shift_fraction * _uniform(batch, device)
    rows = torch.stack((flip * cos, -flip * sin, shift_x, sin, cos, shift_y), dim=1)
    return functional.affine_grid(rows.view(batch, 2, 3), list(tiles.shape), align_corners=False)
