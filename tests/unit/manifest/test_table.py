"""What is refused as a table of slices, whoever changed it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ich_seq.errors import DatasetError
from ich_seq.manifest.table import COLUMNS, read_table


def table(rows: int = 4) -> pd.DataFrame:
    """Slices without haemorrhage, of the types that a table has."""
    made = pd.DataFrame(
        {name: pd.Series(np.zeros(rows), dtype="float64").astype(kind) for name, kind in COLUMNS.items()}
    )
    made["sop_instance_uid"] = pd.Series([f"1.2.{row}" for row in range(rows)], dtype=COLUMNS["sop_instance_uid"])
    return made


def changed(column: str, value: object) -> Callable[[pd.DataFrame], pd.DataFrame]:
    return lambda whole: whole.assign(**{column: whole[column].mask(whole.index == 1, value)})


def test_a_sound_table_is_read(tmp_path: Path) -> None:
    table().to_parquet(tmp_path / "t.parquet")
    assert len(read_table(tmp_path / "t.parquet")) == 4


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda whole: whole.iloc[:0], "no rows"),
        (changed("position_mm", np.nan), "a position is no number"),
        (changed("any", 7), "neither 0 nor 1"),
        (changed("any", 1), "not the OR"),
        (changed("subdural", 1), "not the OR"),
        (lambda whole: pd.concat([whole, whole.iloc[2:3]]), "listed twice"),
        (lambda whole: whole.drop(columns="split"), "no column split"),
    ],
)
def test_a_changed_table_is_refused(tmp_path: Path, change: Callable, fault: str) -> None:
    path = tmp_path / "t.parquet"
    change(table()).to_parquet(path, index=False)
    with pytest.raises(DatasetError, match=fault) as caught:
        read_table(path)
    assert str(path) in caught.value.message
