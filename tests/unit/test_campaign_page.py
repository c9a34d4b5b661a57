"""The campaign's page counts what pytest reports, by command and signal."""

import json
from pathlib import Path

import pytest

from benchmarks import campaign
from benchmarks.campaign import page, read_cases

REPORT = """<?xml version="1.0"?><testsuites><testsuite name="pytest">
<testcase name="test_at_random[train-cnn --tiles-SIGINT-0.125]" time="10"/>
<testcase name="test_at_random[train-cnn --tiles-SIGINT-0.500]" time="20"><failure message="x"/></testcase>
<testcase name="test_at_random[train-cnn --tiles-SIGKILL-0.250]" time="30"/>
<testcase name="test_in_the_last_epoch[train-cnn --tiles-SIGTERM]" time="40"/>
<testcase name="test_another_campaign[7]" time="5"/>
<testcase name="test_killed_writer[1000]" time="9"><properties><property name="kills" value="1000"/>
<property name="lost" value="0"/></properties></testcase>
<testcase name="test_mutants" time="9"><properties><property name="mutants" value="MUTANTS"/></properties></testcase>
</testsuite></testsuites>"""

TOLD = {
    "campaign": "c",
    "faults_in_all": 1,
    "seeds": {"rle": {"refused": 1200, "same": 34}, "big": {"crash": 1}},
    "kinds": {"flip": {"refused": 1200, "same": 34, "crash": 1}},
    "codes": {"D-UNREADABLE": 1200},
    "slowest": [[0.25, 77, "rle"]],
    "peak_bytes": 100 * 1024**2,
    "faults": [{"number": 5, "seed": "big", "done": ["flip"], "fault": "KeyError"}],
}


def write_report(folder: Path) -> Path:
    path = folder / "report.xml"
    path.write_text(REPORT.replace("MUTANTS", json.dumps(TOLD).replace('"', "&quot;")))
    return path


def test_moments_are_counted_by_command_place_and_signal(tmp_path: Path) -> None:
    text = page(read_cases(write_report(tmp_path)), "here")
    assert "here: 6 of 7 cases passed in 2 min." in text
    assert "| train-cnn --tiles | anywhere | 1 of 2 | - | 1 of 1 | 20 |" in text
    assert "| train-cnn --tiles | last epoch | - | 1 of 1 | - | 40 |" in text
    assert "| test_another_campaign[7] | passed | 5 |" in text
    assert "| test_at_random[train-cnn --tiles-SIGINT-0.500] | failure | 20 |" in text
    assert "0.125" not in text
    assert "| test_killed_writer | passed |\n| --- | ---: |\n| kills | 1000 |\n| lost | 0 |\n" in text
    assert text.count("test_killed_writer") == 1, "it has its own table"


FAULTS = """<?xml version="1.0"?><testsuites><testsuite name="pytest">
<testcase name="test_fault[one_slice_missing-phantom]" time="1"><properties><property name="expected" value="W-SLICE-GAP"/>
<property name="folder" value="W-SLICE-GAP"/><property name="zip" value="W-SLICE-GAP"/></properties></testcase>
<testcase name="test_fault[one_slice_missing-rsna]" time="1"><skipped message="missing real data"/></testcase>
<testcase name="test_fault[inverted-phantom]" time="1"><properties><property name="expected" value="E-HU-IMPLAUSIBLE"/>
<property name="folder" value=""/><property name="zip" value="W-NO-AIR"/></properties></testcase>
<testcase name="test_variant[implicit-phantom]" time="1"/>
<testcase name="test_variant[rle-phantom]" time="1"><failure message="x"/></testcase>
</testsuite></testsuites>"""


def test_faults_stand_with_what_was_answered_on_each_base(tmp_path: Path) -> None:
    (tmp_path / "report.xml").write_text(FAULTS)
    text = page(read_cases(tmp_path / "report.xml"), "here")
    assert "| one slice missing | W-SLICE-GAP | yes | absent | - | - |" in text
    assert "| inverted | E-HU-IMPLAUSIBLE | **nothing** (zip: W-NO-AIR) | - | - | - |" in text
    assert "in 1 of 2 pairs" in text
    assert "1 of 2 harmless variants were read" in text
    assert "| test_variant[rle-phantom] | failure | 1 |" in text
    assert "test_variant[implicit-phantom]" not in text


def test_mutants_are_counted_by_seed_and_kind(tmp_path: Path) -> None:
    text = page(read_cases(write_report(tmp_path)), "here")
    assert "### Campaign `c`: 1,235 mutants, 1 faults" in text
    assert "| rle | 1,234 | 34 | 0 | 0 | 1,200 | 0 |" in text
    assert "| flip | 1,235 | 34 | 0 | 0 | 1,200 | 1 |" in text
    assert "held 100 MiB" in text
    assert "0.25 s (rle, 77)" in text
    assert "- 5 (big): KeyError; ['flip']" in text


AGAIN = """<?xml version="1.0"?><testsuites><testsuite name="pytest">
<testcase name="test_at_random[train-cnn --tiles-SIGINT-0.500]" time="10"/></testsuite></testsuites>"""


def test_parts_that_ran_apart_make_one_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report, faults, again = write_report(tmp_path), tmp_path / "faults.xml", tmp_path / "again.xml"
    faults.write_text(FAULTS)
    again.write_text(AGAIN)
    monkeypatch.setattr(campaign, "RESULTS", tmp_path)
    monkeypatch.setattr(
        "sys.argv", ["campaign", "--reports", *map(str, (report, faults, again)), "--note", "Six again."]
    )
    assert campaign.main() == 1, "some had failed"
    text = (tmp_path / "campaign.md").read_text()
    assert "`make campaign`, in 3 parts on" in text
    assert "10 of 12 cases passed" in text, "of the case that ran twice the last counts"
    assert "Six again." in text
    assert "| train-cnn --tiles | anywhere | 2 of 2 | - | 1 of 1 | 17 |" in text
    assert "| inverted | E-HU-IMPLAUSIBLE |" in text
