"""Writes what was scored: all files of a study, or none."""

import contextlib
import time
from pathlib import Path

from ich_seq.dicom.person import Patient, read_patient
from ich_seq.files import make_folder, replacing
from ich_seq.report.json_csv import result_json, slices_csv
from ich_seq.report.key_slices import KeyImage, choose_key_slices, draw_key_images
from ich_seq.report.study_page import render_study_page
from ich_seq.study.inputs import Scan
from ich_seq.study.result import StudyResult
from ich_seq.study.score import ScoredStudy
from ich_seq.volume import Volume

RESULT_FILE, SLICES_FILE, PAGE_FILE = "result.json", "slices.csv", "report.html"


def write_study(scored: ScoredStudy, folder: Path, *, show_patient: bool = False) -> tuple[StudyResult, Path]:
    """Writes `result.json`, `slices.csv` and `report.html`; returns the result with the time that it took, and the page's path.

    No file takes its place before all of them are on disk. With `show_patient` the page, and it alone, says who the patient is, as the
    first slice's header has it.

    Raises:
        OutputError: disk full, or the folder is not writable; earlier files there are as they were.
        PixelsUnreadableError: a key slice cannot be read any more.
    """
    started = time.perf_counter()
    make_folder(folder)
    patient = _patient_of(scored.volume) if show_patient else None
    page = render_study_page(scored.result, key_images(scored.result, scored.volume), patient)
    texts = {PAGE_FILE: page, SLICES_FILE: slices_csv(scored.result)}
    with contextlib.ExitStack() as stack:
        for name, text in texts.items():
            stack.enter_context(replacing(folder / name)).write_text(text, encoding="utf-8")
        result = scored.result.with_timing("write", time.perf_counter() - started)
        stack.enter_context(replacing(folder / RESULT_FILE)).write_text(result_json(result), encoding="utf-8")
    return result, folder / PAGE_FILE


def key_images(result: StudyResult, volume: Scan) -> list[KeyImage]:
    """The pictures of the key slices, read anew from their files.

    Raises:
        PixelsUnreadableError: a file is gone or has changed.
    """
    slices_hu = {key.index: volume[key.index] for key in choose_key_slices(result)}
    return draw_key_images(slices_hu, volume.pixel_spacing_mm)


def _patient_of(scan: Scan) -> Patient:
    """Whom the headers name; NIfTI names nobody."""
    return read_patient(scan.series.headers[0]) if isinstance(scan, Volume) else Patient("", "", "", "")
