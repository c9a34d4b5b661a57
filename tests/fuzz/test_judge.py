"""The judge of mutants sees what it is there to see, and who watches the processes sees them die."""

from dataclasses import replace

import numpy as np
import pytest

from fuzz import crew, judge
from fuzz.facts import facts_of
from fuzz.mutate import Mutant, mutant_of
from fuzz.seeds import SLICES, Seed, head_hu, made_seeds
from fuzz.tokens import tokens_of
from ich_seq.volume import Volume


@pytest.fixture(scope="module")
def seeds() -> list[Seed]:
    return made_seeds()


@pytest.fixture
def unchanged(seeds) -> Mutant:
    seed = next(seed for seed in seeds if seed.name == "explicit")
    return Mutant(0, seed, list(range(SLICES)), list(seed.files), pixels_kept=[True] * SLICES, changes=[0] * SLICES)


def test_every_seed_is_read_as_it_was_made(seeds, tmp_path):
    for seed in seeds:
        home = tmp_path / seed.name
        home.mkdir()
        count = len(seed.files)
        mutant = Mutant(0, seed, list(range(count)), list(seed.files), pixels_kept=[True] * count, changes=[0] * count)
        assert judge.read_and_judge(mutant, home) == judge.Verdict("same", "", ()), seed.name


def test_the_independent_reader_says_what_the_seed_was_made_with(unchanged):
    for index, raw in enumerate(unchanged.files):
        (facts,) = facts_of(raw) or ()
        assert facts.position == (-100.0, -110.0, 50.0 + 5.0 * index)
        assert (facts.slope, facts.intercept, facts.spacing) == ((1.0,), (-1024.0,), (3.4, 3.4))
        np.testing.assert_array_equal(facts.stored, head_hu(index) + 1024)


def test_a_file_in_tokens_is_the_same_file_when_joined(seeds):
    for seed in seeds:
        if seed.name != "deflated":  # another run of the compressor may choose other bytes
            assert tokens_of(seed.files[0]).joined() == seed.files[0], seed.name


def test_a_mutant_is_made_again_from_its_number(seeds):
    anew = made_seeds()
    for number in range(200):
        assert mutant_of(seeds, "again", number).files == mutant_of(anew, "again", number).files


def test_wrong_hu_are_seen(unchanged, tmp_path, monkeypatch):
    read = Volume.read
    monkeypatch.setattr(Volume, "read", lambda volume: ((i, hu + np.float32(i == 2)) for i, hu in read(volume)))
    wrong = judge.read_and_judge(unchanged, tmp_path).wrong
    assert wrong == (f"2.dcm/0: HU differ in {64 * 64} pixels",)


def test_a_mirrored_image_is_seen(unchanged, tmp_path, monkeypatch):
    read = Volume.read
    monkeypatch.setattr(
        Volume, "read", lambda volume: ((i, np.ascontiguousarray(hu[:, ::-1])) for i, hu in read(volume))
    )
    assert len(judge.read_and_judge(unchanged, tmp_path).wrong) == SLICES


def test_wrong_order_is_seen(unchanged, tmp_path, monkeypatch):
    def reversed_study(paths):
        inventory = read(paths)
        (study,) = inventory.studies
        series = replace(study.chosen, headers=study.chosen.headers[::-1])
        return replace(inventory, studies=[replace(study, chosen=series)])

    read = judge.read_study_files
    monkeypatch.setattr(judge, "read_study_files", reversed_study)
    assert any("in this order" in fault for fault in judge.read_and_judge(unchanged, tmp_path).wrong)


def test_a_slice_left_out_without_a_word_is_seen(unchanged, tmp_path, monkeypatch):
    read = judge.read_study_files
    monkeypatch.setattr(judge, "read_study_files", lambda _: read([tmp_path / f"{place}.dcm" for place in range(3)]))
    assert judge.read_and_judge(unchanged, tmp_path).wrong == ("['3.dcm'] left out without a word",)


def test_processes_that_die_hang_or_grow_are_seen_and_the_run_goes_on(monkeypatch):
    monkeypatch.setattr(crew, "CHILD", "fuzz.bad_child")
    monkeypatch.setattr(crew, "LIMIT_S", 2.0)
    monkeypatch.setattr(crew, "LIMIT_BYTES", 300 * 1024**2)
    tally = crew.run("bad", 12)
    faults = {fault["number"]: fault["fault"] for fault in tally.faults}
    assert sorted(faults) == [3, 5, 7]
    assert faults[3] == "the process died (signal 11)"
    assert faults[5].startswith("no end after")
    assert faults[7].startswith("held 0.")
    assert sum(tally.counts.values()) == 12
