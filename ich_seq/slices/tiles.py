"""Slices of a table as tiles with labels: read and windowed ahead by worker processes, or kept in memory as float16."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Float32, Int64
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ich_seq.errors import DatasetError, PixelsUnreadableError
from ich_seq.labels import LABEL_NAMES
from ich_seq.manifest.table import slice_places
from ich_seq.nifti import read_stored_slice
from ich_seq.slices.window import Preprocess

UNREADABLE_LIMIT = 0.01


@dataclass
class TileBatch:
    """Tiles in [0, 1], their six labels, and which of the rows asked for they are: those that cannot be read are left out of all."""

    tiles: Float32[Tensor, "b c size size"]
    labels: Float32[Tensor, "b l"]
    places: Int64[Tensor, " b"]


class _SliceFiles(Dataset):
    """One slice a row: its tile, or the reason why it has none."""

    def __init__(self, places: Sequence[tuple[Path, int]], preprocess: Preprocess) -> None:
        self.places = places
        self.preprocess = preprocess

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, row: int) -> tuple[int, Tensor | str]:
        try:
            hu = read_stored_slice(*self.places[row])
        except PixelsUnreadableError as error:
            return row, error.message
        return row, self.preprocess.tiles(torch.from_numpy(hu).unsqueeze(0))[0]


class TileSource:
    """The slices of a table, by row: `batches` gives any of them in any order."""

    def __init__(self, table: pd.DataFrame, root: Path, preprocess: Preprocess, workers: int = 0) -> None:
        self.labels = torch.tensor(table[list(LABEL_NAMES)].to_numpy(np.float32))
        self.workers = workers
        self._files = _SliceFiles(slice_places(table, root), preprocess)
        self._kept: Float[Tensor, "s c size size"] | None = None
        self._readable = torch.ones(len(table), dtype=torch.bool)
        self.unreadable: set[str] = set()

    def __len__(self) -> int:
        return len(self.labels)

    def keep_in_memory(self, on_slice: Callable[[int, int], None] = lambda done, total: None) -> None:
        """Reads every slice once and keeps its tile as float16 (half a step of 2^-12: 0.02 HU in an 80 HU window).

        Raises:
            DatasetError: more than 1 % of the slices cannot be read.
        """
        size, channels = self._files.preprocess.size, self._files.preprocess.mean.shape[1]
        kept = torch.zeros((len(self), channels, size, size), dtype=torch.float16)
        for done, (row, tile) in enumerate(self._loader([[row] for row in range(len(self))]), start=1):
            if isinstance(tile, str):
                self._drop(row, tile)
            else:
                kept[row] = tile
            on_slice(done, len(self))
        self._kept = kept

    def batches(self, rows: Sequence[Sequence[int]]) -> Iterator[TileBatch]:
        """One batch for each list of rows, in order; a slice that cannot be read is left out of its batch, which may become empty.

        Raises:
            DatasetError: more than 1 % of the slices cannot be read.
        """
        if self._kept is not None:
            for chosen in rows:
                index = torch.as_tensor(chosen, dtype=torch.int64)
                places = torch.nonzero(self._readable[index]).flatten()
                index = index[places]
                yield TileBatch(self._kept[index].float(), self.labels[index], places)
            return
        loaded = self._loader(rows)
        for chosen in rows:
            pairs = [next(loaded) for _ in chosen]
            for row, tile in pairs:
                if isinstance(tile, str):
                    self._drop(row, tile)
            good = [(place, tile) for place, (_, tile) in enumerate(pairs) if isinstance(tile, Tensor)]
            tiles = torch.stack([tile for _, tile in good]) if good else self._no_tiles()
            places = torch.tensor([place for place, _ in good], dtype=torch.int64)
            yield TileBatch(tiles, self.labels[torch.as_tensor(chosen, dtype=torch.int64)[places]], places)

    def _no_tiles(self) -> Float32[Tensor, "0 c size size"]:
        size = self._files.preprocess.size
        return torch.zeros((0, self._files.preprocess.mean.shape[1], size, size))

    def _loader(self, rows: Iterable[Sequence[int]]) -> Iterator[tuple[int, Tensor | str]]:
        loader = DataLoader(
            self._files,
            batch_sampler=[list(batch) for batch in rows],
            num_workers=self.workers,
            collate_fn=_as_list,
            prefetch_factor=4 if self.workers else None,
        )
        for batch in loader:
            yield from batch

    def _drop(self, row: int, reason: str) -> None:
        self._readable[row] = False
        self.unreadable.add(reason)
        if len(self.unreadable) > max(1, UNREADABLE_LIMIT * len(self)):
            raise DatasetError(
                f"{len(self.unreadable)} of {len(self)} training slices cannot be read, more than "
                f"{UNREADABLE_LIMIT:.0%}; the first: {min(self.unreadable)}"
            )


def _as_list(pairs: list[tuple[int, Tensor | str]]) -> list[tuple[int, Tensor | str]]:
    return pairs
