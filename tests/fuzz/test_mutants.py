"""No mutant of a good series crashes, hangs or grows a process, or is read as other HU or in another order than its bytes say."""

import json
import os
from pathlib import Path

import pytest

from fuzz.child import judged
from fuzz.crew import Tally, run
from fuzz.mutate import mutant_of
from fuzz.seeds import made_seeds

MUTANTS = 50_000
CAMPAIGN = 1_000_000
CAMPAIGN_OF_REAL_FILES = 100_000
FOUND = (132733, 217654, 262456, 418030, 519587, 527597, 544288, 608764, 980200)
"""Of the whole campaign, what was read wrongly once: sequences that end elsewhere than they say, zero bytes inside a number of a
frame, pixel data twice with a sequence between. The last was judged wrongly: functional groups in an image of one frame."""
_HOW = "cd tests && PYTHONPATH=.. python -m fuzz show"


def test_mutants_are_refused_flagged_or_read_as_their_bytes_say():
    check(run("test", MUTANTS), "test", MUTANTS)


@pytest.mark.parametrize("number", FOUND)
def test_what_the_campaign_found_stays_mended(number: int, tmp_path: Path):
    outcome, code, wrong = judged(mutant_of(made_seeds(), "campaign", number), tmp_path)
    assert not wrong
    assert (outcome, code[:2]) in {("refused", "E-"), ("flagged", "D-")}


@pytest.mark.campaign
def test_mutants_of_a_whole_campaign(record_property):
    tally = run("campaign", CAMPAIGN, len(os.sched_getaffinity(0)))
    record_property("mutants", told("campaign", tally))
    check(tally, "campaign", CAMPAIGN)


@pytest.mark.campaign
def test_mutants_of_real_files(real_data: Path, record_property):
    tally = run("real", CAMPAIGN_OF_REAL_FILES, len(os.sched_getaffinity(0)), real_data)
    record_property("mutants", told("real", tally))
    check(tally, "real", CAMPAIGN_OF_REAL_FILES, f" --real {real_data}", read_at_least=0.0)


def check(tally: Tally, campaign: str, count: int, more: str = "", read_at_least: float = 0.15) -> None:
    """Every mutant was judged, nothing is wrong with any, and enough of each seed was read for that to mean something."""
    lines = [
        f"{_HOW} {campaign} {f['number']}{more}  # {f['seed']}: {f['fault']}; {f['done']}" for f in tally.faults[:20]
    ]
    assert not tally.faults, f"{len(tally.faults)} faults, each made again by:\n" + "\n".join(lines)
    assert sum(tally.counts.values()) == count
    for name, outcomes in tally.by(0).items():
        assert outcomes["refused"] <= (1 - read_at_least) * outcomes.total(), f"{name}: {outcomes}"


def told(campaign: str, tally: Tally) -> str:
    """The tally as the page of campaigns takes it."""
    tables = {"seeds": tally.by(0), "kinds": tally.by(1), "codes": tally.codes()}
    rest = {"slowest": tally.slowest, "peak_bytes": tally.peak_bytes, "faults": tally.faults[:50]}
    return json.dumps({"campaign": campaign, "faults_in_all": len(tally.faults), **tables, **rest})
