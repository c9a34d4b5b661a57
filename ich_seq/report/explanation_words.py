"""What an explanation says in words, the same on the page, on pictures and in secondary captures."""

from collections.abc import Sequence

from ich_seq.labels import LABELS
from ich_seq.model.heat_scale import HeatScale
from ich_seq.report.curves import shown
from ich_seq.report.key_slices import BRAIN_WINDOW
from ich_seq.study.explain import Explanation, Heat

STAGE_WORDS = {"one": "the slice alone (stage one)", "two": "the whole scan (stage two)"}
NOT_DRAWN = {
    "below the threshold": "Nothing is drawn: the score is below the label's threshold, {threshold}.",
    "no threshold": "Nothing is drawn: the model has no threshold for this label.",
    "no constant": "Nothing is drawn: this label has no scale, since no validation slice that has it gave heat, or none has it.",
}
MEANING = (
    "Heat marks what in the slice raised the score, not where blood is. Below the label's threshold and outside the head nothing is "
    "drawn, nor on bone or air."
)
CONVENTION = "Seen from the feet: the left of each picture is the patient's right."
WINDOW = f"window {BRAIN_WINDOW[0]:g}/{BRAIN_WINDOW[1]:g} HU"
_LEAST_HIDDEN = 0.005


def title_of(label: str) -> str:
    """A label's title, such as `Epidural`."""
    return next(each.title for each in LABELS if each.name == label)


def scale_words(scale: HeatScale, members: Sequence[HeatScale] = ()) -> str:
    """What the colours are measured by, and on whom; `members` are the scales of an ensemble's."""
    if members:
        return (
            f"The scale is absolute, the same for every scan. Each of the {len(members)} models has one of its own: 1 is the "
            f"{scale.percentile:g}th percentile of its map times its score over the validation slices that have the label. Drawn is "
            "the mean of their maps on these scales, by the weights with which their scores are combined (a vote's in equal parts). "
            "The line is at half of 1; hotter than 1 is drawn as 1."
        )
    return (
        f"The scale is absolute, the same for every scan: 1 is the {scale.percentile:g}th percentile of map times score over the "
        f"{scale.patients} validation patients' slices that have the label ({scale.dataset}). The line is at half of it; hotter "
        "than 1 is drawn as 1."
    )


def score_words(heat: Heat, stage: str) -> str:
    """The score that is explained, beside the threshold."""
    threshold = "" if heat.threshold is None else f", threshold {shown(heat.threshold)}"
    return f"{title_of(heat.label)}: score {shown(heat.score)} with {STAGE_WORDS[stage]}{threshold}"


def heat_words(heat: Heat, hidden_share: float) -> str:
    """How hot the slice is, and what of its heat is not seen; or why nothing is drawn."""
    if heat.verdict != "drawn":
        return NOT_DRAWN[heat.verdict].format(threshold="" if heat.threshold is None else shown(heat.threshold))
    if not heat.cells.any():
        return "No cell raised this score: what is in the slice lowered it, or the rest of the scan raised it."
    text = f"Hottest cell {float(heat.cells.max()):.2f} of the scale."
    if hidden_share >= _LEAST_HIDDEN:
        text += f" {hidden_share:.0%} of the heat lies on bone, air or outside the head and is not drawn."
    return text


def cell_words(explanation: Explanation, shape: tuple[int, int], pixel_mm: float) -> str:
    """How coarse the map is."""
    rows, columns = next(iter(explanation.heats.values())).cells.shape
    field = explanation.field(shape)
    whose = (
        "The models' maps, whose own cells may be larger, lie on a grid of"
        if explanation.members
        else "The network's map has"
    )
    return (
        f"{whose} {rows} by {columns} cells of {field.height / rows * pixel_mm:.0f} by "
        f"{field.width / columns * pixel_mm:.0f} mm; between them it is smoothed, so its outlines are no outlines of blood."
    )
