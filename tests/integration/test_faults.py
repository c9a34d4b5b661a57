"""A full disk, a folder that is read-only or gone, no file handles, eight writers at once: one clear sentence, nothing partial."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import write_faults
from embedding_writer import identity_of, scan, source_of

from ich_seq.embeddings.cache import open_cache, write_index
from ich_seq.embeddings.ledger import read_done
from ich_seq.manifest.table import read_table
from ich_seq.slices.tile_part import read_slices
from ich_seq.training.checkpoint import load_checkpoint

SAID = {
    "full disk": ("limit on the size of a file is reached; raise it or free some space",),
    "read-only": ("no permission to write there; choose another folder",),
    "no handles": ("too many files are open; raise the limit (`ulimit -n`) and run the same command again",),
    "gone": ("part of the path is a file, not a folder", "a file of that name is in the way"),
}


@pytest.fixture(scope="module")
def answer(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("faults")
    done = subprocess.run(
        [sys.executable, write_faults.__file__, str(folder)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return folder, json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("fault", SAID)
def test_every_writer_says_what_is_wrong_with_exit_code_5_and_leaves_nothing(
    answer: tuple[Path, dict[str, Any]], fault: str
) -> None:
    found = [
        each for each in answer[1]["faults"] if each["fault"] == fault and not each["writer"].startswith("reading")
    ]
    assert {each["writer"] for each in found} == set(write_faults.WRITERS)
    for each in found:
        assert each["code"] == 5, each
        assert any(words in each["said"] for words in SAID[fault]), each
        assert "\n" not in each["said"]
        lines = ["done-0-of-1.jsonl"] if (each["writer"], fault) == ("ledger", "full disk") else []
        assert each["left"] == lines, "only a ledger, which is lines, may keep what it has"


def test_lines_of_a_ledger_that_did_not_fit_are_whole_or_left_out(answer: tuple[Path, dict[str, Any]]) -> None:
    folder = answer[0] / "ledger full disk"
    known = read_done(folder)
    assert 0 < len(known) < 40
    assert set(known) == {source_of(number) for number in range(len(known))}


def test_a_reader_without_file_handles_does_not_call_the_file_damaged(answer: tuple[Path, dict[str, Any]]) -> None:
    found = [each for each in answer[1]["faults"] if each["writer"].startswith("reading")]
    assert len(found) == len(write_faults.READERS)
    for each in found:
        assert each["code"] == 5, each
        assert SAID["no handles"][0] in each["said"]


def test_eight_writers_at_once_leave_one_whole_cache(answer: tuple[Path, dict[str, Any]]) -> None:
    folder, told = answer[0] / "at once", answer[1]["at_once"]
    assert [(each["code"], each["said"]) for each in told] == [(0, "")] * write_faults.WRITERS_AT_ONCE
    assert list(folder.rglob(".writing-*")) == []
    assert set(read_done(folder)) == {source_of(number) for number in range(write_faults.SCANS_AT_ONCE)}
    write_index(folder, "e" * 64, [identity_of(number) for number in range(write_faults.SCANS_AT_ONCE)])
    for number, found in enumerate(open_cache(folder).series()):
        np.testing.assert_array_equal(found.embedding, scan(number).embedding)
    (part,) = (folder / "tiles" / "parts").iterdir()
    assert list(read_slices(part, write_faults.FORM)["sop_instance_uid"]) == write_faults.NAMES
    state = load_checkpoint(folder / "last.pt", write_faults.PRINT)
    assert state is not None
    assert torch.equal(state["network"]["w"], torch.ones(9999))
    assert len(read_table(folder / "table.parquet")) == 99
