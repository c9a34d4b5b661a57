"""The worklist's order, its cells, and that nothing in it is taken for markup or a formula."""

import csv
from pathlib import Path

import pytest
from example_result import example_result

from ich_seq.dicom.codes import Code
from ich_seq.errors import ModelError, SeriesRefusedError
from ich_seq.labels import ANY
from ich_seq.report.worklist import Listed, in_order, write_worklist
from ich_seq.study.result import Status


def listed(name: str, any_score: float, highest_subtype: float = 0.1) -> Listed:
    return Listed(name, name, "complete", 0, (highest_subtype, 0.0, 0.0, 0.0, 0.0, any_score), "not thresholded")


def test_the_most_urgent_is_first_and_what_was_not_scored_is_last() -> None:
    failed = Listed.failed("0", SeriesRefusedError("6 slices are missing", code="E-INCOMPLETE"))
    studies = [failed, listed("b", 0.2), listed("a", 0.9), listed("d", 0.2, 0.15), listed("c", 0.2)]
    assert [study.study_instance_uid for study in in_order(studies)] == ["a", "d", "b", "c", "0"]


def test_a_result_gives_its_scan_scores_and_its_status() -> None:
    result = example_result(status=Status.INCOMPLETE)
    study = Listed.scored(result, "folder")
    assert study.scores[-1] == result.label(ANY.name).stage_two.probability
    assert (study.status, study.reading) == ("incomplete: slices are missing", "indeterminate")


def test_why_a_study_was_not_scored_stands_without_the_names_of_files() -> None:
    failed = Listed.failed(
        "1", SeriesRefusedError("DOE^JANE.dcm: gaps", code="E-INCOMPLETE", codes=("E-INCOMPLETE", "W-HOLE"))
    )
    assert failed.fault == f"E-INCOMPLETE: {Code.E_INCOMPLETE.text} {Code.E_INCOMPLETE.remedy}"
    unsaid = Listed.failed("1", ModelError("DOE^JANE.dcm: no number"))
    assert unsaid.fault == "It could not be scored: score it by itself, and the terminal says why (exit code 6)."


@pytest.mark.parametrize("text", ["=1+1", "<script>alert(1)</script>", "a\nb", '"><img src=x>'])
def test_texts_are_inert(tmp_path: Path, text: str) -> None:
    page = write_worklist([Listed(text, fault=text), listed("1.2.3", 0.5)], tmp_path)
    assert "<script" not in page.read_text()
    assert "<img" not in page.read_text()
    scored, failed = csv.DictReader((tmp_path / "worklist.csv").read_text().splitlines())
    assert (scored["rank"], scored["scan_any"], failed["rank"], failed["scan_any"]) == ("1", "0.5", "", "")
    for name in ("study_instance_uid", "fault"):
        assert not failed[name].startswith("=")
        assert "\n" not in failed[name]
