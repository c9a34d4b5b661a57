"""Published figures are whole and stand only where they belong."""

import pytest

from ich_seq.evaluation.published import PUBLISHED, published_for
from ich_seq.labels import LABEL_NAMES


@pytest.mark.parametrize("row", PUBLISHED, ids=lambda row: f"{row.work}, {row.system}, {row.unit}, {row.figure}")
def test_each_row_has_a_source_a_split_and_a_sentence_on_comparing(row) -> None:
    assert row.source
    assert row.split
    assert row.comparable.endswith(".")
    assert row.unit in ("slice", "scan")
    assert set(row.values) in (set(LABEL_NAMES), {"weighted log loss"})
    assert all(0 < value < 1 for value in row.values.values())


def test_stage_two_is_above_stage_one_in_burdujas_table_for_every_label() -> None:
    one, two = (
        next(row.values for row in PUBLISHED if "Burduja" in row.work and row.system == f"stage {n}")
        for n in ("one", "two")
    )
    assert all(two[name] > one[name] for name in LABEL_NAMES)


def test_none_stands_beside_another_dataset() -> None:
    assert published_for("rsna2019") == PUBLISHED
    assert published_for("phantom") == published_for("cq500") == ()
