"""The coordinates that stage two reads: what was projected comes back, in whole series however the blocks fall."""

import os
from pathlib import Path

import numpy as np
import pytest

from ich_seq.embeddings import reduced
from ich_seq.embeddings.cache import EmbeddingCache, write_index
from ich_seq.embeddings.part import SeriesFeatures, write_part
from ich_seq.embeddings.pca import Pca
from ich_seq.embeddings.reduced import REDUCED_FILE, read_reduced, write_reduced
from ich_seq.errors import CacheError

LENGTHS = (5, 1, 8, 3, 6)
AXES = np.eye(3, 16, dtype=np.float32)
"""The first three coordinates of an embedding are those of the PCA."""


def features(number: int) -> SeriesFeatures:
    generator = np.random.default_rng(number)
    count = LENGTHS[number]
    return SeriesFeatures(
        f"1.2.{number}",
        tuple(f"1.2.{number}.{index}" for index in range(count)),
        np.arange(count) * 5.0,
        generator.standard_normal((count, 16)).astype(np.float16),
        generator.standard_normal((count, 6)).astype(np.float32),
    )


@pytest.fixture
def cache(tmp_path: Path) -> EmbeddingCache:
    identities = [f"{number:064x}" for number in range(len(LENGTHS))]
    (tmp_path / "parts").mkdir()
    for number, identity in enumerate(identities):
        write_part(tmp_path / "parts", identity, features(number))
    made = write_index(tmp_path, "e" * 64, identities)
    write_reduced(made, Pca(np.zeros(16, np.float32), AXES, np.ones(3, np.float32)))
    return made


@pytest.mark.parametrize("block_rows", [1, 6, 14, 1000])
def test_each_series_comes_back_whole_in_the_order_of_the_index(
    cache: EmbeddingCache, monkeypatch: pytest.MonkeyPatch, block_rows: int
) -> None:
    monkeypatch.setattr(reduced, "_BLOCK_ROWS", block_rows)
    found = list(read_reduced(cache))
    assert [len(series.sop_instance_uids) for series in found] == list(LENGTHS)
    for number, series in enumerate(found):
        wanted = features(number)
        assert series.series_instance_uid == wanted.series_instance_uid
        assert series.sop_instance_uids == wanted.sop_instance_uids
        np.testing.assert_array_equal(series.reduced, wanted.embedding[:, :3].astype(np.float32))
        np.testing.assert_array_equal(series.logits, wanted.logits)
        np.testing.assert_array_equal(series.position_mm, wanted.position_mm)


def test_the_room_that_was_reserved_and_not_needed_is_given_back(cache: EmbeddingCache) -> None:
    size = (cache.folder / REDUCED_FILE).stat().st_size
    rows = sum(LENGTHS)
    assert rows * (3 + 6 + 2) * 4 < size < 100_000  # a mebibyte was reserved
    assert not list(cache.folder.glob(".writing-*"))


def test_a_file_cut_short_is_refused_by_name(cache: EmbeddingCache) -> None:
    path = cache.folder / REDUCED_FILE
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(CacheError, match=r"reduced\.h5: no usable PCA coordinates"):
        list(read_reduced(cache))
