"""Whole files or none, and clear words when they cannot be written."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ich_seq.errors import OutputError
from ich_seq.files import (
    make_folder,
    make_private_folder,
    remove_dead_leftovers,
    remove_leftovers,
    replacing,
    temporary_beside,
    write_bytes,
    write_json,
    write_text,
)


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    write_text(path, "old")
    with pytest.raises(RuntimeError, match="half-way"), replacing(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError("half-way")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_json_with_nan_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "result.json", {"any": float("nan")})
    assert not list(tmp_path.iterdir())


def test_a_file_in_the_folders_place_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(OutputError, match="out/deeper: part of the path is a file"):
        make_folder(tmp_path / "out" / "deeper")
    with pytest.raises(OutputError, match="a file of that name is in the way"):
        make_folder(tmp_path / "out")


def test_a_folder_that_does_not_exist_at_all_is_made_with_its_parents(tmp_path: Path) -> None:
    assert make_folder(tmp_path / "a" / "b").is_dir()


def test_a_cache_is_made_for_its_owner_alone_and_the_folder_around_it_as_usual(tmp_path: Path) -> None:
    cache = make_private_folder(tmp_path / "run" / "cache")
    assert cache.stat().st_mode & 0o777 == 0o700
    (tmp_path / "usual").mkdir()
    assert cache.parent.stat().st_mode == (tmp_path / "usual").stat().st_mode
    cache.chmod(0o750)
    assert make_private_folder(cache).stat().st_mode & 0o777 == 0o750, "what somebody let others see stays so"


def test_a_full_disk_is_said_and_leaves_nothing(tmp_path: Path) -> None:
    """/dev/full answers every write with ENOSPC, as a full disk does."""
    target = tmp_path / "result.json"
    with (
        pytest.raises(OutputError, match=r"result\.json: the disk is full; free some space"),
        replacing(target) as temporary,
    ):
        temporary.symlink_to("/dev/full")
        temporary.write_bytes(b"x" * 100_000)
    assert not list(tmp_path.iterdir())


def killed_while_writing(path: Path) -> None:
    code = f"""
import os
from pathlib import Path
from ich_seq.files import replacing
with replacing(Path({str(path)!r})) as temporary:
    temporary.write_bytes(b"half")
    os.kill(os.getpid(), 9)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9


def test_leftovers_of_a_kill_are_removed_and_nothing_else(tmp_path: Path) -> None:
    killed_while_writing(tmp_path / "part.h5")
    write_bytes(tmp_path / "whole.h5", b"whole")
    assert len(list(tmp_path.iterdir())) == 2
    remove_leftovers(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["whole.h5"]


def test_a_file_that_is_written_again_takes_away_what_a_kill_left_of_it(tmp_path: Path) -> None:
    killed_while_writing(tmp_path / "run[1].json")
    killed_while_writing(tmp_path / "other.json")
    write_text(tmp_path / "run[1].json", "whole")
    left = sorted(path.name.rpartition("-")[2] for path in tmp_path.iterdir())
    assert left == ["other.json", "run[1].json"], "what is left of the other file is not this write's to remove"
    remove_dead_leftovers(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["run[1].json"]


def test_a_killed_process_that_nobody_has_asked_about_writes_no_more(tmp_path: Path) -> None:
    zombie = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    ours = temporary_beside(tmp_path / "part.h5")
    ours.with_name(ours.name.replace(f"-{os.getpid()}-", f"-{zombie.pid}-")).touch()
    remove_dead_leftovers(tmp_path)
    assert len(list(tmp_path.iterdir())) == 1
    zombie.kill()
    os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)
    remove_dead_leftovers(tmp_path)
    assert not list(tmp_path.iterdir())
    zombie.wait()


def test_what_somebody_is_writing_is_no_leftover(tmp_path: Path) -> None:
    with replacing(tmp_path / "part.h5") as temporary:
        temporary.write_bytes(b"half")
        elsewhere = tmp_path / ".writing-00000000-999999999-part.h5"
        elsewhere.write_bytes(b"of another machine")
        remove_dead_leftovers(tmp_path)
        assert temporary.exists()
    assert elsewhere.exists()
    assert (tmp_path / "part.h5").read_bytes() == b"half"
