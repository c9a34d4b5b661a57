"""slices.csv: what a spreadsheet may be fed."""

import csv
import io

import pytest
from example_result import calibrated_result, example_result
from hypothesis import given
from hypothesis import strategies as st

from ich_seq.labels import LABEL_NAMES
from ich_seq.report.json_csv import inert_cell, slices_csv
from ich_seq.study.result import Status


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", " =1", "\n=cmd|' /C calc'!A0"])
def test_text_that_a_spreadsheet_would_compute_is_quoted(text):
    assert inert_cell(text).startswith("'")


@given(st.text(max_size=40))
def test_no_text_starts_a_formula_or_breaks_a_line(text):
    cell = inert_cell(text)
    assert cell.lstrip()[:1] not in ("=", "+", "-", "@")
    assert cell.isprintable()


def test_uids_are_left_alone():
    assert inert_cell("1.2.840.113619.2") == "1.2.840.113619.2"
    assert inert_cell("ID_38ed6bf3c") == "ID_38ed6bf3c"


def test_one_row_a_slice_with_the_numbers_of_the_result():
    result = example_result(text="=HYPERLINK(1)")
    rows = list(csv.DictReader(io.StringIO(slices_csv(result))))
    assert [int(row["slice"]) for row in rows] == list(range(1, 11))
    assert {row["sop_instance_uid"] for row in rows} == {"'=HYPERLINK(1)"}
    for row, score in zip(rows, result.slices, strict=True):
        assert float(row["position_mm"]) == score.position_mm
        for name in LABEL_NAMES:
            assert float(row[f"stage_one_{name}"]) == score.stage_one.of(name)
            assert float(row[f"stage_two_{name}"]) == score.stage_two.of(name)


def test_every_row_says_status_and_notice():
    rows = list(csv.DictReader(io.StringIO(slices_csv(example_result()))))
    assert {row["status"] for row in rows} == {"complete"}
    assert {row["notice"] for row in rows} == {"research software, not for clinical use"}


def test_calibrated_probabilities_are_columns_that_are_empty_without_calibration():
    rows = list(csv.DictReader(io.StringIO(slices_csv(calibrated_result()))))
    assert float(rows[3]["calibrated_any"]) == 0.45
    assert rows[3]["calibrated_epidural"] == ""
    (plain, *_) = csv.DictReader(io.StringIO(slices_csv(example_result())))
    assert {plain[f"calibrated_{name}"] for name in LABEL_NAMES} == {""}


def test_a_gap_stands_in_the_row_below_it():
    result = example_result(status=Status.INCOMPLETE, gap_after=4)
    rows = list(csv.DictReader(io.StringIO(slices_csv(result))))
    assert [row["gap_above_mm"] for row in rows] == ["", "", "", "", "15.000", "", "", "", "", ""]
    assert {row["status"] for row in rows} == {"incomplete"}
