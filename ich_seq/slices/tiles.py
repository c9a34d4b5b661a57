"""Slices of a table as tiles with labels: read and windowed ahead by worker processes, or kept in memory as float16."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Float32, Int64
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ich_seq.config.preprocess import ALONE
from ich_seq.errors import CacheError, DatasetError
from ich_seq.labels import LABEL_NAMES
from ich_seq.manifest.table import slice_places
from ich_seq.slices.adjacent import AdjacentTiles, SeriesOfRows, neighbour_rows
from ich_seq.slices.tile_cache import TileCache
from ich_seq.slices.tile_part import FULL
from ich_seq.slices.tile_reader import SliceFiles, Tile, TileReader
from ich_seq.slices.window import Preprocess

UNREADABLE_LIMIT = 0.01


@dataclass
class TileBatch:
    """Tiles in [0, 1], their six labels, and which of the rows asked for they are: those that cannot be read are left out of all.

    `planned` are the slices of the whole step, of all processes, readable or not.
    """

    tiles: Float32[Tensor, "b c size size"]
    labels: Float32[Tensor, "b l"]
    places: Int64[Tensor, " b"]
    planned: int = 0


class TileSource:
    """The slices of a table, by row: `batches` gives any of them in any order; `origin` is the images' folder or a tile cache."""

    def __init__(self, table: pd.DataFrame, origin: Path | TileCache, preprocess: Preprocess, workers: int = 0) -> None:
        self.labels = torch.tensor(table[list(LABEL_NAMES)].to_numpy(np.float32))
        self.workers = workers
        self._tiles: TileReader = (
            origin.reader(table)
            if isinstance(origin, TileCache)
            else SliceFiles(slice_places(table, origin), preprocess)
        )
        self._reach = preprocess.adjacent_slices
        self._series = SeriesOfRows(table) if self._reach else None
        self._paths = [str(path) for path in table["path"]] if self._reach else []
        self._neighbours: Int64[Tensor, "s k"] | None = None
        self._shape = (preprocess.mean.shape[1], preprocess.size, preprocess.size)
        self._kept: Float[Tensor, "s c size size"] | None = None
        self._readable = torch.ones(len(table), dtype=torch.bool)
        self.unreadable: set[str] = set()

    def __len__(self) -> int:
        return len(self.labels)

    def keep_in_memory(self, on_slice: Callable[[int, int], None] = lambda done, total: None) -> None:
        """Reads every slice once and keeps its tile as float16 (half a step of 2^-12: 0.02 HU in an 80 HU window).

        Raises:
            DatasetError: more than 1 % of the slices cannot be read.
            CacheError: a part of the tile cache is damaged.
        """
        channels = self._shape[0] // (2 * self._reach + 1)
        kept = torch.zeros((len(self), channels, *self._shape[1:]), dtype=torch.float16)
        single = self._loaded(self._tiles, [[row] for row in range(len(self))])
        for done, (rows, tiles) in enumerate(single, start=1):
            if len(rows):
                kept[rows] = tiles.half()
            on_slice(done, len(self))
        if self._series is not None:
            self._neighbours, alone = neighbour_rows(self._series, self._readable, self._reach)
            for row in alone:
                self._drop(row, f"{self._paths[row]}: {ALONE}")
        self._kept = kept

    def batches(self, rows: Sequence[Sequence[int]]) -> Iterator[TileBatch]:
        """One batch for each list of rows, in order; a slice that cannot be read is left out of its batch, which may become empty.

        Raises:
            DatasetError: more than 1 % of the slices cannot be read.
            CacheError: a part of the tile cache is damaged.
        """
        if self._kept is not None:
            for chosen in rows:
                index = torch.as_tensor(chosen, dtype=torch.int64)
                places = torch.nonzero(self._readable[index]).flatten()
                index = index[places]
                around = index if self._neighbours is None else self._neighbours[index]
                tiles = self._kept[around].float()
                yield TileBatch(tiles.flatten(1, -3), self.labels[index], places)
            return
        reader = self._tiles
        if self._series is not None:
            reader = AdjacentTiles(self._tiles, self._series, self._paths, self._reach)
        for chosen, (good, tiles) in zip(rows, self._loaded(reader, rows), strict=True):
            place_of = {row: place for place, row in enumerate(chosen)}
            yield TileBatch(tiles, self.labels[good], torch.tensor([place_of[row] for row in good], dtype=torch.int64))

    def _loaded(
        self, reader: TileReader, rows: Iterable[Sequence[int]]
    ) -> Iterator[tuple[list[int], Float32[Tensor, "b c size size"]]]:
        """Of each list of rows those that could be read, and their tiles."""
        loader = DataLoader(
            cast(Dataset[tuple[int, Tile]], reader),
            batch_sampler=[list(batch) for batch in rows],
            num_workers=self.workers,
            collate_fn=_together,
            prefetch_factor=4 if self.workers else None,
        )
        for good, tiles, failed in loader:
            for row, fault in failed:
                if isinstance(fault, CacheError):
                    raise fault
                self._drop(row, fault)
            yield good, torch.zeros((0, *self._shape)) if tiles is None else _in_unit_range(tiles)

    def _drop(self, row: int, reason: str) -> None:
        self._readable[row] = False
        self.unreadable.add(reason)
        if len(self.unreadable) > max(1, UNREADABLE_LIMIT * len(self)):
            raise DatasetError(
                f"{len(self.unreadable)} of {len(self)} training slices cannot be read, more than "
                f"{UNREADABLE_LIMIT:.0%}; the first: {min(self.unreadable)}"
            )


def _together(pairs: list[tuple[int, Tile]]) -> tuple[list[int], Tensor | None, list[tuple[int, str | CacheError]]]:
    """A batch as one tensor: a worker hands each over through an open file, of which there are few."""
    good = [(row, tile) for row, tile in pairs if isinstance(tile, Tensor)]
    failed = [(row, tile) for row, tile in pairs if not isinstance(tile, Tensor)]
    return [row for row, _ in good], torch.stack([tile for _, tile in good]) if good else None, failed


def _in_unit_range(tiles: Tensor) -> Float32[Tensor, "*b c size size"]:
    """Tiles of the cache as float32; bytes until here, since workers hand over a quarter of the memory that way."""
    return tiles.float() / FULL if tiles.dtype == torch.uint8 else tiles
