"""The pictures of an explanation as inline SVG: the original, the heat over it, and what each neighbour added."""

import base64
import io
from dataclasses import dataclass

from markupsafe import Markup
from PIL import Image

from ich_seq.report.explanation_words import WINDOW
from ich_seq.report.heat_sheet import BAR_MM
from ich_seq.study.explain import Heat

_SVG = Markup('<svg class="plane" viewBox="0 0 {width} {height}" role="img" aria-label="{says}">{body}{marks}</svg>')
_WIDTH, _HEIGHT, _MIDDLE = 480, 74, 37
_SMALLEST_SPAN = 0.1
"""Bars are drawn against the largest change of the score, or against this where all are smaller."""


@dataclass(frozen=True, slots=True)
class Panel:
    """One slice at the size in which it is drawn, and the length of its pixels."""

    number: int
    grey: Image.Image
    pixel_mm: float


def original(panel: Panel) -> Markup:
    """The slice in grey, with sides, scale and window; the picture itself is named, so that `with_heat` need not hold it again."""
    body = Markup('<image id="grey{number}" href="{uri}" width="{width}" height="{height}"/>').format(
        number=panel.number, uri=png_uri(panel.grey), width=panel.grey.width, height=panel.grey.height
    )
    return _plane(panel, body, f"slice {panel.number}, original")


def with_heat(panel: Panel, heats: dict[str, Image.Image]) -> Markup:
    """The same slice under the heat of each label that is drawn; the page shows the label that is chosen."""
    layers = [Markup('<use href="#grey{number}"/>').format(number=panel.number)]
    for label, picture in heats.items():
        layers.append(
            Markup('<image class="heat of-{label}" href="{uri}" width="{width}" height="{height}"/>').format(
                label=label, uri=png_uri(picture), width=picture.width, height=picture.height
            )
        )
    return _plane(panel, Markup("").join(layers), f"slice {panel.number}, with heat")


def neighbour_bars(heat: Heat, slices: int) -> Markup:
    """By how much each other slice of the scan raised (up) or lowered (down) the score, feet at the left; itself dotted."""
    gains = {each.index: heat.score - each.score_without for each in heat.neighbours}
    span = max([_SMALLEST_SPAN, *(abs(gain) for gain in gains.values())])
    step = _WIDTH / max(slices, 1)
    parts = [Markup('<line class="axis" x1="0" x2="{w}" y1="{y}" y2="{y}"/>').format(w=_WIDTH, y=_MIDDLE)]
    for index, gain in gains.items():
        high = abs(gain) / span * (_MIDDLE - 12)
        parts.append(
            Markup('<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{w:.1f}" height="{h:.1f}"/>').format(
                kind="up" if gain >= 0 else "down",
                x=index * step + 0.1 * step,
                y=_MIDDLE - high if gain >= 0 else _MIDDLE,
                w=0.8 * step,
                h=high,
            )
        )
    parts.append(
        Markup('<line class="own" x1="{x:.1f}" x2="{x:.1f}" y1="4" y2="{y}"/>').format(
            x=(heat.index + 0.5) * step, y=_HEIGHT - 4
        )
    )
    for y, text in ((10, f"+{span:.2f}"), (_HEIGHT - 3, f"−{span:.2f}")):
        parts.append(Markup('<text x="{x}" y="{y}">{text}</text>').format(x=_WIDTH, y=y, text=text))
    return Markup('<svg class="bars" viewBox="0 0 {w} {h}" role="img" aria-label="{says}">{body}</svg>').format(
        w=_WIDTH, h=_HEIGHT, says="change of the score by each other slice", body=Markup("").join(parts)
    )


def png_uri(picture: Image.Image) -> str:
    """A picture as a data URI of a PNG."""
    file = io.BytesIO()
    picture.save(file, format="PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"


def _plane(panel: Panel, body: Markup, says: str) -> Markup:
    width, height = panel.grey.size
    length, y = BAR_MM / panel.pixel_mm, height - 10
    strokes = " ".join(f"M{8 + length * place / 5:.1f} {y - 6}V{y}" for place in range(6))
    marks = Markup(
        '<path class="bar" d="M8 {y}H{end:.1f} {strokes}"/><text x="8" y="{above}">{bar} mm</text>'
        '<text class="side" x="7" y="18">R</text><text class="side end" x="{right}" y="18">L</text>'
        '<text class="end" x="{right}" y="{y}">{window}</text>'
    ).format(y=y, end=8 + length, strokes=strokes, above=y - 12, bar=BAR_MM, right=width - 7, window=WINDOW)
    return _SVG.format(width=width, height=height, says=says, body=body, marks=marks)
