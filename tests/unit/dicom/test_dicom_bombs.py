"""Files that ask for much are refused by the rule that they break; `benchmarks/isolation.py` measures what each takes."""

import pytest
from bombs import Bomb, all_bombs, codes_of, inserted, items, nested
from dicom_factory import make_series

from ich_seq.dicom import read_study_files

BOMBS = [bomb for bomb in all_bombs() if not bomb.slow]


def test_every_family_is_there_and_all_are_more_than_thirty():
    assert len(BOMBS) >= 50
    assert len({bomb.name for bomb in all_bombs()}) == len(all_bombs())


@pytest.mark.parametrize("bomb", BOMBS, ids=lambda bomb: bomb.name)
def test_a_bomb_is_refused_by_its_code(tmp_path, bomb: Bomb):
    slices_came_through, codes = codes_of(bomb.make(tmp_path))
    assert bomb.code in codes
    assert not slices_came_through


@pytest.mark.parametrize("bomb", BOMBS[:48:6], ids=lambda bomb: bomb.name)
def test_a_bomb_beside_a_sound_series_costs_that_file_only(tmp_path, bomb: Bomb):
    make_series(tmp_path / "series", 3, uid_seed="sound")
    path = bomb.make(tmp_path / "series")
    if path.suffix == ".zip":
        path.rename(path.with_suffix(".dcm"))
    chosen = next(study.chosen for study in read_study_files([tmp_path / "series"]).studies if study.chosen)
    assert len(chosen) == 3


@pytest.mark.parametrize(
    "allowed",
    [
        inserted("levels", "", lambda: nested_and_ended(64)),
        inserted("items", "", lambda: items(20_000)),
        inserted(
            "stepped_over", "", lambda: b"\x08\x00\x40\x11SQ\0\0" + (8_000_000).to_bytes(4, "little") + bytes(8_000_000)
        ),
    ],
    ids=lambda bomb: bomb.name,
)
def test_a_header_within_the_limits_is_read(tmp_path, allowed: Bomb):
    slices_came_through, codes = codes_of(allowed.make(tmp_path))
    assert slices_came_through
    assert codes <= {"W-SINGLE-SLICE", "N-MATRIX"}


def nested_and_ended(levels: int) -> bytes:
    """Sequences one in the other, each with its end."""
    return nested(levels) + (b"\xfe\xff\x0d\xe0\0\0\0\0" + b"\xfe\xff\xdd\xe0\0\0\0\0") * levels
