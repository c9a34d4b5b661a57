"""Series that are read ahead come in the order that was asked for, with their identities, however many threads read."""

import os

import pytest
from dicom_factory import make_series

from ich_seq.embeddings.series import SeriesRows, identity_of, read_ahead, read_series, readers_for
from ich_seq.manifest.headers import read_headers


@pytest.mark.parametrize(("cores", "readers"), [(1, 2), (4, 4), (64, 8)])
def test_a_gpu_is_fed_by_as_many_readers_as_there_are_cores(monkeypatch, cores: int, readers: int) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)))
    assert readers_for("cuda:0") == readers
    assert readers_for("cpu") == 2


def test_series_come_in_order_with_their_identities_however_many_read_ahead(tmp_path) -> None:
    paths = [path for seed in "abcde" for path in make_series(tmp_path, slices=2, uid_seed=seed)]
    groups = SeriesRows(read_headers(tmp_path, sorted(path.name for path in paths), jobs=1).table)
    every = [read_series(rows, tmp_path) for rows in groups]
    assert len({identity_of(extractor, series) for series in every for extractor in ("e", "f")}) == 10
    for readers in (1, 3, 8):
        found = list(read_ahead(groups, [4, 0, 2], tmp_path, "e", readers))
        assert [series.series_instance_uid for series, _ in found] == [
            every[at].series_instance_uid for at in (4, 0, 2)
        ]
        assert [identity for _, identity in found] == [identity_of("e", every[at]) for at in (4, 0, 2)]
    assert list(read_ahead(groups, [], tmp_path, "e")) == []
