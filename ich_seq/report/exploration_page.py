"""An Exploration as one HTML page that needs nothing else."""

from typing import Any

import numpy as np

from ich_seq.config import Window
from ich_seq.evaluation.exploration import HU_EDGES, Example, Exploration
from ich_seq.labels import LABELS, SUBTYPES
from ich_seq.report.figures import ACCENT, SOFT, WARM, as_data_uri, new_figure
from ich_seq.report.key_slices import window_to_grey
from ich_seq.report.page import render_page

# HU of tissues on non-contrast CT: low, high, name. Source: Hounsfield 1980, 10.1118/1.594709; blood: Bergstrom et al. 1977.
TISSUES = ((-120, -60, "fat"), (0, 15, "CSF"), (20, 32, "white"), (35, 45, "grey"), (50, 90, "blood"))
_BRAIN_RANGE = (-150, 150)
_BONE = Window(level=600, width=2800)


def render_exploration_page(found: Exploration, windows: tuple[Window, ...]) -> str:
    """The page; slices are shown in `windows` and in a bone window, side by side."""
    shown = (*windows, _BONE)
    return render_page(
        "explore.html.j2",
        ("study.css", "explore.css"),
        found=found,
        labels=LABELS,
        rows=_label_rows(found),
        together=_together(found),
        slices_figure=_spread(found.slices_per_series, "slices in a series"),
        spacing_figure=_spread(found.spacing_mm, "spacing of slices, mm"),
        tilt_figure=_spread(found.tilt_deg, "gantry tilt, degrees"),
        hu_figure=_hu_figure(found),
        window_names=[f"{window.level:g} / {window.width:g}" for window in shown],
        example_figure=_example_figure(found.examples, shown),
    )


def _label_rows(found: Exploration) -> list[dict[str, Any]]:
    """Each label's positives among patients, series and slices, with their share."""
    sizes = (found.totals["patients"], found.totals["series"], found.totals["slices"])
    return [
        {
            "title": label.title,
            "cells": [
                f"{int(found.positive[level, index]):,} ({found.positive[level, index] / size:.1%})"
                for level, size in enumerate(sizes)
            ],
        }
        for index, label in enumerate(LABELS)
    ]


def _together(found: Exploration) -> list[dict[str, Any]]:
    """Of the slices with the row's label, the share that has the column's too."""
    rows = []
    for i, label in enumerate(LABELS):
        total = int(found.together[i, i])
        cells = [f"{found.together[i, j] / total:.0%}" if total else "-" for j in range(len(LABELS))]
        rows.append({"title": label.title, "cells": cells})
    return rows


def _spread(values: np.ndarray, title: str) -> str:
    """A histogram of one number per series; empty text where there is none."""
    if not len(values):
        return ""
    figure = new_figure(3.05, 2.2)
    axes = figure.add_subplot()
    whole = np.issubdtype(values.dtype, np.integer)
    low, high = float(values.min()), float(values.max())
    bins = np.arange(low - 0.5, high + 1.5).tolist() if whole and high - low < 80 else 30
    axes.hist(values, bins=bins, color=ACCENT)
    axes.axvline(float(np.median(values)), color=WARM, linewidth=1.5)
    axes.set_title(f"{title}: {low:.3g} to {high:.3g}, median {np.median(values):.3g}", fontsize=8, loc="left")
    axes.set_ylabel("series", fontsize=8, color=SOFT)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    return as_data_uri(figure)


def _hu_figure(found: Exploration) -> str:
    """Histograms over the whole range (logarithmic) and over that of the brain, with the tissue scale."""
    middle = (HU_EDGES[:-1] + HU_EDGES[1:]) / 2
    figure = new_figure(9.6, 3.2)
    for place, (low, high) in enumerate(((-1100, 2000), _BRAIN_RANGE)):
        axes = figure.add_subplot(1, 2, place + 1)
        inside = (middle >= low) & (middle <= high)
        for share, colour, name, count in zip(
            found.hu_share, (SOFT, WARM), ("without", "with"), found.hu_slices, strict=True
        ):
            if count:
                label = f"{name} haemorrhage ({count} slices)"
                axes.step(middle[inside], 100 * share[inside], color=colour, where="mid", linewidth=1.3, label=label)
        if place == 0:
            axes.set_yscale("log")
            axes.legend(fontsize=8, frameon=False)
        else:
            for number, (start, end, name) in enumerate(TISSUES):
                axes.axvspan(start, end, color=ACCENT, alpha=0.10, linewidth=0)
                axes.text(
                    (start + end) / 2,
                    0.99 - 0.06 * (number % 2),
                    name,
                    fontsize=7.5,
                    ha="center",
                    va="top",
                    transform=axes.get_xaxis_transform(),
                )
            axes.set_ylim(0, 115 * float(found.hu_share[:, inside].max()))  # room for the names above the curves
        axes.set_xlim(low, high)
        axes.set_xlabel("HU", fontsize=8, color=SOFT)
        axes.set_ylabel("% of the head's pixels, per 5 HU", fontsize=8, color=SOFT)
        axes.tick_params(labelsize=8)
        axes.spines[["top", "right"]].set_visible(False)
    return as_data_uri(figure)


def _example_figure(examples: list[Example], windows: tuple[Window, ...]) -> str:
    """One row a slice, one column a window; pixels keep their shape in mm."""
    titles = {label.name: label.title for label in SUBTYPES} | {"none": "No haemorrhage"}
    figure = new_figure(2.4 * len(windows), 2.4 * len(examples))
    for row, example in enumerate(examples):
        for column, window in enumerate(windows):
            axes = figure.add_subplot(len(examples), len(windows), row * len(windows) + column + 1)
            grey = window_to_grey(example.hu, window.level, window.width)
            axes.imshow(grey, cmap="gray", vmin=0, vmax=255, aspect=example.spacing_mm[0] / example.spacing_mm[1])
            axes.set_axis_off()
            if row == 0:
                axes.set_title(f"{window.level:g} / {window.width:g} HU", fontsize=9)
            if column == 0:
                axes.text(
                    -0.04,
                    0.5,
                    titles[example.title],
                    rotation=90,
                    ha="right",
                    va="center",
                    fontsize=9,
                    transform=axes.transAxes,
                )
    return as_data_uri(figure)
