"""Writes what explains a study: all files, or none."""

import contextlib
import re
from pathlib import Path
from typing import Any

from PIL import Image

from ich_seq.files import make_folder, replacing, write_json
from ich_seq.labels import LABEL_NAMES, RESEARCH_NOTICE
from ich_seq.report.explanation_page import Drawing, draw, neighbour_words, render_explanation_page
from ich_seq.report.explanation_words import CONVENTION, MEANING, cell_words, heat_words, scale_words, score_words
from ich_seq.report.heat_picture import heat_image
from ich_seq.report.heat_sheet import Sheet, draw_sheet
from ich_seq.report.secondary_capture import refuse_without_uids, secondary_capture
from ich_seq.study.explain import Explanation, Heat

PAGE_FILE, FACTS_FILE = "explanation.html", "explanation.json"
FACTS_VERSION = "1.0"
_ENDINGS = (".png", ".dcm")
_SHEET = re.compile(rf"slice_[0-9]{{3,}}_({'|'.join(LABEL_NAMES)})\.(png|dcm)")


def write_explanation(explanation: Explanation, folder: Path, *, dicom: bool = False) -> Path:
    """Writes `explanation.html`, `explanation.json` and a PNG for each sheet, with `dicom` a secondary capture too; returns the page.

    A sheet is there for each slice and label that is drawn, and for each label's hottest score among the explained slices. No file
    takes its place before all of them are on disk; sheets of an earlier explanation there, of another study perhaps, are removed then.

    Raises:
        InputRefusedError: secondary captures of a study without valid UIDs.
        UsageError: secondary captures without the extra `dicom`.
        PixelsUnreadableError: a slice cannot be read any more.
        OutputError: disk full, or the folder is not writable; earlier files there are as they were.
    """
    if dicom:
        refuse_without_uids(explanation)
    make_folder(folder)
    drawing = draw(explanation)
    chosen = sheets_of(explanation)
    with contextlib.ExitStack() as stack:
        for number, heat in enumerate(chosen, start=1):
            picture = sheet_of(drawing, heat)
            temporary = stack.enter_context(replacing(folder / f"{sheet_name(heat)}.png"))
            picture.save(temporary, format="PNG", optimize=True)
            if dicom:
                capture = secondary_capture(explanation, heat, picture, number)
                temporary = stack.enter_context(replacing(folder / f"{sheet_name(heat)}.dcm"))
                capture.save_as(temporary, enforce_file_format=True)
        page = render_explanation_page(drawing)
        stack.enter_context(replacing(folder / PAGE_FILE)).write_text(page, encoding="utf-8")
        write_json(stack.enter_context(replacing(folder / FACTS_FILE)), facts(drawing, chosen))
    _remove_others(folder, {f"{sheet_name(heat)}{ending}" for heat in chosen for ending in _ENDINGS[: 1 + dicom]})
    return folder / PAGE_FILE


def _remove_others(folder: Path, written: set[str]) -> None:
    for path in folder.glob("slice_*"):
        if path.name not in written and _SHEET.fullmatch(path.name):
            path.unlink(missing_ok=True)


def sheets_of(explanation: Explanation) -> list[Heat]:
    """The slices and labels that get a sheet, by slice and label."""
    best = {
        label: max(
            (heat for (_, name), heat in explanation.heats.items() if name == label), key=lambda heat: heat.score
        )
        for label in explanation.labels
    }
    return [heat for heat in explanation.heats.values() if heat.verdict == "drawn" or heat is best[heat.label]]


def sheet_name(heat: Heat) -> str:
    """The name of a sheet's file, without ending: no text of the study is in it."""
    return f"slice_{heat.index + 1:03d}_{heat.label}"


def sheet_of(drawing: Drawing, heat: Heat) -> Image.Image:
    """The picture of one slice and label."""
    explanation, plane = drawing.explanation, drawing.planes[heat.index]
    laid, panel = drawing.overlays[heat.index, heat.label], drawing.panels[heat.index]
    heading = f"Slice {heat.index + 1} of {len(explanation.result.slices)}.  {score_words(heat, explanation.stage)}"
    lines = [
        heat_words(heat, laid.hidden_share),
        *([neighbour_words(heat)] if heat.neighbours else []),
        f"{CONVENTION} {MEANING}",
        scale_words(explanation.scale, explanation.members),
        cell_words(explanation, plane.hu.shape, plane.pixel_mm),
    ]
    return draw_sheet(Sheet(panel.grey, heat_image(laid, drawing.box), panel.pixel_mm, heading, tuple(lines)))


def facts(drawing: Drawing, chosen: list[Heat]) -> dict[str, Any]:
    """What is on the page as numbers, for `explanation.json`; free of protected health information but for the UIDs."""
    explanation = drawing.explanation
    result = explanation.result
    sheets = {(heat.index, heat.label): f"{sheet_name(heat)}.png" for heat in chosen}
    return {
        "version": FACTS_VERSION,
        "notice": RESEARCH_NOTICE,
        "study_instance_uid": result.study_instance_uid,
        "series_instance_uid": result.series_instance_uid,
        "input_sha256": result.input_sha256,
        "status": result.status.value,
        "model": {"name": result.model.name, "digest": result.model.digest},
        "stage": explanation.stage,
        "scale": explanation.scale.model_dump(mode="json"),
        "member_scales": [scale.model_dump(mode="json") for scale in explanation.members],
        "heats": [_fact(drawing, heat, sheets.get(key)) for key, heat in explanation.heats.items()],
    }


def _fact(drawing: Drawing, heat: Heat, sheet: str | None) -> dict[str, Any]:
    return {
        "slice_index": heat.index,
        "sop_instance_uid": drawing.explanation.result.slices[heat.index].sop_instance_uid,
        "label": heat.label,
        "score": heat.score,
        "threshold": heat.threshold,
        "verdict": heat.verdict,
        "cells": [[round(float(cell), 6) for cell in row] for row in heat.cells],
        "hidden_share": round(drawing.overlays[heat.index, heat.label].hidden_share, 6),
        "without": [{"slice_index": each.index, "score": round(each.score_without, 9)} for each in heat.neighbours],
        "sheet": sheet,
    }
