"""A StudyResult as one HTML page that needs nothing else: no script, no font, no picture from elsewhere."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ich_seq.dicom import Code
from ich_seq.dicom.person import Patient
from ich_seq.labels import ANY, SUBTYPES
from ich_seq.report.curves import all_curves, gap_lines, score_bar, shown
from ich_seq.report.key_slices import KeyImage, KeySlice, choose_key_slices
from ich_seq.report.page import render_page
from ich_seq.study.result import LabelScore, Reading, SliceScore, Status, StudyResult

_STATUS_WORDS = {
    Status.COMPLETE: "✓ Complete series",
    Status.WITH_WARNINGS: "! Complete, with warnings",
    Status.INCOMPLETE: "⚠ Incomplete: slices are missing",
}
_SIDES = {Reading.AT_OR_ABOVE.value: "at or above", Reading.BELOW.value: "below"}
_THRESHOLD_WORDS = (
    "Under each name: on which side of the balanced threshold stage two's score lies (the score with the whole scan, not the "
    "calibrated one). The threshold was chosen on the scans of validation patients. At or above, or below: neither is a diagnosis, "
    "and a low score does not rule out haemorrhage."
)
_READING_WORDS = {
    Reading.AT_OR_ABOVE.value: _THRESHOLD_WORDS,
    Reading.BELOW.value: _THRESHOLD_WORDS,
    Reading.NOT_THRESHOLDED.value: "Scores, not yes or no: no threshold has been chosen, and a low score does not rule out "
    "haemorrhage.",
    Reading.INDETERMINATE.value: "Slices are missing and a bleed may lie between those that are there: whatever the score, "
    "nothing here reads absent.",
}
_VOTE_WORDS = "Scores are shares of votes, not probabilities: 1 says that every model of the ensemble votes for it."
_GAPS_AT_A_GLANCE = 4
_KINDS = {"refused": "Scored although refused:", "dropped": "Not used:", "warning": "Warning:", "note": "Note:"}


@dataclass(frozen=True, slots=True)
class _Noticed:
    severity: str
    kind: str
    message: str
    code: str
    todo: str


def render_study_page(result: StudyResult, images: Sequence[KeyImage] = (), patient: Patient | None = None) -> str:
    """The page. `images` are drawn by `draw_key_images` for the slices that `choose_key_slices` names; others are left out.

    `patient` is whom the user asked to be named; without it the page names nobody. Every text is escaped; the page's own policy lets
    a browser load nothing and run nothing.
    """
    return render_page(
        "study.html.j2",
        ("study.css",),
        result=result,
        status_words=_STATUS_WORDS[result.status],
        incomplete=result.status is Status.INCOMPLETE,
        reading_words=_reading_words(result),
        calibrated=any(score.calibrated is not None for score in result.scan),
        rows=_score_rows(result),
        noticed=_noticed(result),
        curves=all_curves(result),
        gaps=gap_lines(result),
        widest=gap_lines(result, _GAPS_AT_A_GLANCE),
        patient=() if patient is None else _patient_lines(patient),
        key_slices=_key_slices(result, images),
        slices=[_slice_row(score) for score in result.slices],
        averaged=any(score.averaged_sop_instance_uids for score in result.slices),
        shorts=[label.abbreviation for label in (ANY, *SUBTYPES)],
        shown=shown,
    )


def _score_rows(result: StudyResult) -> list[dict[str, Any]]:
    rows = []
    for label in (ANY, *SUBTYPES):
        score = result.label(label.name)
        short = "" if label is ANY else label.abbreviation
        reading = "" if score.reading == Reading.NOT_THRESHOLDED.value else _reading(score)
        row = {"title": label.title, "abbreviation": short, "score": score, "bar": score_bar(score), "reading": reading}
        rows.append(row | {"calibrated": "–" if score.calibrated is None else shown(score.calibrated)})
    return rows


def _reading(score: LabelScore) -> str:
    """The reading, short enough to stand under the label's name: the side and the threshold."""
    if score.balanced_threshold is None or score.reading not in _SIDES:
        return score.reading
    return f"{_SIDES[score.reading]} {score.balanced_threshold:.3f}"


def _reading_words(result: StudyResult) -> str:
    """What the readings mean: of any haemorrhage first, else of the first label that has a threshold."""
    readings = [result.label(label.name).reading for label in (ANY, *SUBTYPES)]
    told = next((reading for reading in readings if reading != Reading.NOT_THRESHOLDED.value), readings[0])
    words = _READING_WORDS.get(told, "")
    return f"{words} {_VOTE_WORDS}" if result.model.combined_by == "vote" else words


def _noticed(result: StudyResult) -> list[_Noticed]:
    """Findings and dropped slices of the scored series, the gravest first; files from elsewhere stand further down."""
    dropped = [
        _Noticed("dropped", _KINDS["dropped"], f"{item.count} × {item.reason}", item.code, _todo(remedy_of(item.code)))
        for item in result.dropped
        if item.in_series
    ]
    found = [
        _Noticed(item.severity, _KINDS[item.severity], item.message, item.code, _todo(item.what_to_do))
        for item in result.findings
    ]
    order = list(_KINDS)
    return sorted([*dropped, *found], key=lambda item: order.index(item.severity))


def _todo(what_to_do: str) -> str:
    return "" if what_to_do.startswith("Nothing") else what_to_do


def remedy_of(code: str) -> str:
    """What to do about a code; empty for one of a later version."""
    return next((known.remedy for known in Code if known.value == code), "")


def _patient_lines(patient: Patient) -> list[tuple[str, str]]:
    facts = {
        "Name": patient.name,
        "ID": patient.patient_id,
        "Born": patient.birth_date,
        "Study date": patient.study_date,
    }
    return [(name, value or "not stated") for name, value in facts.items()]


def _key_slices(result: StudyResult, images: Sequence[KeyImage]) -> list[dict[str, Any]]:
    drawn = {image.index: image for image in images}
    return [
        {
            "image": drawn[key.index],
            "number": key.index + 1,
            "position_mm": result.slices[key.index].position_mm,
            "averaged": len(result.slices[key.index].averaged_sop_instance_uids),
            "words": _words(key),
        }
        for key in choose_key_slices(result)
        if key.index in drawn
    ]


def _words(key: KeySlice) -> str:
    def one(score: LabelScore) -> str:
        return f"{score.title.lower()} {shown(score.stage_two.probability)}"

    return ", ".join(one(score) for score in key.labels)


def _slice_row(score: SliceScore) -> dict[str, Any]:
    labels = (ANY, *SUBTYPES)
    values = [stage.of(label.name) for stage in (score.stage_two, score.stage_one) for label in labels]
    cells = [{"text": shown(value), "heat": min(int(value * 10), 9)} for value in values]
    return {
        "number": score.index + 1,
        "position_mm": score.position_mm,
        "cells": cells,
        "uid": score.sop_instance_uid,
    }
