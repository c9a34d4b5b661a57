"""The tile cache: a folder of parts that stands for the images of a table in the training of stage one."""

import os
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.utils.data import Dataset

from ich_seq.config import PreprocessConfig
from ich_seq.errors import CacheError, StaleCacheError
from ich_seq.files import make_folder, make_private_folder, remove_leftovers
from ich_seq.slices.tile_part import (
    FORMAT_FILE,
    KEY,
    PARTS,
    TileFormat,
    open_tiles,
    part_paths,
    read_format,
    read_slices,
    read_tile,
    write_format,
)

_OPEN_PARTS = 384  # RSNA's 340 parts stay open; a process may usually have 1,024 files


@dataclass(frozen=True)
class TileCache:
    """What a folder of tiles holds.

    `slices` has a row for each: KEY, `unreadable` (why it has no tile, or nothing), and `part` and `row`, its place in `parts`.
    """

    folder: Path
    form: TileFormat
    parts: tuple[Path, ...]
    slices: pd.DataFrame

    @property
    def size_bytes(self) -> int:
        """What the parts take on disk."""
        return sum(path.stat().st_size for path in self.parts)

    def lacks(self, table: pd.DataFrame) -> pd.Series:
        """Of each row of a table of slices, whether the cache knows nothing of it."""
        return self._places(table)["part"].isna()

    def reader(self, table: pd.DataFrame) -> "CachedTiles":
        """The tiles of a table's slices, by row.

        Raises:
            CacheError: slices of the table are not in the cache.
        """
        places = self._places(table)
        missing = places["part"].isna()
        if missing.any():
            first = places.loc[missing, "path"].iloc[0]
            raise CacheError(
                f"{self.folder}: lacks {missing.sum()} of {len(table)} slices of the table, {first} first; "
                f"run `ichseq cache-tiles --out {self.folder}` with this table, which adds them",
                path=self.folder,
            )
        unreadable = places["unreadable"].to_numpy()
        return CachedTiles(
            self.form,
            self.parts,
            places[["part", "row"]].to_numpy(np.int64),
            {int(row): str(unreadable[row]) for row in np.flatnonzero(unreadable != "")},
        )

    def _places(self, table: pd.DataFrame) -> pd.DataFrame:
        return table[KEY].merge(self.slices, on=KEY, how="left")


class CachedTiles(Dataset[tuple[int, Tensor | str | CacheError]]):
    """One slice a row: its tile as uint8, 255 for 1.0, or the reason why it has none; parts are opened when they are needed."""

    def __init__(
        self, form: TileFormat, parts: tuple[Path, ...], places: np.ndarray, unreadable: dict[int, str]
    ) -> None:
        self.form, self.parts, self.places, self.unreadable = form, parts, places, unreadable
        self._open: OrderedDict[int, h5py.Dataset] = OrderedDict()
        self._process = os.getpid()

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, row: int) -> tuple[int, Tensor | str | CacheError]:
        """A damaged part is handed over as its error: a worker that raised it would bury the sentence in its traceback."""
        if row in self.unreadable:
            return row, self.unreadable[row]
        part, place = (int(number) for number in self.places[row])
        try:
            return row, torch.from_numpy(read_tile(self._tiles(part), place, self.parts[part]))
        except CacheError as error:
            return row, error

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_open": OrderedDict()}

    def _tiles(self, part: int) -> h5py.Dataset:
        if self._process != os.getpid():  # files that were open before a fork are the parent's
            self._open, self._process = OrderedDict(), os.getpid()
        if part not in self._open:
            if len(self._open) >= _OPEN_PARTS:
                self._open.popitem(last=False)[1].file.close()
            self._open[part] = open_tiles(self.parts[part], self.form)
        self._open.move_to_end(part)
        return self._open[part]


def open_tile_cache(folder: Path, preprocess: PreprocessConfig) -> TileCache:
    """The tiles in `folder`, which this preprocessing must have made.

    Raises:
        StaleCacheError: they were made with other windows or another size.
        CacheError: there are none, or a part is damaged.
    """
    form = TileFormat.of(preprocess)
    _check_format(folder, form)
    paths = tuple(part_paths(folder / PARTS))
    if not paths:
        raise CacheError(f"{folder}: holds no finished tiles; run `ichseq cache-tiles` again", path=folder)
    slices = (read_slices(path, form).assign(part=part) for part, path in enumerate(paths))
    return TileCache(folder, form, paths, _numbered(slices))


def claim_folder(folder: Path, form: TileFormat) -> TileCache:
    """Makes `folder` a cache of such tiles, or takes up the one that it is; damaged parts are removed, to be made again.

    Raises:
        StaleCacheError: it holds tiles of other windows or another size.
        OutputError: it cannot be made or written.
    """
    make_folder(make_private_folder(folder) / PARTS)
    remove_leftovers(folder / PARTS)
    remove_leftovers(folder)
    if (folder / FORMAT_FILE).exists() or part_paths(folder / PARTS):
        _check_format(folder, form)
    else:
        write_format(folder, form)
    good: list[Path] = []
    lists: list[pd.DataFrame] = []
    for path in part_paths(folder / PARTS):
        try:
            lists.append(read_slices(path, form).assign(part=len(good)))
            good.append(path)
        except CacheError:
            if not os.access(path, os.R_OK):  # somebody else's, and perhaps whole
                raise
            path.unlink(missing_ok=True)
    return TileCache(folder, form, tuple(good), _numbered(lists))


def _check_format(folder: Path, wanted: TileFormat) -> None:
    found = read_format(folder)
    if found != wanted:
        raise StaleCacheError(
            f"{folder}: its tiles are of {found}; the config asks for {wanted}. Choose another folder, or remove this one and run "
            "`ichseq cache-tiles` again",
            found=found,
            wanted=wanted,
        )


def _numbered(lists: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """The parts' lists as one, each slice with its row in its part; of a slice that stands in two parts the first counts."""
    numbered = [part.assign(row=np.arange(len(part))) for part in lists]
    if not numbered:
        return pd.DataFrame(columns=[*KEY, "unreadable", "part", "row"]).astype(
            {KEY[0]: "str", KEY[1]: "str", KEY[2]: "int32", "unreadable": "str", "part": "int64", "row": "int64"}
        )
    return pd.concat(numbered, ignore_index=True).drop_duplicates(KEY, ignore_index=True)
