"""Tiles of the slices of a table: order, memory, and what cannot be read."""

import resource
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from dicom_factory import make_series

from ich_seq.config import PreprocessConfig
from ich_seq.dicom import read_slice_hu
from ich_seq.errors import DatasetError
from ich_seq.labels import LABEL_NAMES
from ich_seq.slices.tiles import TileSource
from ich_seq.slices.window import Preprocess
from ich_seq.volume import WHOLE_FILE

PREPROCESS = Preprocess(PreprocessConfig(size=16))


def table_of(paths: list[Path], root: Path) -> pd.DataFrame:
    labels = np.random.default_rng(0).integers(0, 2, (len(paths), 6)).astype(np.uint8)
    table = pd.DataFrame(labels, columns=list(LABEL_NAMES))
    return table.assign(path=[path.relative_to(root).as_posix() for path in paths], slice_index=WHOLE_FILE)


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_hold_the_slices_asked_for_in_that_order(tmp_path: Path, workers: int) -> None:
    paths = make_series(tmp_path, slices=6)
    table = table_of(paths, tmp_path)
    batches = list(TileSource(table, tmp_path, PREPROCESS, workers).batches([[4, 1], [0, 5, 2], [3]]))
    assert [len(batch.tiles) for batch in batches] == [2, 3, 1]
    expected = PREPROCESS.tiles(torch.from_numpy(read_slice_hu(paths[1]).copy()).unsqueeze(0))[0]
    assert torch.equal(batches[0].tiles[1], expected)
    assert batches[1].labels.tolist() == table[list(LABEL_NAMES)].iloc[[0, 5, 2]].to_numpy().tolist()


def test_tiles_kept_in_memory_differ_by_at_most_half_a_float16_step(tmp_path: Path) -> None:
    paths = make_series(tmp_path, slices=4)
    source = TileSource(table_of(paths, tmp_path), tmp_path, PREPROCESS)
    (read,) = source.batches([[0, 1, 2, 3]])
    source.keep_in_memory()
    (kept,) = source.batches([[0, 1, 2, 3]])
    assert (read.tiles - kept.tiles).abs().max() <= 2**-12
    assert torch.equal(read.labels, kept.labels)


@pytest.mark.parametrize("in_memory", [False, True])
def test_an_unreadable_slice_is_left_out_and_named_not_made_black(tmp_path: Path, in_memory: bool) -> None:
    paths = make_series(tmp_path, slices=4)
    paths[2].write_bytes(paths[2].read_bytes()[:-100])
    source = TileSource(table_of(paths, tmp_path), tmp_path, PREPROCESS)
    if in_memory:
        source.keep_in_memory()
    (batch,) = source.batches([[0, 1, 2, 3]])
    assert len(batch.tiles) == len(batch.labels) == 3
    assert [paths[2].name in reason for reason in source.unreadable] == [True]


@pytest.mark.parametrize("in_memory", [False, True])
def test_a_batch_of_which_nothing_can_be_read_is_empty_and_keeps_its_place(tmp_path: Path, in_memory: bool) -> None:
    paths = make_series(tmp_path, slices=4)
    paths[2].write_bytes(paths[2].read_bytes()[:-100])
    source = TileSource(table_of(paths, tmp_path), tmp_path, PREPROCESS)
    if in_memory:
        source.keep_in_memory()
    batches = list(source.batches([[0], [2], [3]]))
    assert [len(batch.labels) for batch in batches] == [1, 0, 1]
    assert batches[1].tiles.shape == (0, 3, 16, 16)


def test_a_batch_of_more_slices_than_files_may_be_open_comes_from_a_worker(tmp_path: Path) -> None:
    paths = make_series(tmp_path, slices=2)
    source = TileSource(table_of(paths, tmp_path), tmp_path, PREPROCESS, workers=1)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        (batch,) = source.batches([[0, 1] * 150])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert len(batch.labels) == 300


def test_more_than_one_percent_unreadable_is_refused(tmp_path: Path) -> None:
    paths = make_series(tmp_path, slices=4)
    for path in paths[:2]:
        path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DatasetError, match="2 of 4 training slices cannot be read"):
        list(TileSource(table_of(paths, tmp_path), tmp_path, PREPROCESS).batches([[0, 1, 2, 3]]))
