"""How a step of a run begins: its folder, its table, its device."""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from ich_seq.config import Config, load_config
from ich_seq.errors import DatasetError, UsageError
from ich_seq.files import remove_dead_leftovers, replacing, sha256_of
from ich_seq.manifest.split import check_no_leak
from ich_seq.manifest.table import PER_SCAN, read_table
from ich_seq.training import ranks
from ich_seq.training.run import Run, open_run, start_run

if TYPE_CHECKING:
    from ich_seq.slices.tile_cache import TileCache
    from ich_seq.training.compute import Precision


@dataclass(frozen=True)
class StepContext:
    """A run with its table of slices, the folder of its files, and where to compute."""

    run: Run
    table: pd.DataFrame
    root: Path
    device: str
    threads: int


def begin_run(
    folder: Path, config_name: str, table_path: Path, root: Path | None, device: str, jobs: int
) -> StepContext:
    """Starts a run, or takes it up with the same config and table.

    Raises:
        ConfigError: the config cannot be used.
        UsageError, DatasetError, OutputError: as `begin_run_of`.
    """
    return begin_run_of(folder, load_config(config_name), table_path, root, device, jobs)


def begin_run_of(
    folder: Path, config: Config, table_path: Path, root: Path | None, device: str, jobs: int
) -> StepContext:
    """As `begin_run`, with the config itself.

    Raises:
        UsageError: the folder holds a run with another config or another table, or the device is not there.
        DatasetError: a patient is in two splits, and the config does not ask for that; or labels are of scans only.
        DatasetError, OutputError: the table or the folder cannot be used.
    """
    table = read_table(table_path)
    leaks_by_choice = config.split.first_series > 0  # to compare with published numbers
    if not leaks_by_choice:
        check_no_leak(table)
    if (table["labelled"] == PER_SCAN).any():
        raise DatasetError(
            f"{table_path}: labels of {table['dataset'].iloc[0]} are of whole scans; stage one learns from labels of slices. Such a "
            "table serves `ichseq evaluate --model`, which counts it by scan and by patient",
            path=table_path,
        )
    base = image_folder(table, root)
    with ranks.first_alone():
        run = start_run(folder, config)
        if run.begun and run.table.exists() and sha256_of(run.table) != sha256_of(table_path):
            raise UsageError(f"{folder}: holds a run on another table than {table_path}; choose another --run")
        if not run.begun:
            remove_dead_leftovers(folder, run.table.name)
            with replacing(run.table) as temporary:
                shutil.copyfile(table_path, temporary)
        run.note("index", {"root": str(base), "table_sha256": sha256_of(run.table)})
    return _context(run, table, base, device, jobs)


def image_folder(table: pd.DataFrame, root: Path | None) -> Path:
    """The folder of a table's images: `root`, or the one that was indexed.

    Raises:
        UsageError: the table's first image is not there.
    """
    base = (root or Path(table.attrs.get("root", ""))).resolve()
    if not (base / str(table["path"].iloc[0])).exists():
        raise UsageError(
            f"{base}: does not hold {table['path'].iloc[0]}, the table's first image; give the folder with --root"
        )
    return base


def begin_tiles(context: StepContext, folder: Path | None) -> "Path | TileCache":
    """Where stage one reads: the tile cache in `folder`, or the images; noted in run.json, since it changes the numbers a little.

    Raises:
        UsageError: stage one was begun with tiles from elsewhere.
        StaleCacheError, CacheError: as `slices.tile_cache.open_tile_cache`.
    """
    run, origin = context.run, "images" if folder is None else "cache"
    begun_with = run.record().get("steps", {}).get("tiles", {}).get("from", "images")
    if run.begun and begun_with != origin:
        way = "go on without --tiles" if folder else "go on with --tiles"
        raise UsageError(
            f"{run.folder}: stage one was begun with tiles from the {begun_with}; {way}, or choose another --run"
        )
    if begun_with != origin:
        run.note("tiles", {"from": origin})
    if folder is None:
        return context.root
    from ich_seq.slices.tile_cache import open_tile_cache

    return open_tile_cache(folder, run.config.preprocess)


def continue_run(folder: Path, device: str, jobs: int) -> StepContext:
    """The run in `folder`, for its next step.

    Raises:
        UsageError: there is no run, or the device is not there.
    """
    run = open_run(folder)
    if not run.table.exists() or "index" not in run.record().get("steps", {}):
        raise UsageError(f"{folder}: the run has no table yet; start it with `ichseq train-cnn --run {folder}`")
    table = read_table(run.table)
    return _context(run, table, Path(run.record()["steps"]["index"]["root"]), device, jobs)


def in_precision(context: StepContext, precision: "Precision | None") -> StepContext:
    """The same, with stage one's embeddings in this precision instead of the config's; None keeps it."""
    if precision is None:
        return context
    config = context.run.config
    features = config.features.model_copy(update={"precision": precision})
    return replace(context, run=replace(context.run, config=config.model_copy(update={"features": features})))


def _context(run: Run, table: pd.DataFrame, root: Path, device: str, jobs: int) -> StepContext:
    from ich_seq.training.compute import resolve_device, set_threads  # torch: not before all else is seen to be right

    try:
        return StepContext(run, table, root, resolve_device(device), set_threads(jobs))
    except ValueError as error:
        raise UsageError(str(error)) from None
