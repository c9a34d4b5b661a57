"""Embeddings in fp32 and in bf16: each cache holds one of them, and says so; fp32 keeps the identity that it always had."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from dicom_factory import make_series
from tiny_model import load_tiny_model, write_tiny_model

from ich_seq.embeddings.cache import write_index
from ich_seq.embeddings.extract import (
    ExtractionReport,
    Extractor,
    extract,
    extractor_identity,
    finish,
    identity_in,
    open_current_cache,
)
from ich_seq.errors import CacheError, StaleCacheError, UsageError
from ich_seq.manifest.headers import read_headers
from ich_seq.slices.network import SliceNet
from ich_seq.training import compute
from ich_seq.training.compute import Resolved, inference_precision

IN_BF16 = 0.03
"""Of an embedding's length, the difference that bf16 makes. Measured on this random network: 0.007."""


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("precisions")
    write_tiny_model(folder / "model")
    make_series(folder / "scan", slices=6)
    return folder


@pytest.fixture
def table(base: Path):
    return read_headers(base / "scan", sorted(path.name for path in (base / "scan").iterdir()), jobs=1).table


def network(base: Path) -> SliceNet:
    return load_tiny_model(base / "model").cnn


def run(base: Path, table, folder: Path, precision: Resolved) -> ExtractionReport:
    return extract(Extractor(network(base), folder, 4, precision), table, base / "scan")


def test_the_identity_in_fp32_is_that_of_the_weights_and_another_in_bf16(base: Path) -> None:
    """By hand: caches that were made before there was a choice stay valid."""
    trained = network(base)
    digest = hashlib.sha256(trained.preprocess.identity.encode())
    for name, tensor in sorted(trained.state_dict().items()):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode() + tensor.numpy().tobytes())
    weights = digest.hexdigest()
    assert Extractor(trained, base, 4).identity == extractor_identity(trained) == weights
    lowered = Extractor(trained, base, 4, "bf16")
    assert lowered.computing is trained
    assert lowered.identity == identity_in("bf16", weights) != weights
    assert lowered.weights == weights


def test_bf16_makes_nearly_the_embeddings_of_fp32(base: Path, table, tmp_path: Path) -> None:
    found = {}
    for precision in ("fp32", "bf16"):
        report = run(base, table, tmp_path / precision, precision)
        assert (report.computed, report.precision) == (1, precision)
        weights = extractor_identity(network(base))
        cache, _ = finish(identity_in(precision, weights), table, base / "scan", tmp_path / precision)
        assert open_current_cache(tmp_path / precision, network(base)) == cache
        (found[precision],) = cache.series()
    reference, in_bf16 = (each.embedding.astype(np.float32) for each in found.values())
    off = np.linalg.norm(in_bf16 - reference, axis=1) / np.linalg.norm(reference, axis=1)
    assert 0 < off.max() <= IN_BF16


@pytest.mark.parametrize(("first", "then"), [("fp32", "bf16"), ("bf16", "fp32")])
def test_a_cache_that_was_begun_in_one_precision_takes_none_of_the_other(
    base: Path, table, tmp_path: Path, first: Resolved, then: Resolved
) -> None:
    run(base, table, tmp_path / "cache", first)
    before = sorted((tmp_path / "cache").rglob("*"))
    told = f"begun in {first}, and now {then} was chosen, which are not mixed; go on with --precision {first}"
    with pytest.raises(StaleCacheError, match=told):
        run(base, table, tmp_path / "cache", then)
    assert sorted((tmp_path / "cache").rglob("*")) == before
    assert run(base, table, tmp_path / "cache", first).already_there == 1


def test_parts_of_the_other_precision_in_the_folder_are_no_part_of_the_cache(base: Path, table, tmp_path: Path) -> None:
    """Two machines that began at one moment, each in its own precision, both claim the folder, and the later file stays."""
    folder = tmp_path / "cache"
    run(base, table, folder, "fp32")
    (folder / "extractor.txt").unlink()
    run(base, table, folder, "bf16")
    assert len(list((folder / "parts").iterdir())) == 2
    weights = extractor_identity(network(base))
    caches = [
        finish(identity_in(precision, weights), table, base / "scan", folder)[0] for precision in ("fp32", "bf16")
    ]
    (one,), (two,) = (cache.index.parts for cache in caches)
    assert one.identity != two.identity
    with pytest.raises(CacheError, match="1 of 1 series are not extracted yet"):
        finish("f" * 64, table, base / "scan", folder)
    write_index(folder, "f" * 64, [two.identity])
    with pytest.raises(StaleCacheError, match="made by other weights"):
        open_current_cache(folder, network(base))


def test_auto_is_fp32_on_a_processor_and_bf16_on_a_gpu_that_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})
    assert inference_precision("auto", "cpu") == "fp32"
    assert inference_precision("bf16", "cpu") == "bf16"
    for has_bf16, found in ((True, "bf16"), (False, "fp32")):
        monkeypatch.setattr(compute, "_card_has_bf16", lambda device, has=has_bf16: has)
        assert inference_precision("auto", "cuda:1") == found
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict)
    with pytest.raises(UsageError, match="this processor does not multiply bf16"):
        inference_precision("bf16", "cpu")
