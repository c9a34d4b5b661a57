"""Several studies in one table, most urgent first: what a reading room would begin with, and what nobody has scored."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ich_seq.dicom.codes import Code
from ich_seq.errors import IchSeqError
from ich_seq.files import replacing
from ich_seq.labels import ANY, LABELS, RESEARCH_NOTICE, SUBTYPES
from ich_seq.report.curves import shown
from ich_seq.report.json_csv import inert_cell
from ich_seq.report.page import render_page
from ich_seq.study.result import Status, StudyResult

CSV_FILE, PAGE_FILE = "worklist.csv", "worklist.html"
ORDER = (
    "By stage two's score of any haemorrhage, the highest first. It is an order, not a diagnosis: a low score does not rule out "
    "haemorrhage, and every study here must be read. Studies that were not scored stand last and are read as if there were no list."
)
_UNSAID = "It could not be scored: score it by itself, and the terminal says why"
_STATUS = {
    Status.COMPLETE: "complete",
    Status.WITH_WARNINGS: "complete, with warnings",
    Status.INCOMPLETE: "incomplete: slices are missing",
}


@dataclass(frozen=True, slots=True)
class Listed:
    """What is kept of one study: its result's scan scores and the name of its folder, or why it was not scored."""

    study_instance_uid: str
    folder: str = ""
    status: str = ""
    warnings: int = 0
    scores: tuple[float, ...] = ()
    """Stage two's of the scan, in the order of LABELS; empty where it was not scored."""
    reading: str = ""
    """Of any haemorrhage, as `LabelScore.reading`."""
    fault: str = ""
    """What kept it from being scored."""

    @classmethod
    def scored(cls, result: StudyResult, folder: str) -> "Listed":
        """A study that was scored; its files are in `folder`, a name beside the list."""
        return cls(
            result.study_instance_uid,
            folder,
            _STATUS[result.status],
            sum(item.severity != "note" for item in result.findings),
            tuple(result.label(label.name).stage_two.probability for label in LABELS),
            result.label(ANY.name).reading,
        )

    @classmethod
    def failed(cls, study_instance_uid: str, error: IchSeqError) -> "Listed":
        """A study that was not scored, and why by its codes: a message may name a file, which no file of ours repeats."""
        codes = getattr(error, "codes", None) or (getattr(error, "code", ""),)
        known = [code for code in Code if code.value in codes]
        said = " ".join(f"{code.value}: {code.text} {code.remedy}" for code in known)
        return cls(study_instance_uid, fault=said or f"{_UNSAID} (exit code {error.exit_code}).")


def in_order(studies: Sequence[Listed]) -> list[Listed]:
    """The most urgent first: by the score of any haemorrhage, then by the highest subtype; those without a score last."""
    return sorted(
        studies,
        key=lambda study: (
            not study.scores,
            -study.scores[-1] if study.scores else 0.0,
            -max(study.scores[:-1], default=0.0),
            study.study_instance_uid,
        ),
    )


def write_worklist(studies: Sequence[Listed], folder: Path) -> Path:
    """Writes `worklist.csv` and `worklist.html`, both or none; returns the path of the page.

    Raises:
        OutputError: disk full, or the folder is not writable.
    """
    ranked = in_order(studies)
    with replacing(folder / CSV_FILE) as sheet, replacing(folder / PAGE_FILE) as page:
        sheet.write_text(_csv(ranked), encoding="utf-8")
        page.write_text(_page(ranked), encoding="utf-8")
    return folder / PAGE_FILE


def _csv(ranked: Sequence[Listed]) -> str:
    """One row a study; `rank` is empty where there is no score, and no cell is taken for a formula."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    scores = [f"scan_{label.name}" for label in (ANY, *SUBTYPES)]
    writer.writerow(
        ["rank", "study_instance_uid", *scores, "reading_any", "status", "warnings", "folder", "fault", "notice"]
    )
    for rank, study in enumerate(ranked, start=1):
        cells = [format(score, ".7g") for score in (*study.scores[-1:], *study.scores[:-1])] or [""] * len(LABELS)
        rest = [study.reading, study.status, study.warnings if study.scores else "", study.folder]
        fault = [inert_cell(study.fault), "research software, not for clinical use"]
        writer.writerow([rank if study.scores else "", inert_cell(study.study_instance_uid), *cells, *rest, *fault])
    return text.getvalue()


def _page(ranked: Sequence[Listed]) -> str:
    scored = [study for study in ranked if study.scores]
    rows = [
        {
            "rank": rank,
            "study": study,
            "cells": [shown(score) for score in (study.scores[-1], *study.scores[:-1])],
        }
        for rank, study in enumerate(scored, start=1)
    ]
    return render_page(
        "worklist.html.j2",
        ("study.css", "explore.css"),
        notice=RESEARCH_NOTICE,
        order=ORDER,
        labels=[ANY.title, *(label.title for label in SUBTYPES)],
        rows=rows,
        failed=[study for study in ranked if not study.scores],
        report="report.html",
    )
