"""Which training slices teach the floors."""

import pandas as pd

from ich_seq.evaluation.held_out import floor_rows

TABLE = pd.DataFrame({"series_instance_uid": [f"s{k // 5}" for k in range(50)], "position_mm": range(50)})


def test_all_slices_teach_where_there_are_few() -> None:
    assert floor_rows(TABLE, 50, seed=0).equals(TABLE)
    assert floor_rows(TABLE, 1000, seed=0).equals(TABLE)


def test_whole_series_are_drawn_by_the_seed_until_there_are_enough() -> None:
    few = floor_rows(TABLE, 12, seed=0)
    assert len(few) == 15
    assert set(few.groupby("series_instance_uid").size()) == {5}
    assert few["position_mm"].is_monotonic_increasing
    assert floor_rows(TABLE, 12, seed=0).equals(few)
    assert any(not floor_rows(TABLE, 12, seed=seed).equals(few) for seed in range(1, 5))
