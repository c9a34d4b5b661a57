"""Makes the tile cache: every slice of a table read and windowed once, in several processes, a part at a time."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from ich_seq.config import PreprocessConfig
from ich_seq.errors import DatasetError, PixelsUnreadableError
from ich_seq.manifest.table import slice_places
from ich_seq.nifti import read_square_slice, read_stored_slice
from ich_seq.pools import in_order
from ich_seq.slices.tile_cache import TileCache, claim_folder, open_tile_cache
from ich_seq.slices.tile_part import FULL, KEY, PARTS, TileFormat, write_part
from ich_seq.slices.tiles import UNREADABLE_LIMIT
from ich_seq.slices.window import Preprocess

MOST_SERIES = 64
"""Series of a part, at most; RSNA's 21,744 series become 340 parts of about 100 MB, which one process can keep open."""


@dataclass(frozen=True)
class FillReport:
    """The finished cache, how many slices of the table were there already and how many are new, and why some have no tile."""

    cache: TileCache
    already_there: int
    written: int
    unreadable: list[str]


@dataclass(frozen=True)
class _Job:
    """The slices of one part and all that it takes to write it; small enough to be sent to another process."""

    config: PreprocessConfig
    slices: pd.DataFrame
    root: Path
    folder: Path

    def write(self) -> tuple[int, list[str]]:
        return len(self.slices), write_part(self.folder, TileFormat.of(self.config), self.slices, self._tiles())

    def _tiles(self) -> Iterator[UInt8[np.ndarray, "c size size"] | str]:
        preprocess = Preprocess(self.config)
        for place in slice_places(self.slices, self.root):
            try:
                hu = torch.from_numpy(read_square_slice(*place))
            except PixelsUnreadableError as error:
                yield error.message
            else:
                yield quantise(preprocess.tiles(hu.unsqueeze(0))[0]).numpy()


def quantise(tiles: Float[Tensor, "*b c size size"]) -> UInt8[Tensor, "*b c size size"]:
    """Tiles in [0, 1] as the nearest of 256 steps."""
    return (tiles * FULL).round().to(torch.uint8)


def fill_cache(
    table: pd.DataFrame,
    root: Path,
    folder: Path,
    config: PreprocessConfig,
    jobs: int = 0,
    on_slice: Callable[[int, int], None] = lambda done, total: None,
) -> FillReport:
    """The tiles of every slice of the table in `folder`; finished parts are kept, the same bytes whatever `jobs` (0: one a core).

    A slice that cannot be read is recorded with its reason, and tried again the next time.

    Raises:
        StaleCacheError: the folder holds tiles of other windows or another size.
        DatasetError: more than 1 % of the slices cannot be read.
        OutputError: a part cannot be written; those before it stay.
    """
    there = _without_mended(claim_folder(folder, TileFormat.of(config)), table, root)
    lacking = table.loc[there.lacks(table).to_numpy(), "series_instance_uid"]
    is_wanted = table["series_instance_uid"].isin(lacking)
    wanted, kept = table[is_wanted], table[~is_wanted]
    per_part = min(MOST_SERIES, -(-table["series_instance_uid"].nunique() // MOST_SERIES))
    todo = [_Job(config, slices[KEY], root, folder / PARTS) for slices in _groups(wanted, per_part)]
    unreadable = [reason for reason in kept[KEY].merge(there.slices, on=KEY)["unreadable"] if reason]
    done = len(kept)
    on_slice(done, len(table))
    for slices, failed in in_order(_Job.write, todo, jobs):
        done += slices
        unreadable += failed
        if len(unreadable) > max(1, UNREADABLE_LIMIT * len(table)):
            raise DatasetError(
                f"{len(unreadable)} of {len(table)} slices cannot be read, more than {UNREADABLE_LIMIT:.0%}; the first: "
                f"{unreadable[0]}. Mend or exclude them and run the same command again"
            )
        on_slice(done, len(table))
    return FillReport(open_tile_cache(folder, config), len(kept), len(wanted), unreadable)


def _groups(table: pd.DataFrame, per_part: int) -> Iterator[pd.DataFrame]:
    """The series in order of their UIDs, so many at a time, each from feet to head."""
    ordered = table.sort_values(["series_instance_uid", "position_mm", "sop_instance_uid"], ignore_index=True)
    number, _ = pd.factorize(ordered["series_instance_uid"])
    for _, slices in ordered.groupby(number // per_part):
        yield slices


def _without_mended(cache: TileCache, table: pd.DataFrame, root: Path) -> TileCache:
    """The cache less the parts with a slice that could not be read and now can: their files are removed, to be made again."""
    failed = cache.slices[cache.slices["unreadable"] != ""].merge(table[KEY], on=KEY)
    if failed.empty:
        return cache
    mended = [_readable(place) for place in slice_places(failed, root)]
    parts = sorted(set(failed.loc[mended, "part"]))
    for part in parts:
        cache.parts[part].unlink()
    return TileCache(cache.folder, cache.form, cache.parts, cache.slices[~cache.slices["part"].isin(parts)])


def _readable(place: tuple[Path, int]) -> bool:
    try:
        read_stored_slice(*place)
    except PixelsUnreadableError:
        return False
    return True
