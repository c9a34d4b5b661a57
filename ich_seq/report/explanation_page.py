"""An Explanation as one HTML page that needs nothing else: no script; the label and the opacity are chosen by the style alone."""

from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from ich_seq.labels import ANY, LABELS, RESEARCH_NOTICE, SUBTYPES
from ich_seq.report.curves import shown
from ich_seq.report.explanation_figures import Panel, neighbour_bars, original, with_heat
from ich_seq.report.explanation_words import (
    CONVENTION,
    MEANING,
    STAGE_WORDS,
    cell_words,
    heat_words,
    scale_words,
    score_words,
)
from ich_seq.report.heat_picture import (
    Overlay,
    Plane,
    box_of,
    drawn_pixel_mm,
    grey_of,
    heat_image,
    heat_on,
    overlay,
    read_planes,
)
from ich_seq.report.page import render_page
from ich_seq.study.explain import Explanation, Heat

OPACITIES = tuple(range(0, 101, 10))
_FIRST_OPACITY = 50
_MOST_NEIGHBOURS = 3


@dataclass(frozen=True, slots=True)
class Drawing:
    """The pictures that page, PNGs and secondary captures share: planes, panels and overlays, drawn once."""

    explanation: Explanation
    planes: dict[int, Plane]
    panels: dict[int, Panel]
    overlays: dict[tuple[int, str], Overlay]
    box: tuple[slice, slice]


def draw(explanation: Explanation) -> Drawing:
    """Every slice and overlay of an explanation.

    Raises:
        PixelsUnreadableError: a slice cannot be read any more.
    """
    planes = read_planes(explanation)
    box = box_of(list(planes.values()))
    panels, overlays = {}, {}
    for place, plane in planes.items():
        grey = grey_of(plane, box)
        panels[place] = Panel(place + 1, grey, drawn_pixel_mm(plane, grey.size, box))
    for (place, label), heat in explanation.heats.items():
        laid = heat_on(explanation, heat, planes[place])
        overlays[place, label] = overlay(laid, planes[place], heat.verdict == "drawn")
    return Drawing(explanation, planes, panels, overlays, box)


def render_explanation_page(drawing: Drawing) -> str:
    """The page. Every text is escaped; the page's own policy lets a browser load nothing and run nothing; it names nobody."""
    explanation = drawing.explanation
    first = drawing.planes[explanation.places[0]]
    labels = [label for label in (ANY, *SUBTYPES) if label.name in explanation.labels]
    return render_page(
        "explanation.html.j2",
        ("study.css", "explanation.css"),
        notice=RESEARCH_NOTICE,
        result=explanation.result,
        stage=STAGE_WORDS[explanation.stage],
        labels=labels,
        checked=_first_label(explanation),
        opacities=OPACITIES,
        opacity=_FIRST_OPACITY,
        convention=CONVENTION,
        meaning=MEANING,
        scale=scale_words(explanation.scale, explanation.members),
        cells=cell_words(explanation, first.hu.shape, first.pixel_mm),
        slides=[_slide(drawing, place, [label.name for label in labels]) for place in explanation.places],
        rows=[_row(explanation, label.name) for label in labels],
        shown=shown,
    )


def _first_label(explanation: Explanation) -> str:
    """The label that the page opens with: any haemorrhage, where it is there and drawn, else the hottest."""

    def heat_of(label: str) -> float:
        drawn = [heat for (_, name), heat in explanation.heats.items() if name == label and heat.verdict == "drawn"]
        return max((float(heat.cells.max()) for heat in drawn), default=0.0)

    if ANY.name in explanation.labels and heat_of(ANY.name) > 0:
        return ANY.name
    return max(explanation.labels, key=heat_of)


def _slide(drawing: Drawing, place: int, labels: list[str]) -> dict[str, Any]:
    explanation, panel = drawing.explanation, drawing.panels[place]
    heats = {name: explanation.heats[place, name] for name in labels}
    drawn = [name for name, heat in heats.items() if heat.verdict == "drawn"]
    layers = {name: heat_image(drawing.overlays[place, name], drawing.box) for name in drawn}
    return {
        "number": panel.number,
        "position_mm": explanation.result.slices[place].position_mm,
        "uid": explanation.result.slices[place].sop_instance_uid,
        "original": original(panel),
        "with_heat": with_heat(panel, layers),
        "words": [_words(explanation, heat, drawing.overlays[place, name]) for name, heat in heats.items()],
    }


def _words(explanation: Explanation, heat: Heat, laid: Overlay) -> dict[str, Any]:
    alone = not heat.neighbours
    return {
        "label": heat.label,
        "score": score_words(heat, explanation.stage),
        "heat": heat_words(heat, laid.hidden_share),
        "bars": Markup("") if alone else neighbour_bars(heat, len(explanation.result.slices)),
        "neighbours": "" if alone else neighbour_words(heat),
    }


def neighbour_words(heat: Heat) -> str:
    """The neighbours that changed the score most: what it would be without each of them."""
    most = sorted(heat.neighbours, key=lambda each: -abs(heat.score - each.score_without))[:_MOST_NEIGHBOURS]
    told = ", ".join(f"without slice {each.index + 1} it would be {shown(each.score_without)}" for each in most)
    return f"Of the other slices these changed the score most: {told}."


def _row(explanation: Explanation, label: str) -> dict[str, Any]:
    """One label over the explained slices, for the table."""
    title = next(each.title for each in LABELS if each.name == label)
    known = explanation.scale.find(explanation.stage, label)
    drawn = [h for (_, name), h in explanation.heats.items() if name == label and h.verdict == "drawn"]
    return {
        "title": title,
        "threshold": "none" if known.threshold is None else shown(known.threshold),
        "constant": "none" if known.constant is None else f"{known.constant:.3g}",
        "positives": known.positives,
        "drawn": ", ".join(str(heat.index + 1) for heat in drawn) or "none",
        "hottest": f"{max(float(heat.cells.max()) for heat in drawn):.2f}" if drawn else "–",
    }
