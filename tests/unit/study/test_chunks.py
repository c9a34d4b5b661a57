"""Chunks of slices with their neighbours: whatever their size, each slice once and beside the same neighbours."""

import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest
from dicom_factory import make_series
from tiny_model import load_tiny_model, write_tiny_model

import ich_seq
from ich_seq.config import PreprocessConfig, Window
from ich_seq.dicom import ReadOptions
from ich_seq.embeddings.extract import Extractor, store_series
from ich_seq.embeddings.part import read_part
from ich_seq.embeddings.series import read_series
from ich_seq.errors import InputRefusedError
from ich_seq.evaluation.scoring import score_series
from ich_seq.labels import LABEL_NAMES
from ich_seq.manifest.headers import read_headers
from ich_seq.study import score
from ich_seq.study.chunks import Chunk, in_chunks, one_ahead

ASIP = PreprocessConfig(windows=(Window(level=60, width=40),), mean=(0.0,), std=(1.0,), size=32, adjacent_slices=1)


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    folder = tmp_path_factory.mktemp("asip") / "model"
    write_tiny_model(folder, preprocess=ASIP)
    return load_tiny_model(folder)


@pytest.mark.parametrize("reach", [0, 1, 2, 4])
@pytest.mark.parametrize("size", [1, 2, 3, 8, 20])
@pytest.mark.parametrize("count", [0, 1, 2, 7, 8, 9, 16, 17])
def test_every_slice_is_asked_for_once_beside_its_neighbours(count: int, size: int, reach: int) -> None:
    read: list[int] = []

    def slices():
        for index in range(count):
            read.append(index)
            yield index * 10, np.full((2, 2), float(index), np.float32)

    found = {}
    for chunk in in_chunks(slices(), size, reach):
        assert len(chunk.asked) == len(chunk.indices) <= size
        values = [int(hu[0, 0]) for hu in chunk.slices]
        assert len(read) <= chunk.indices[-1] // 10 + 1 + reach  # nothing is read before it is needed
        for place, index in zip(chunk.asked, chunk.indices, strict=True):
            assert index not in found
            found[index] = values[max(place - reach, 0) : place + reach + 1]
    wanted = {10 * at: list(range(max(at - reach, 0), min(at + reach + 1, count))) for at in range(count)}
    assert found == wanted
    assert read == list(range(count))


def chunks_that_fail_after(good: int, begun: list[int]) -> Iterator[Chunk]:
    for index in range(good + 1):
        begun.append(index)
        if index == good:
            raise InputRefusedError("no more")
        yield Chunk([], range(0), [index])


def test_the_next_chunk_is_read_while_the_one_before_is_computed_and_no_further() -> None:
    begun: list[int] = []
    reading = one_ahead(chunks_that_fail_after(3, begun))
    assert next(reading).indices == [0]
    limit = time.monotonic() + 60
    while len(begun) < 2 and time.monotonic() < limit:
        time.sleep(0.001)
    assert begun == [0, 1]
    assert [next(reading).indices, next(reading).indices] == [[1], [2]]
    with pytest.raises(InputRefusedError, match="no more"):
        next(reading)


def test_who_wants_no_more_chunks_leaves_no_thread() -> None:
    before = threading.active_count()
    reading = one_ahead(chunks_that_fail_after(9, []))
    next(reading)
    reading.close()
    assert threading.active_count() == before


def scores(result) -> np.ndarray:
    return np.array([[each.stage_one.of(name) for name in LABEL_NAMES] for each in result.slices])


def test_scores_with_neighbours_do_not_depend_on_the_chunks(network, tmp_path, monkeypatch) -> None:
    make_series(tmp_path, 20)
    whole = ich_seq.score_study(tmp_path, network)
    monkeypatch.setattr(score, "CHUNK_SLICES", 3)
    # Sums of another batch in another order differ in the last bits.
    np.testing.assert_allclose(scores(ich_seq.score_study(tmp_path, network)), scores(whole), atol=1e-6)


def test_a_slice_that_does_not_fit_is_no_neighbour_either(network, tmp_path) -> None:
    def wrong(dataset, index):
        if index == 7:
            dataset.RescaleIntercept = "0"

    make_series(tmp_path / "wrong", 20, wrong)
    make_series(tmp_path / "absent", 20)[7].unlink()
    found, wanted = (ich_seq.score_study(tmp_path / name, network) for name in ("wrong", "absent"))
    assert len(found.slices) == 19
    np.testing.assert_allclose(scores(found), scores(wanted), atol=1e-6)  # as above


def rows_of(folder):
    names = sorted(path.name for path in folder.iterdir())
    return read_headers(folder, names, jobs=1).table.sort_values("position_mm", ignore_index=True)


def test_extraction_evaluation_and_scoring_read_the_same_of_a_slice(network, tmp_path) -> None:
    """With a file in the middle that cannot be read: its neighbours are each other's."""
    torn = make_series(tmp_path / "scan", 12)[5]
    rows = rows_of(tmp_path / "scan")
    torn.write_bytes(torn.read_bytes()[:-100])
    (tmp_path / "cache" / "parts").mkdir(parents=True)
    done, new = store_series(
        Extractor(network.cnn, tmp_path / "cache", 32), read_series(rows, tmp_path / "scan"), "0" * 64
    )
    extracted = read_part(tmp_path / "cache" / "parts", done.identity)
    evaluated = score_series(network, rows, tmp_path / "scan")
    scored = scores(ich_seq.score_study(tmp_path / "scan", network))
    assert new
    assert len(done.unreadable) == len(evaluated.unreadable) == 1
    assert np.isnan(evaluated.stage_one[5]).all()
    # Batches of 32 and of 8: sums in another order differ in the last bits.
    np.testing.assert_allclose(1 / (1 + np.exp(-extracted.logits)), scored, atol=1e-6)
    np.testing.assert_allclose(np.delete(evaluated.stage_one, 5, axis=0), scored, atol=1e-6)


def test_a_slice_alone_is_left_out_of_extraction_and_evaluation_and_refused_in_scoring(network, tmp_path) -> None:
    make_series(tmp_path / "scan", 1)
    rows = rows_of(tmp_path / "scan")
    done, new = store_series(
        Extractor(network.cnn, tmp_path / "cache", 32), read_series(rows, tmp_path / "scan"), "0" * 64
    )
    assert (done.identity, new) == ("", False)
    assert "reads neighbouring slices" in done.unreadable[0]
    evaluated = score_series(network, rows, tmp_path / "scan")
    assert np.isnan(evaluated.stage_one).all()
    assert "reads neighbouring slices" in evaluated.unreadable[0]
    with pytest.raises(
        InputRefusedError, match="one slice can be read, and this model reads each slice with 1 on either side"
    ):
        ich_seq.score_study(tmp_path / "scan", network, options=ReadOptions(allow_incomplete=True))
