"""The embedding cache: whole parts, one index, and what it refuses."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest

from ich_seq.embeddings.cache import open_cache, write_index
from ich_seq.embeddings.fit_pca import fit_pca
from ich_seq.embeddings.part import SeriesFeatures, part_name, read_part, write_part
from ich_seq.errors import CacheError, DatasetError, OutputError, StaleCacheError

EXTRACTOR = "e" * 64


def features(slices: int, seed: int) -> SeriesFeatures:
    generator = np.random.default_rng(seed)
    return SeriesFeatures(
        f"1.2.{seed}",
        tuple(f"1.2.{seed}.{index}" for index in range(slices)),
        np.arange(slices) * 5.0,
        generator.standard_normal((slices, 16)).astype(np.float16),
        generator.standard_normal((slices, 6)).astype(np.float32),
    )


def identity(number: int) -> str:
    return f"{number:064x}"


@pytest.fixture
def cache_folder(tmp_path: Path) -> Path:
    (tmp_path / "parts").mkdir()
    for number in range(3):
        write_part(tmp_path / "parts", identity(number), features(4 + number, number))
    write_index(tmp_path, EXTRACTOR, [identity(number) for number in range(3)])
    return tmp_path


def test_what_is_written_is_read_back_bit_for_bit(cache_folder: Path) -> None:
    cache = open_cache(cache_folder, EXTRACTOR)
    assert cache.index.rows == 4 + 5 + 6
    assert [part.first_row for part in cache.index.parts] == [0, 4, 9]
    for number, found in enumerate(cache.series()):
        wanted = features(4 + number, number)
        assert found.sop_instance_uids == wanted.sop_instance_uids
        for name in ("embedding", "logits", "position_mm"):
            np.testing.assert_array_equal(getattr(found, name), getattr(wanted, name))


def test_series_at_places_are_those_of_the_index_in_the_order_asked_for(cache_folder: Path) -> None:
    cache = open_cache(cache_folder)
    assert [cache.series_uid(place) for place in range(3)] == ["1.2.0", "1.2.1", "1.2.2"]
    assert [found.series_instance_uid for found in cache.series([2, 0])] == ["1.2.2", "1.2.0"]


def test_the_pca_reads_training_series_only_and_no_more_than_it_needs(cache_folder: Path) -> None:
    """Series 1 is held out and damaged; of 0 and 2, which train, both are needed for 5 slices or more."""
    damaged = cache_folder / "parts" / part_name(identity(1))
    damaged.write_bytes(damaged.read_bytes()[:-2] + b"??")
    pca, kept = fit_pca(open_cache(cache_folder), {"1.2.0", "1.2.2"}, components=3, slices=7, seed=0)
    rows = np.concatenate([features(4, 0).embedding, features(6, 2).embedding]).astype(np.float64)
    np.testing.assert_allclose(pca.mean, rows.mean(axis=0), rtol=1e-6)  # float32 of a float64 mean
    variances = np.linalg.eigvalsh(np.cov(rows.T))[::-1]
    np.testing.assert_allclose(pca.explained_variance, variances[:3], rtol=1e-5)
    assert kept == pytest.approx(variances[:3].sum() / variances.sum(), rel=1e-5)


def test_the_pca_of_few_slices_stops_at_the_series_that_makes_them_enough(cache_folder: Path) -> None:
    first = int(np.random.default_rng(4).permutation(3)[0])
    pca, _ = fit_pca(open_cache(cache_folder), {"1.2.0", "1.2.1", "1.2.2"}, components=2, slices=4, seed=4)
    np.testing.assert_allclose(
        pca.mean, features(4 + first, first).embedding.astype(np.float64).mean(axis=0), rtol=1e-6
    )


def test_embeddings_that_are_all_the_same_make_no_pca(tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    same = features(4, 0)
    same.embedding[:] = 0
    write_part(tmp_path / "parts", identity(0), same)
    write_index(tmp_path, EXTRACTOR, [identity(0)])
    with pytest.raises(DatasetError, match="every slice has the same embedding, so stage one tells none apart"):
        fit_pca(open_cache(tmp_path), {"1.2.0"}, components=2, slices=4, seed=0)


def test_a_cache_of_other_weights_is_refused_with_the_reason(cache_folder: Path) -> None:
    with pytest.raises(
        StaleCacheError, match="made by other weights or preprocessing .*extractor eeeeeeeeeeee, now ffff"
    ):
        open_cache(cache_folder, "f" * 64)


def test_a_flipped_bit_is_refused_by_name(cache_folder: Path) -> None:
    path = cache_folder / "parts" / part_name(identity(1))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(CacheError, match=f"{identity(1)}.h5: .*it was changed"):
        list(open_cache(cache_folder).series())


def test_a_missing_part_is_refused_by_name(cache_folder: Path) -> None:
    (cache_folder / "parts" / part_name(identity(2))).unlink()
    with pytest.raises(CacheError, match=f"{identity(2)}.h5: .*missing"):
        list(open_cache(cache_folder).series())


def test_a_part_that_links_elsewhere_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "secret.h5"
    with h5py.File(other, "w") as file:
        file["embedding"] = np.zeros((2, 4), np.float16)
    path = write_part(tmp_path, identity(0), features(2, 0))
    with h5py.File(path, "a") as file:
        del file["embedding"]
        file["embedding"] = h5py.ExternalLink(str(other), "embedding")
    with pytest.raises(CacheError, match="embedding is a link"):
        read_part(tmp_path, identity(0))


def test_a_part_with_external_storage_is_refused(tmp_path: Path) -> None:
    path = write_part(tmp_path, identity(0), features(2, 0))
    (tmp_path / "raw").write_bytes(bytes(64))
    with h5py.File(path, "a") as file:
        del file["embedding"]
        file.create_dataset("embedding", (2, 16), np.float16, external=[(str(tmp_path / "raw"), 0, 64)])
    with pytest.raises(CacheError, match="embedding is not stored in this file"):
        read_part(tmp_path, identity(0))


@pytest.mark.parametrize("fault", ["shape", "dtype", "nan", "identity"])
def test_a_part_of_wrong_content_is_refused(tmp_path: Path, fault: str) -> None:
    path = write_part(tmp_path, identity(0), features(3, 0))
    with h5py.File(path, "a") as file:
        if fault == "identity":
            file.attrs["identity"] = identity(1)
        elif fault == "nan":
            file["logits"][0, 0] = np.nan
        else:
            del file["logits"]
            file["logits"] = np.zeros(
                (3, 6) if fault == "dtype" else (3, 5), np.float64 if fault == "dtype" else np.float32
            )
    with pytest.raises(CacheError, match="cannot be used"):
        read_part(tmp_path, identity(0))


def test_no_identifier_becomes_a_path(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not 64 hexadecimal digits"):
        write_part(tmp_path, "../../etc/passwd", features(2, 0))


def test_an_index_that_names_a_path_is_refused(cache_folder: Path) -> None:
    index = json.loads((cache_folder / "index.json").read_text())
    index["parts"][0]["identity"] = "../" + "0" * 61
    (cache_folder / "index.json").write_text(json.dumps(index))
    with pytest.raises(CacheError, match="damaged index"):
        open_cache(cache_folder)


def test_features_that_are_not_finite_are_never_written() -> None:
    wrong = features(2, 0).logits.copy()
    wrong[0, 0] = np.inf
    with pytest.raises(ValueError, match="not finite"):
        SeriesFeatures("1.2", ("1.2.1", "1.2.2"), np.zeros(2), features(2, 0).embedding, wrong)


def test_a_folder_that_cannot_be_written_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "parts").write_text("a file where the folder should be")
    with pytest.raises(OutputError):
        write_part(tmp_path / "parts", identity(0), features(2, 0))


def test_a_part_has_the_same_bytes_whoever_still_holds_its_data_sets(tmp_path: Path, monkeypatch) -> None:
    """A Dask worker's profiler holds objects of the frames that it looks at."""
    before = write_part(tmp_path, identity(1), features(9, 1)).read_bytes()
    create, held = h5py.File.create_dataset, []
    monkeypatch.setattr(
        h5py.File, "create_dataset", lambda *words, **more: held.append(create(*words, **more)) or held[-1]
    )
    assert write_part(tmp_path, identity(1), features(9, 1)).read_bytes() == before
    assert len(held) == 4
