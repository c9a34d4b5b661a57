"""Scans for stage two: which labels each slice gets, and what is refused."""

import numpy as np
import pandas as pd
import pytest
import torch

from ich_seq.embeddings.reduced import ReducedSeries
from ich_seq.errors import DatasetError
from ich_seq.labels import LABEL_NAMES
from ich_seq.sequence.dataset import label_scans


def series(uid: str, slices: tuple[str, ...]) -> ReducedSeries:
    count = len(slices)
    return ReducedSeries(
        uid, slices, np.arange(count) * 5.0, np.ones((count, 3), np.float32), np.zeros((count, 6), np.float32)
    )


@pytest.fixture
def table() -> pd.DataFrame:
    """Three slices of series a and two of b; both number their slices alike, and each slice has labels of its own."""
    rows = [("a", "1"), ("b", "1"), ("a", "2"), ("b", "2"), ("a", "3")]
    labels = np.array([[int(bit) for bit in f"{number:06b}"] for number in (1, 2, 3, 4, 5)], np.uint8)
    keys = pd.DataFrame(rows, columns=["series_instance_uid", "sop_instance_uid"], dtype="str")
    return keys.join(pd.DataFrame(labels, columns=list(LABEL_NAMES)))


def test_each_slice_gets_the_labels_of_its_own_row(table: pd.DataFrame) -> None:
    scans = label_scans(iter([series("b", ("2", "1")), series("a", ("3", "1"))]), table)
    assert list(scans) == ["b", "a"]
    assert scans["b"].labels.tolist() == [[0, 0, 0, 1, 0, 0], [0, 0, 0, 0, 1, 0]]
    assert scans["a"].labels.tolist() == [[0, 0, 0, 1, 0, 1], [0, 0, 0, 0, 0, 1]]
    assert scans["a"].labels.dtype == torch.float32
    assert scans["a"].prob.unique().tolist() == [0.5]


def test_a_series_that_the_table_does_not_list_is_left_out(table: pd.DataFrame) -> None:
    assert list(label_scans(iter([series("c", ("1",)), series("a", ("1",))]), table)) == ["a"]


def test_a_slice_that_the_table_does_not_list_is_refused(table: pd.DataFrame) -> None:
    with pytest.raises(DatasetError, match="series b: the embedding cache holds slices that the table does not list"):
        label_scans(iter([series("b", ("1", "3"))]), table)
