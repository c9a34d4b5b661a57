"""Which series are done: what a ledger keeps, and what it no longer believes."""

from pathlib import Path

import pytest

from ich_seq.embeddings.ledger import Done, Ledger, read_done

DONE = Done("a" * 64, ("one slice is gone",))


def with_part(folder: Path) -> Path:
    (folder / "parts").mkdir()
    (folder / "parts" / f"{DONE.identity}.h5").touch()
    return folder


def test_several_ledgers_are_read_as_one(tmp_path: Path) -> None:
    folder = with_part(tmp_path)
    Ledger(folder, "0-of-2").add("s", DONE)
    Ledger(folder, "1-of-2").add("t", Done("", ("nothing readable",)))
    assert read_done(folder) == {"s": DONE, "t": Done("", ("nothing readable",))}


def test_a_series_whose_part_is_gone_is_not_done(tmp_path: Path) -> None:
    Ledger(with_part(tmp_path), "0-of-1").add("s", DONE)
    (tmp_path / "parts" / f"{DONE.identity}.h5").unlink()
    assert read_done(tmp_path) == {}


@pytest.mark.parametrize(
    "line",
    ['{"source": "t", "iden', "[1]", '["source", "identity", "unreadable"]', '{"source": 1, "identity": 2}', "x"],
)
def test_a_line_cut_short_or_of_something_else_is_left_out_and_written_over(tmp_path: Path, line: str) -> None:
    ledger = Ledger(with_part(tmp_path), "0-of-1")
    ledger.add("s", DONE)
    with ledger.path.open("a", encoding="utf-8") as file:
        file.write(line)
    assert read_done(tmp_path) == {"s": DONE}
    Ledger(tmp_path, "0-of-1").add("u", DONE)
    assert set(read_done(tmp_path)) == {"s", "u"}
