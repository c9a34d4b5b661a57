"""CODES.md is what the enumeration says, and each code says something."""

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from ich_seq.cli import main
from ich_seq.cli.codes import codes_page
from ich_seq.dicom import Code, Severity

PAGE = Path(__file__).resolve().parents[2] / "CODES.md"


def codes(*arguments: str) -> str:
    done = CliRunner().invoke(main, ["codes", *arguments])
    assert done.exit_code == 0, done.output
    return done.stdout


def test_the_page_of_codes_is_the_one_that_the_program_makes() -> None:
    """Where it fails: ichseq codes --markdown > CODES.md."""
    assert PAGE.read_text(encoding="utf-8") == codes_page() == codes("--markdown")


def test_every_code_stands_once_in_page_table_and_json() -> None:
    values = sorted(code.value for code in Code)
    assert sorted(re.findall(r"^\| `([EDWN]-[A-Z0-9-]+)` \|", codes_page(), re.MULTILINE)) == values
    assert sorted(re.findall(r"^  ([EDWN]-[A-Z0-9-]+) ", codes(), re.MULTILINE)) == values
    assert sorted(item["code"] for item in json.loads(codes("--json"))) == values


@pytest.mark.parametrize("code", Code, ids=lambda code: code.value)
def test_each_code_says_what_was_found_and_what_to_do_in_sentences(code: Code) -> None:
    assert code.value[1] == "-"
    assert isinstance(code.severity, Severity)
    for sentence in (code.text, code.remedy):
        assert re.fullmatch(r"[A-Z0-9].*\.", sentence), sentence
        assert "|" not in sentence


def test_one_code_can_be_asked_for() -> None:
    text = codes("w-slice-gap")
    assert "W-SLICE-GAP" in text
    assert "E-INCOMPLETE" not in text
    done = CliRunner().invoke(main, ["codes", "W-NOTHING"])
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
