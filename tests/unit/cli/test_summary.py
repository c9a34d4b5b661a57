"""The summary on the terminal: what a person sees first."""

import io
from pathlib import Path

import pytest
from example_result import calibrated_result, example_result
from rich.console import Console

from ich_seq.cli.summary import print_summary
from ich_seq.labels import LABEL_NAMES, LABELS, RESEARCH_NOTICE
from ich_seq.study.result import Dropped, Status


def printed(result, width=80):
    file = io.StringIO()
    print_summary(result, Path("out/report.html"), Console(file=file, width=width, highlight=False))
    return file.getvalue()


def words(text):
    return " ".join(text.replace("│", " ").split())


def test_every_label_stands_on_one_line_with_score_and_place():
    lines = printed(example_result()).splitlines()
    for label in LABELS:
        (line,) = [line for line in lines if label.title in line]
        assert "slice 4, 15 mm" in line
    (line,) = [line for line in lines if "Any haemorrhage" in line]
    assert "0.90" in line
    assert "0.45" in line


@pytest.mark.parametrize("width", [80, 120])
def test_notice_training_data_and_report_are_named(width):
    text = words(printed(example_result(text="SOME-TEXT"), width))
    for phrase in (RESEARCH_NOTICE, "Trained on: SOME-TEXT", "Report: out/report.html", "not yes or no"):
        assert phrase in text


def test_an_incomplete_scan_says_so_at_every_label():
    text = words(printed(example_result(status=Status.INCOMPLETE)))
    assert "INCOMPLETE: slices are missing" in text
    assert text.count("indeterminate") == len(LABEL_NAMES)
    assert "nothing here reads absent" in text


def test_text_from_a_model_cannot_steer_the_terminal():
    text = printed(example_result(text="[bold]\x1b[2Jgone\u202e"))
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "[bold]" in text


@pytest.mark.parametrize("width", [80, 120])
def test_calibrated_scores_and_sides_of_thresholds_are_shown(width):
    lines = printed(calibrated_result(), width).splitlines()
    (place,) = [number for number, line in enumerate(lines) if "Any haemorrhage" in line]
    assert "0.90" in lines[place]
    assert lines[place].count("0.45") == 2  # stage one, and half of .9
    assert "at or above 0.500" in lines[place + 1]
    assert "below 0.500" in printed(calibrated_result(), width)
    assert "Neither is a diagnosis" in words(printed(calibrated_result(), width))


def test_what_to_do_stands_under_what_was_found():
    lost = Dropped(code="D-TRUNCATED", reason="cut", count=2, in_series=True)
    result = example_result(text="SOME-TEXT").model_copy(update={"dropped": (lost,)})
    text = words(printed(result))
    assert "warning SOME-TEXT [W-TEST] SOME-TEXT" in text
    assert "not used 2 x cut [D-TRUNCATED] Copy or export the file again." in text
