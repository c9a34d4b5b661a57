"""Slices on other grids of pixels: square ones for the network, and those of the series for a slice at another zoom.

What the network sees has a habit, not a scale: its training slices are squares that the scanner's operator made as wide as a
head needs (RSNA 2019: 512 x 512, at 0.42 to 0.53 mm in the 28 series at hand), and were shrunk to one size whatever a pixel's
length. So a square matrix of square pixels is given to the network as it is, of 256, 512 or 1024 alike: scaling it by its
length in mm would show published weights another head size than they learnt. Only what would change a head's shape is put
right: pixels that are not square are resampled, here, and a matrix that is no square is filled up with air
(`slices.window`), where it was squeezed otherwise.
"""

import numpy as np
from jaxtyping import Float32, Float64

from ich_seq.dicom.limits import LIMITS
from ich_seq.dicom.pixels import AIR_HU

_ROUNDING = 1e-6  # pixels: what decimal strings of positions leave


def square_pixels(
    hu: Float32[np.ndarray, "y x"], pixel_spacing_mm: tuple[float, float] | None
) -> Float32[np.ndarray, "rows columns"]:
    """The slice with pixels that are square; the very same array where they are, to 0.5 %, or where no spacing (row, column) is known.

    The coarser axis takes the spacing of the finer one, by linear interpolation with half-pixel centres, and nothing is cut
    off. No axis gets more than 4096 pixels; where one would, both take the spacing that this allows.

    Source: DICOM PS3.3 10.7.1.3 (PixelSpacing: first between rows, then between columns).
    """
    if pixel_spacing_mm is None or same_spacing(*pixel_spacing_mm):
        return hu
    extents = [count * step for count, step in zip(hu.shape, pixel_spacing_mm, strict=True)]
    side_mm = max(min(pixel_spacing_mm), max(extents) / LIMITS.matrix_max)
    rows, columns = (max(1, round(extent / side_mm)) for extent in extents)
    return resampled(hu, _stretched(hu.shape[0], rows), _stretched(hu.shape[1], columns))


def same_spacing(a_mm: float, b_mm: float) -> bool:
    """Whether two pixel spacings are equal to 0.5 %."""
    return abs(a_mm - b_mm) <= LIMITS.pixel_spacing * a_mm


def resampled(
    hu: Float32[np.ndarray, "y x"], rows_at: Float64[np.ndarray, " rows"], columns_at: Float64[np.ndarray, " columns"]
) -> Float32[np.ndarray, "rows columns"]:
    """The slice at other places, given in rows and columns of its own (0 is the centre of the first pixel), by linear interpolation.

    Places outside the slice, beyond half a pixel from its outermost centres, are air, -1024 HU.
    """
    return np.ascontiguousarray(_along_rows(_along_rows(hu, rows_at).T, columns_at).T)


def _along_rows(hu: Float32[np.ndarray, "y x"], rows_at: Float64[np.ndarray, " rows"]) -> Float32[np.ndarray, "rows x"]:
    last = len(hu) - 1
    within = np.clip(rows_at, 0, last)
    below = np.floor(within).astype(np.intp)
    share = (within - below).astype(np.float32)[:, None]
    lower = hu[below]
    found = lower + share * (hu[np.minimum(below + 1, last)] - lower)
    found[(rows_at < -0.5 - _ROUNDING) | (rows_at > last + 0.5 + _ROUNDING)] = AIR_HU
    return found


def _stretched(count: int, wanted: int) -> Float64[np.ndarray, " wanted"]:
    """Where `wanted` pixels lie that together are as long as `count` are."""
    return (np.arange(wanted) + 0.5) * (count / wanted) - 0.5
