"""One slice and label as a picture to keep: the original beside the overlay, with sides, scale, window, colours and the notice."""

import textwrap
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ich_seq.labels import RESEARCH_NOTICE
from ich_seq.report.explanation_words import WINDOW
from ich_seq.report.heat_picture import FULL_FROM, colours

BAR_MM = 50
OPACITY = 0.55
_EDGE, _GAP, _LINE = 10, 8, 17
_COLUMNS = 156
_INK, _SOFT, _PAPER = (236, 240, 244), (170, 178, 186), (16, 20, 24)
_BAR_SIZE = 180, 10


@dataclass(frozen=True, slots=True)
class Sheet:
    """What a sheet shows: the slice in grey, its overlay of the same size, `pixel_mm`, a heading and the lines below."""

    grey: Image.Image
    heat: Image.Image
    pixel_mm: float
    heading: str
    lines: tuple[str, ...]


def draw_sheet(sheet: Sheet) -> Image.Image:
    """The sheet as an RGB picture; nothing of a header is on it."""
    lines = [part for line in (*sheet.lines, RESEARCH_NOTICE) for part in textwrap.wrap(line, _COLUMNS)]
    width, height = sheet.grey.size
    top = _EDGE + _LINE + 6
    below = top + height + _GAP
    # As wide as two slices however narrow these are, so that words have room.
    total = max(2 * _EDGE + 2 * width + _GAP, 920), below + 26 + _LINE * (len(lines) + 1) + _EDGE
    picture = Image.new("RGB", total, _PAPER)
    draw = ImageDraw.Draw(picture)
    draw.text((_EDGE, _EDGE - 3), sheet.heading, _INK, _font(15))
    left = (total[0] - 2 * width - _GAP) // 2
    for place, laid in ((left, False), (left + width + _GAP, True)):
        panel = sheet.grey.convert("RGB")
        if laid:
            panel.paste(sheet.heat.convert("RGB"), mask=sheet.heat.getchannel("A").point(lambda alpha: alpha * OPACITY))
        _annotate(panel, sheet.pixel_mm)
        picture.paste(panel, (place, top))
    _colour_bar(picture, draw, (left + width + _GAP, below + 4))
    draw.text((left, below), "original  |  with heat", _SOFT, _font(12))
    for number, line in enumerate(("RESEARCH ONLY, NOT FOR CLINICAL USE", *lines)):
        draw.text((_EDGE, below + 26 + _LINE * number), line, _INK if not number else _SOFT, _font(12))
    return picture


def _annotate(panel: Image.Image, pixel_mm: float) -> None:
    """Sides, a bar of BAR_MM with a stroke every 10 mm, and the window."""
    draw = ImageDraw.Draw(panel)
    width, height = panel.size
    outlined: dict[str, Any] = {"fill": _INK, "stroke_width": 2, "stroke_fill": (0, 0, 0)}
    draw.text((6, 4), "R", font=_font(15), **outlined)
    draw.text((width - 6, 4), "L", font=_font(15), anchor="ra", **outlined)
    y, step = height - 10, 10 / pixel_mm
    for ink, thick in (((0, 0, 0), 4), (_INK, 2)):
        draw.line((8, y, 8 + BAR_MM / pixel_mm, y), ink, thick)
        for stroke in range(BAR_MM // 10 + 1):
            draw.line((8 + stroke * step, y - 5, 8 + stroke * step, y), ink, thick)
    draw.text((8, y - 10), f"{BAR_MM} mm", font=_font(12), anchor="ls", **outlined)
    draw.text((width - 6, height - 6), WINDOW, font=_font(12), anchor="rs", **outlined)


def _colour_bar(picture: Image.Image, draw: ImageDraw.ImageDraw, corner: tuple[int, int]) -> None:
    """The colours from 0 to 1 over mid grey, with the opacity that they have on the slice."""
    width, height = _BAR_SIZE
    share = np.linspace(0, 1, width)
    alpha = OPACITY * np.clip(share / FULL_FROM, 0, 1)[:, None]
    row = np.rint(alpha * colours(share) + (1 - alpha) * 110).astype(np.uint8)
    picture.paste(Image.fromarray(np.repeat(row[None], height, axis=0)), (corner[0] + 14, corner[1]))
    draw.text((corner[0], corner[1] - 2), "0", _SOFT, _font(12))
    draw.text((corner[0] + 20 + width, corner[1] - 2), "1 of the scale and more", _SOFT, _font(12))
    middle = corner[0] + 14 + width // 2
    draw.line((middle, corner[1], middle, corner[1] + height - 1), (255, 255, 255), 1)


@cache
def _font(size: int) -> Any:
    return ImageFont.load_default(size)
