"""One small sound file of each kind that ichseq writes for itself, how it is read, and how what is read is compared."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from embedding_writer import identity_of, scan
from tiny_ensemble import write_tiny_ensemble
from tiny_model import TRAINED_ON

from ich_seq.config import CnnConfig, Config, LstmConfig, PreprocessConfig
from ich_seq.embeddings.cache import open_cache, write_index
from ich_seq.embeddings.fit_pca import PCA_FILE, load_pca
from ich_seq.embeddings.part import part_name, read_part, write_part
from ich_seq.embeddings.pca import Pca
from ich_seq.embeddings.reduced import read_reduced, write_reduced
from ich_seq.errors import BundleError, CacheError, CheckpointError, DatasetError, IchSeqError, UsageError
from ich_seq.files import write_bytes
from ich_seq.labels import LABEL_NAMES
from ich_seq.manifest.table import COLUMNS, read_table, write_table
from ich_seq.model.bundle import BundleInfo, read_bundle, write_bundle
from ich_seq.model.ensemble import read_ensemble_info
from ich_seq.slices.tile_cache import claim_folder, open_tile_cache
from ich_seq.slices.tile_part import TileFormat, part_paths
from ich_seq.slices.tile_part import write_part as write_tiles
from ich_seq.tensors import save_tensors
from ich_seq.training.checkpoint import load_checkpoint, load_tensors, save_checkpoint
from ich_seq.training.run import Run, open_run, start_run

PREPROCESS = PreprocessConfig(size=16)
PRINT = "f" * 64
WIDTH = 2048
GENERATOR = np.random.default_rng(0)
TENSORS = {
    "cnn.w": GENERATOR.standard_normal((4, 5)).astype(np.float32),
    "lstm.n": np.array(3),
    "pca.mean": np.ones(6, np.float32),
}
CONFIG = Config(name="own", about="for tests", preprocess=PREPROCESS, cnn=CnnConfig(weights="none"))


@dataclass(frozen=True)
class Kind:
    """Where such a file lies in the folder, how it and its neighbours are written and read, and what is raised of a bad one."""

    path: str
    write: Callable[[Path], object]
    read: Callable[[Path], object]
    error: type[IchSeqError]


def bundle(folder: Path) -> None:
    weights = save_tensors(TENSORS)
    info = BundleInfo(
        name="own",
        ichseq_version="0",
        preprocess=PREPROCESS,
        cnn=CnnConfig(weights="none"),
        lstm=LstmConfig(),
        embedding_width=WIDTH,
        reduced_width=3,
        trained_on=TRAINED_ON,
        validation_loss={"stage_one": 0.5},
        weights_sha256=hashlib.sha256(weights).hexdigest(),
    )
    write_bundle(folder, info, weights, "card")


def ensemble(folder: Path) -> None:
    member = folder.with_name(f"{folder.name} member")
    bundle(member)
    write_tiny_ensemble(folder, [member])


def cache(folder: Path) -> None:
    (folder / "parts").mkdir()
    for number in range(2):
        write_part(folder / "parts", identity_of(number), scan(number))
    made = write_index(folder, PRINT, [identity_of(0), identity_of(1)])
    pca = Pca(np.ones(WIDTH, np.float32), np.eye(3, WIDTH, dtype=np.float32), np.ones(3, np.float32))
    write_bytes(folder / PCA_FILE, save_tensors(vars(pca)))
    write_reduced(made, pca)


def tiles(folder: Path) -> None:
    form = TileFormat.of(PREPROCESS)
    claim_folder(folder, form)
    names = [f"1.2.{place}" for place in range(4)]
    slices = pd.DataFrame({"sop_instance_uid": names, "path": names, "slice_index": np.full(4, -1, np.int32)})
    made = np.random.default_rng(0).integers(0, 255, (3, *form.shape)).astype(np.uint8)
    write_tiles(folder / "parts", form, slices, iter([*made, "it is gone"]))


def read_tiles(folder: Path) -> object:
    found = open_tile_cache(folder, PREPROCESS)
    reader = found.reader(found.slices)
    answers = [reader[row][1] for row in range(len(reader))]
    if wrong := [answer for answer in answers if isinstance(answer, CacheError)]:
        raise wrong[0]
    return found.slices.to_csv(), answers


def table(folder: Path) -> None:
    made = pd.DataFrame({name: pd.Series(np.arange(40) % 2).astype(kind) for name, kind in COLUMNS.items()})
    uids = pd.Series([f"1.2.{row}" for row in range(40)], dtype="str")
    write_table(made.assign(sop_instance_uid=uids, **dict.fromkeys(LABEL_NAMES, np.uint8(0))), folder / "table.parquet")


def run(folder: Path) -> None:
    start_run(folder, CONFIG).note("index", {"root": "/data", "slices": 40})


def state() -> dict[str, Any]:
    return {"fingerprint": PRINT, "epoch": 3, "network": {"w": torch.from_numpy(TENSORS["cnn.w"])}}


KINDS = {
    "bundle's description": Kind("model.json", bundle, read_bundle, BundleError),
    "bundle's weights": Kind("weights.safetensors", bundle, read_bundle, BundleError),
    "ensemble's description": Kind("ensemble.json", ensemble, read_ensemble_info, BundleError),
    "part of the cache": Kind(
        f"parts/{part_name(identity_of(1))}",
        cache,
        lambda folder: read_part(folder / "parts", identity_of(1)),
        CacheError,
    ),
    "part in the index": Kind(
        f"parts/{part_name(identity_of(0))}", cache, lambda folder: list(open_cache(folder).series()), CacheError
    ),
    "index": Kind("index.json", cache, lambda folder: list(open_cache(folder, PRINT).series()), CacheError),
    "reduced": Kind("reduced.h5", cache, lambda folder: list(read_reduced(open_cache(folder))), CacheError),
    "PCA": Kind(PCA_FILE, cache, lambda folder: load_pca(open_cache(folder)), CacheError),
    "tiles' description": Kind("tiles.json", tiles, read_tiles, CacheError),
    "part of the tiles": Kind("parts/*.h5", tiles, read_tiles, CacheError),
    "checkpoint": Kind(
        "last.pt",
        lambda folder: save_checkpoint(folder / "last.pt", state()),
        lambda folder: load_checkpoint(folder / "last.pt", PRINT),
        CheckpointError,
    ),
    "weights of a run": Kind(
        "cnn.safetensors",
        lambda folder: write_bytes(folder / "cnn.safetensors", save_tensors(TENSORS)),
        lambda folder: load_tensors(folder / "cnn.safetensors", "ichseq train-cnn"),
        CheckpointError,
    ),
    "table": Kind("table.parquet", table, lambda folder: read_table(folder / "table.parquet"), DatasetError),
    "run's config": Kind("config.json", run, lambda folder: open_run(folder).config, UsageError),
    "run's record": Kind("run.json", run, lambda folder: Run(folder, CONFIG).record(), UsageError),
}


def place_of(kind: Kind, folder: Path) -> Path:
    """The file itself; the tiles' one part has its digest for a name."""
    return part_paths(folder / "parts")[0] if "*" in kind.path else folder / kind.path


def comparable(found: object) -> object:
    """What was read, as values that == compares bit for bit."""
    if isinstance(found, np.ndarray):
        return found.dtype.str, found.shape, found.tobytes()
    if isinstance(found, torch.Tensor):
        return comparable(found.numpy())
    if isinstance(found, pd.DataFrame):
        return found.to_csv(), found.dtypes.astype(str).to_list()
    if isinstance(found, list | tuple):
        return [comparable(each) for each in found]
    if isinstance(found, dict):
        return {key: comparable(value) for key, value in found.items()}
    return comparable(vars(found)) if hasattr(found, "__dataclass_fields__") else repr(found)
