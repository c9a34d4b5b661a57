"""Heat over a slice: where it may be drawn, its colours, and the picture in the radiological convention with square pixels.

Colours are matplotlib's plasma from 0.3 upwards, fading in from nothing at 0 to full at a quarter of the scale. Over grey the usual
advice for colour blindness, cividis, runs through grey itself: its least distance from grey (CIELAB chroma, with Machado's 2009
matrices) is 1.0 in tritanopia and 2.1 to any other eye, plasma's 7.3 at worst and 55 for normal sight, the largest of cividis,
viridis, plasma, inferno and magma. Lightness rises throughout, and a line at half the scale survives print without colour.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from jaxtyping import Bool, Float, Float32, UInt8
from PIL import Image

from ich_seq.dicom.resample import square_pixels
from ich_seq.report.key_slices import BRAIN_WINDOW, common_box, window_to_grey
from ich_seq.slices.place import onto_slice
from ich_seq.study.explain import Explanation, Heat

LONGEST_SIDE_PIXELS = 448
AIR_BELOW_HU, BONE_FROM_HU = -200.0, 200.0
FULL_FROM = 0.25
"""From this share of the scale on the colour is as opaque as the opacity that was chosen."""
CONTOUR_AT = 0.5
_COLOURS_FROM = 0.3
_HEAD_CLOSING_MM, _BONE_CLOSING_MM, _SHELL_MM = 3.0, 2.0, 4.0


@dataclass(frozen=True, slots=True)
class Plane:
    """One slice as it is drawn: HU with square pixels of `pixel_mm`, image left = patient right, and where heat may be drawn."""

    hu: Float32[np.ndarray, "y x"]
    drawable: Bool[np.ndarray, "y x"]
    pixel_mm: float


@dataclass(frozen=True, slots=True)
class Overlay:
    """Heat as colours with their opacity, and the share of it that lies where nothing is drawn (0 to 1)."""

    rgba: UInt8[np.ndarray, "y x 4"]
    hidden_share: float


def read_planes(explanation: Explanation) -> dict[int, Plane]:
    """The explained slices by their index, all cut to one box around what is not black.

    Raises:
        PixelsUnreadableError: a slice cannot be read any more.
    """
    volume = explanation.volume
    row_mm, column_mm = volume.pixel_spacing_mm
    raw = {place: volume[place] for place in explanation.places}
    square = {place: square_pixels(hu, (row_mm, column_mm)) for place, hu in raw.items()}
    planes = {}
    for place, hu in square.items():
        pixel_mm = raw[place].shape[1] * column_mm / hu.shape[1]
        planes[place] = Plane(hu, drawable(hu, pixel_mm), pixel_mm)
    return planes


def box_of(planes: Sequence[Plane]) -> tuple[slice, slice]:
    """Rows and columns that hold all that is not black in any of the slices; everything where their matrices differ."""
    return common_box([plane.hu for plane in planes])


def drawable(hu: Float32[np.ndarray, "y x"], pixel_mm: float) -> Bool[np.ndarray, "y x"]:
    """Where heat is drawn: inside the head, on neither air (below -200 HU) nor bone (200 HU and above, and the marrow between).

    The head is the largest connected piece above -200 HU without what is thinner than 8 mm, which parts it from a head holder that
    it touches; it is closed over 3 mm and filled. Bone is closed over 2 mm.
    """
    from scipy import ndimage

    matter = hu >= AIR_BELOW_HU
    reach = _SHELL_MM / pixel_mm
    pieces, count = ndimage.label(_deeper_than(reach, matter))  # pyright: ignore[reportGeneralTypeIssues]
    if not count:
        return np.zeros(hu.shape, bool)
    core = pieces == 1 + np.argmax(np.bincount(pieces.ravel())[1:])
    head = matter & ~_deeper_than(reach + 1, ~core)
    filled = np.asarray(ndimage.binary_fill_holes(_closed(head, _HEAD_CLOSING_MM / pixel_mm)), bool)
    return filled & matter & ~_closed(hu >= BONE_FROM_HU, _BONE_CLOSING_MM / pixel_mm)


def _deeper_than(pixels: float, mask: Bool[np.ndarray, "y x"]) -> Bool[np.ndarray, "y x"]:
    """The mask's pixels that lie further than that from what is outside it; the picture's edge is no outside."""
    from scipy import ndimage

    return mask if mask.all() else np.asarray(ndimage.distance_transform_edt(mask), np.float64) > pixels


def _closed(mask: Bool[np.ndarray, "y x"], pixels: float) -> Bool[np.ndarray, "y x"]:
    """The mask with gaps closed that are narrower than twice so many pixels."""
    from scipy import ndimage

    steps = max(1, round(pixels))
    padded = np.pad(mask, steps)
    return mask | np.asarray(ndimage.binary_closing(padded, iterations=steps), bool)[steps:-steps, steps:-steps]


def heat_on(explanation: Explanation, heat: Heat, plane: Plane) -> Float32[np.ndarray, "y x"]:
    """The heat at each pixel of a slice on the absolute scale, wherever it lies."""
    return onto_slice(heat.cells, explanation.field(plane.hu.shape), plane.hu.shape)


def overlay(heat: Float32[np.ndarray, "y x"], plane: Plane, drawn: bool) -> Overlay:
    """Colours for the pixels where heat may be drawn; all transparent where it is not `drawn`."""
    total = float(heat.sum())
    hidden = float(heat[~plane.drawable].sum()) / total if total > 0 else 0.0
    shown = np.where(plane.drawable, heat, 0) if drawn else np.zeros_like(heat)
    rgba = np.zeros((*heat.shape, 4), np.uint8)
    rgba[..., :3] = colours(shown)
    rgba[..., 3] = np.rint(255 * np.clip(shown / FULL_FROM, 0, 1))
    line = _contour(shown >= CONTOUR_AT)
    rgba[line] = (255, 255, 255, 255)
    return Overlay(rgba, hidden)


def colours(share: Float[np.ndarray, "*n"]) -> UInt8[np.ndarray, "*n 3"]:
    """The colour of a share of the scale: 0 the lowest, 1 and more the highest."""
    table = _table()
    return table[np.rint(np.clip(share, 0, 1) * (len(table) - 1)).astype(np.intp)]


def grey_of(plane: Plane, box: tuple[slice, slice]) -> Image.Image:
    """The slice in the brain window at the size in which it is drawn."""
    return _resized(Image.fromarray(window_to_grey(plane.hu[box], *BRAIN_WINDOW)))


def heat_image(laid: Overlay, box: tuple[slice, slice]) -> Image.Image:
    """The overlay at the size in which it is drawn."""
    return _resized(Image.fromarray(laid.rgba[box], "RGBA"))


def drawn_pixel_mm(plane: Plane, size: tuple[int, int], box: tuple[slice, slice]) -> float:
    """Length of a pixel of the picture whose size is (width, height)."""
    return plane.hu[box].shape[1] * plane.pixel_mm / size[0]


def _resized(picture: Image.Image) -> Image.Image:
    scale = LONGEST_SIDE_PIXELS / max(picture.size)
    size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
    return picture.resize(size, Image.Resampling.LANCZOS if picture.mode == "L" else Image.Resampling.BILINEAR)


def _contour(inside: Bool[np.ndarray, "y x"]) -> Bool[np.ndarray, "y x"]:
    """The pixels inside that touch one outside."""
    from scipy import ndimage

    return inside & ~np.asarray(ndimage.binary_erosion(inside, border_value=1), bool)


@cache
def _table() -> UInt8[np.ndarray, "256 3"]:
    from matplotlib import colormaps

    return np.rint(255 * colormaps["plasma"](np.linspace(_COLOURS_FROM, 1, 256))[:, :3]).astype(np.uint8)
