"""A StudyResult as `result.json` and `slices.csv`."""

import csv
import io
import itertools

from ich_seq.labels import LABEL_NAMES
from ich_seq.report.curves import unbroken_runs
from ich_seq.study.result import SliceScore, StudyResult

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def result_json(result: StudyResult) -> str:
    """The whole result as indented JSON that fits the shipped schema."""
    return result.model_dump_json(indent=2) + "\n"


def slices_csv(result: StudyResult) -> str:
    """One row a slice, feet to head: place, UID, position in mm, both stages' probabilities, stage two's calibrated ones; the notice.

    A calibrated probability is empty where the model has none. `gap_above_mm` is the distance to the next slice where slices are
    missing in between, and empty elsewhere. `averaged_slices` says of how many thin slices a row is the mean, 1 where it is one slice.

    A spreadsheet never sees a formula: text that starts like one is prefixed with an apostrophe. Source: OWASP, CSV injection.
    """
    stages = ("stage_one", "stage_two")
    header = [
        "slice",
        "sop_instance_uid",
        "position_mm",
        *(f"{stage}_{name}" for stage in (*stages, "calibrated") for name in LABEL_NAMES),
    ]
    sheet = io.StringIO()
    writer = csv.writer(sheet, lineterminator="\n")
    writer.writerow([*header, "gap_above_mm", "averaged_slices", "status", "notice"])
    gaps = _gaps_above(result)
    for score in result.slices:
        beside = (gaps.get(score.index, ""), len(score.averaged_sop_instance_uids) or 1)
        writer.writerow([*_cells(score), *beside, result.status.value, "research software, not for clinical use"])
    return sheet.getvalue()


def _gaps_above(result: StudyResult) -> dict[int, str]:
    """The gap in mm above the slices that have one, by slice index."""
    runs = unbroken_runs(result)
    return {
        below[-1].index: f"{above[0].position_mm - below[-1].position_mm:.3f}"
        for below, above in itertools.pairwise(runs)
    }


def inert_cell(text: str) -> str:
    """Text that no spreadsheet takes for a formula, on one line and without control characters."""
    visible = "".join(character if character.isprintable() else " " for character in text)
    return (
        f"'{visible}" if text.startswith(_FORMULA_STARTS) or visible.lstrip().startswith(_FORMULA_STARTS) else visible
    )


def _cells(score: SliceScore) -> list[str]:
    probabilities = (getattr(stage, name) for stage in (score.stage_one, score.stage_two) for name in LABEL_NAMES)
    place = [str(score.index + 1), inert_cell(score.sop_instance_uid), f"{score.position_mm:.3f}"]
    calibrated = (None if score.calibrated is None else score.calibrated.of(name) for name in LABEL_NAMES)
    return [
        *place,
        *(format(probability, ".7g") for probability in probabilities),
        *("" if probability is None else format(probability, ".7g") for probability in calibrated),
    ]
