"""The slices worth looking at first, as small pictures in two windows."""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Integer, UInt8
from PIL import Image

from ich_seq.study.result import LabelScore, StudyResult

MOST_KEY_SLICES = 4
_LONGEST_SIDE_PIXELS = 384
_MARGIN_PIXELS = 6
BRAIN_WINDOW = (40.0, 80.0)
SUBDURAL_WINDOW = (80.0, 200.0)


@dataclass(frozen=True, slots=True)
class KeySlice:
    """A slice on which at least one label has its highest probability; `labels` in falling order of it."""

    index: int
    labels: tuple[LabelScore, ...]


@dataclass(frozen=True, slots=True)
class KeyImage:
    """A key slice drawn in the brain and the subdural window, each as a data URI of a PNG; `width` and `height` in pixels."""

    index: int
    brain: str
    subdural: str
    width: int
    height: int


def choose_key_slices(result: StudyResult, most: int = MOST_KEY_SLICES) -> list[KeySlice]:
    """At most `most` slices: where stage two is highest for the label with the highest score, then the next label, and so on."""
    ranked = sorted(result.scan, key=lambda score: -score.stage_two.probability)
    chosen: dict[int, list[LabelScore]] = {}
    for score in ranked:
        index = score.stage_two.slice_index
        if index in chosen or len(chosen) < most:
            chosen.setdefault(index, []).append(score)
    return [KeySlice(index, tuple(scores)) for index, scores in chosen.items()]


def draw_key_images(
    slices_hu: Mapping[int, Float32[np.ndarray, "y x"]], pixel_spacing_mm: tuple[float, float]
) -> list[KeyImage]:
    """Slices in HU by their index, image left = patient right, with square pixels; `pixel_spacing_mm` is (row step, column step).

    All are cut to one box that leaves out only what is black in both windows of all of them. Nothing but pixels goes into the
    picture: no text of the header.
    """
    rows, columns = common_box(list(slices_hu.values()))
    return [_draw(index, hu[rows, columns], pixel_spacing_mm) for index, hu in slices_hu.items()]


def window_to_grey(hu: Float32[np.ndarray, "y x"], level_hu: float, width_hu: float) -> UInt8[np.ndarray, "y x"]:
    """Grey values 0 to 255: level - width/2 and below is black, level + width/2 and above is white."""
    share = (hu - np.float32(level_hu - width_hu / 2)) / np.float32(width_hu)
    return np.rint(np.clip(share, 0, 1) * 255).astype(np.uint8)


def _draw(index: int, hu: Float32[np.ndarray, "y x"], pixel_spacing_mm: tuple[float, float]) -> KeyImage:
    width, height = _drawn_size(hu.shape, pixel_spacing_mm)
    brain, subdural = (
        _png_uri(window_to_grey(hu, level, span), width, height) for level, span in (BRAIN_WINDOW, SUBDURAL_WINDOW)
    )
    return KeyImage(index, brain, subdural, width, height)


def common_box(slices_hu: Sequence[Float32[np.ndarray, "y x"]]) -> tuple[slice, slice]:
    """Rows and columns that hold every pixel which is not black, and a margin; everything where matrices differ or all is black."""
    whole = slice(None), slice(None)
    if len({hu.shape for hu in slices_hu}) != 1:
        return whole
    black_hu = min(level - span / 2 for level, span in (BRAIN_WINDOW, SUBDURAL_WINDOW))
    seen = np.logical_or.reduce([hu > black_hu for hu in slices_hu])
    rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
    if not rows.size:
        return whole
    return _with_margin(rows), _with_margin(columns)


def _with_margin(filled: Integer[np.ndarray, " n"]) -> slice:
    return slice(max(int(filled[0]) - _MARGIN_PIXELS, 0), int(filled[-1]) + _MARGIN_PIXELS + 1)


def _drawn_size(shape: tuple[int, ...], pixel_spacing_mm: tuple[float, float]) -> tuple[int, int]:
    height_mm, width_mm = shape[0] * pixel_spacing_mm[0], shape[1] * pixel_spacing_mm[1]
    scale = _LONGEST_SIDE_PIXELS / max(height_mm, width_mm)
    return max(1, round(width_mm * scale)), max(1, round(height_mm * scale))


def _png_uri(grey: UInt8[np.ndarray, "y x"], width: int, height: int) -> str:
    picture = Image.fromarray(grey).resize((width, height), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    picture.save(file, format="PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
