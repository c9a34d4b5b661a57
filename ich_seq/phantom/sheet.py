"""A contact sheet: one head from base to vertex without a caption, then bleeds and mimics with theirs."""

import io
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from ich_seq import labels
from ich_seq.errors import OutputError
from ich_seq.phantom.plan import StudyPlan
from ich_seq.phantom.render import PhantomStudy, render_plan
from ich_seq.phantom.spec import CohortSpec

BRAIN, BONE = (40.0, 80.0), (500.0, 2400.0)  # level and width in HU
COLUMNS, PANEL_PX, GREYS = 7, 232, 48
MIMICS = ("choroid plexus", "pineal", "basal ganglia", "falx", "dense spot", "bony ridge")
Panel = tuple[Float32[np.ndarray, "_side _side"], tuple[float, float], str, tuple[float, float] | None]


def _spec(seed: int, **values: Any) -> CohortSpec:
    plain = {
        "matrices": (512,),
        "slices": (32, 32),
        "tilt_deg": (0.0, 12.0),
        "noise_hu": (2.6, 3.0),
        "rotation_deg": 3.0,
    }
    return CohortSpec(studies=1000, seed=seed, **{**plain, **values})


def _head_only(hu: Float32[np.ndarray, "y x"], middle: tuple[int, int], half: int) -> Float32[np.ndarray, "side side"]:
    """A square around the head, filled up with air where it leaves the image."""
    padded = np.pad(hu, half, constant_values=-1000.0)
    return padded[middle[0] : middle[0] + 2 * half, middle[1] : middle[1] + 2 * half]


def _frame(study: PhantomStudy) -> tuple[tuple[int, int], int]:
    """Centre and half side, in pixels, of a square that holds the head of the middle slices."""
    third = len(study.hu) // 3
    inside = (study.hu[third : 2 * third] > -150).any(0)
    rows, columns = np.flatnonzero(inside.sum(1) > 20), np.flatnonzero(inside.sum(0) > 20)
    half = int(max(rows[-1] - rows[0], columns[-1] - columns[0]) * 0.55)
    return ((int(rows[0]) + int(rows[-1])) // 2, (int(columns[0]) + int(columns[-1])) // 2), half


def _panel(
    study: PhantomStudy, index: int, window: tuple[float, float], caption: str, at: list[int] | None = None
) -> Panel:
    middle, half = _frame(study)
    point = None if at is None else (at[0] - middle[0] + half, at[1] - middle[1] + half)
    image = _head_only(study.hu[index], middle, half)
    return image, window, caption, None if point is None else (point[0] / (2 * half), point[1] / (2 * half))


def _blind(seed: int) -> list[Panel]:
    """One head without bleeds, base to vertex, in a brain and a bone window; no captions."""
    study = render_plan(_spec(seed, spot_rate=0.0, tilt_deg=(0.0, 0.0)), StudyPlan(0, 0, 0, ()))
    count = len(study.hu)
    brain = np.linspace(0.05, 0.82, 2 * COLUMNS) * (count - 1)
    bone = np.array([0.02, 0.08, 0.14, 0.20, 0.26, 0.45, 0.70]) * (count - 1)
    panels = [_panel(study, round(k), BRAIN, "") for k in brain]
    return panels + [_panel(study, round(k), BONE, "") for k in bone]


def _bleeds(seed: int) -> list[Panel]:
    """The largest slice of a bleed of each subtype, and two patients with several."""
    panels = []
    spec = _spec(seed, volume_ml=(12.0, 40.0), blood_hu=(62.0, 80.0), isodense_share=0.0, spot_rate=0.0)
    wanted = [(label.name,) for label in labels.SUBTYPES] + [
        ("subarachnoid", "intraventricular"),
        ("subdural", "intraparenchymal"),
    ]
    for patient, subtypes in enumerate(wanted):
        study = render_plan(spec, StudyPlan(patient, patient + 20, 0, subtypes))
        area = np.minimum.reduce([study.truth.area_mm2[:, labels.SUBTYPE_NAMES.index(name)] for name in subtypes])
        caption = " + ".join(labels.LABELS[labels.LABEL_NAMES.index(name)].title.lower() for name in subtypes)
        panels.append(_panel(study, int(area.argmax()), BRAIN, caption))
    return panels


def _mimics(seed: int) -> list[Panel]:
    """One example of each mimic, ringed, and a slice between the petrous bones."""
    found: dict[str, Panel] = {}
    patient = 0
    while len(found) < len(MIMICS) and patient < 40:
        study = render_plan(_spec(seed), StudyPlan(patient, patient + 100, 0, ()))
        for mimic in study.truth.facts["mimics"]:
            if mimic["kind"] in MIMICS and mimic["kind"] not in found:
                found[mimic["kind"]] = _panel(study, mimic["slice"], BRAIN, mimic["kind"], mimic["row_column"])
        patient += 1
    sharp = [render_plan(_spec(seed, tilt_deg=(0.0, 0.0)), StudyPlan(k, 3, 0, ())) for k in range(4)]
    study = max(sharp, key=lambda one: one.truth.facts["scanner"]["petrous_hu"])
    streak = _panel(study, round(0.14 * len(study.hu)), BRAIN, "petrous streaks")
    return [found[kind] for kind in MIMICS if kind in found] + [streak]


def _figure(panels: list[Panel]) -> bytes:
    """The panels in rows, as PNG."""
    from matplotlib.figure import Figure
    from matplotlib.patches import Circle

    rows = -(-len(panels) // COLUMNS)
    figure = Figure(figsize=(COLUMNS * PANEL_PX / 100, rows * PANEL_PX / 100), dpi=100, facecolor="black")
    for k, (image, (level, width), caption, point) in enumerate(panels):
        row, column = divmod(k, COLUMNS)
        axes = figure.add_axes((column / COLUMNS, 1 - (row + 1) / rows, 1 / COLUMNS, 1 / rows))
        axes.imshow(image, cmap="gray", vmin=level - width / 2, vmax=level + width / 2, interpolation="antialiased")
        axes.axis("off")
        if caption:
            axes.text(0.5, 0.02, caption, color="white", fontsize=8, ha="center", transform=axes.transAxes)
        if point is not None:
            side = image.shape[0]
            axes.add_patch(
                Circle((point[1] * side, point[0] * side), side * 0.075, fill=False, color="white", linewidth=0.8)
            )
    out = io.BytesIO()
    figure.savefig(out, format="png", metadata={"Software": None})
    return out.getvalue()


def draw_contact_sheet(path: Path, seed: int = 0) -> Path:
    """Draw the sheet into `path` (PNG, under 1 MB) and return it: 14 slices in a brain window, 7 in a bone window, bleeds, mimics.

    Raises:
        OutputError: the file cannot be written.
    """
    from PIL import Image

    panels = _blind(seed) + _bleeds(seed) + _mimics(seed)
    grey = np.asarray(Image.open(io.BytesIO(_figure(panels))).convert("L"), np.float32)
    coarse = np.rint(np.rint(grey / 255 * (GREYS - 1)) * 255 / (GREYS - 1)).astype(np.uint8)
    try:
        Image.fromarray(coarse).save(path, format="PNG", optimize=True)
    except OSError as error:
        raise OutputError(
            f"{path}: cannot write the contact sheet: {error.strerror or error}; choose another file", path=path
        ) from error
    return path
