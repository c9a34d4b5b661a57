"""Where the cells of a feature map lie on the slice that they were made from."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Float64

from ich_seq.config import PreprocessConfig


@dataclass(frozen=True, slots=True)
class Field:
    """What a network's tile covers, in pixels of a slice with square pixels; it may reach beyond the slice, where the tile is air."""

    top: float
    left: float
    height: float
    width: float


def field_of(rows: int, columns: int, preprocess: PreprocessConfig) -> Field:
    """The field of a slice that is put in the middle of a square, as `window.Preprocess.tiles` does it.

    The square is as wide as the slice's longer side, or, where slices are padded or cut, as many pixels as the network reads.
    """
    side = preprocess.size * preprocess.max_pool if preprocess.resize == "pad_or_crop" else max(rows, columns)
    return Field(-((side - rows) // 2), -((side - columns) // 2), side, side)


def onto_slice(
    cells: Float[np.ndarray, "h w"], field: Field, shape: tuple[int, int]
) -> Float32[np.ndarray, "rows columns"]:
    """Values of a feature map at the pixels of a slice of that shape, bilinear between the cells' centres, 0 outside the field.

    A cell is the value at its centre; between the outermost centres and the field's edge it stays level.
    """
    down = _weights(field.top, field.height, cells.shape[0], shape[0])
    across = _weights(field.left, field.width, cells.shape[1], shape[1])
    return (down @ cells @ across.T).astype(np.float32)


def _weights(start: float, length: float, cells: int, pixels: int) -> Float64[np.ndarray, "pixels cells"]:
    """Of each pixel along one axis the shares of the cells; zeros outside the field."""
    centre = np.arange(pixels) + 0.5
    place = np.clip((centre - start) / length * cells - 0.5, 0, cells - 1)
    shares = np.clip(1 - np.abs(place[:, None] - np.arange(cells)), 0, None)
    inside = (centre >= start) & (centre <= start + length)
    return shares * inside[:, None]
