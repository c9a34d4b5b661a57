"""Neighbouring slices in a table: which rows they are, and tiles that hold them as further channels."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
import torch
from jaxtyping import Int64
from torch import Tensor
from torch.utils.data import Dataset

from ich_seq.config.preprocess import ALONE
from ich_seq.errors import CacheError
from ich_seq.slices.tile_reader import Tile, TileReader


class SeriesOfRows:
    """The rows of a table by series, each from feet to head."""

    def __init__(self, table: pd.DataFrame) -> None:
        keys = ["series_instance_uid", "position_mm", "sop_instance_uid"]
        ordered = table[keys].reset_index(drop=True).sort_values(keys)
        number, _ = pd.factorize(ordered["series_instance_uid"])
        self._order = ordered.index.to_numpy(np.int64)
        self._ends = np.append(np.unique(number, return_index=True)[1], len(table))
        self._place = np.empty(len(table), np.int64)
        self._place[self._order] = np.arange(len(table))

    def beside(self, row: int, step: int) -> Iterator[int]:
        """The rows above a row (`step` 1) or below it (-1) in its series, the nearest first."""
        place = int(self._place[row])
        series = int(np.searchsorted(self._ends, place, side="right"))
        stop = int(self._ends[series]) if step > 0 else int(self._ends[series - 1]) - 1
        for other in range(place + step, stop, step):
            yield int(self._order[other])


class AdjacentTiles(Dataset[tuple[int, Tile]]):
    """Tiles of one slice each, `single`, as tiles that hold `reach` neighbours on either side, lowest first.

    A neighbour that cannot be read is passed over for the next; beyond an end its last slice stands in; a slice alone has no tile.
    """

    def __init__(self, single: TileReader, series: SeriesOfRows, names: list[str], reach: int) -> None:
        self.single, self.series, self.names, self.reach = single, series, names, reach

    def __len__(self) -> int:
        return len(self.single)

    def __getitem__(self, row: int) -> tuple[int, Tile]:
        tile = self.single[row][1]
        if not isinstance(tile, Tensor):
            return row, tile
        sides: list[list[Tensor]] = []
        for step in (-1, 1):
            found = self._found(row, step)
            if isinstance(found, CacheError):
                return row, found
            sides.append(found)
        if not any(sides):
            return row, f"{self.names[row]}: {ALONE}"
        below, above = (side + [(side or [tile])[-1]] * (self.reach - len(side)) for side in sides)
        return row, torch.cat([*reversed(below), tile, *above])

    def _found(self, row: int, step: int) -> list[Tensor] | CacheError:
        found: list[Tensor] = []
        for other in self.series.beside(row, step):
            if len(found) == self.reach:
                break
            tile = self.single[other][1]
            if isinstance(tile, CacheError):
                return tile
            if isinstance(tile, Tensor):
                found.append(tile)
        return found


def neighbour_rows(series: SeriesOfRows, readable: Tensor, reach: int) -> tuple[Int64[Tensor, "s k"], list[int]]:
    """Of each row the rows of its neighbours and itself, by the rules of `AdjacentTiles`; and the rows that are alone.

    `readable` says of each row whether it has a tile; a row without one, or alone, has only itself.
    """
    places = torch.arange(len(readable)).unsqueeze(1).repeat(1, 2 * reach + 1)
    alone = []
    for row in torch.nonzero(readable).flatten().tolist():
        sides = []
        for step in (-1, 1):
            good = (other for other in series.beside(row, step) if readable[other])
            sides.append([other for other, _ in zip(good, range(reach), strict=False)])
        if not any(sides):
            alone.append(row)
        below, above = (side + [(side or [row])[-1]] * (reach - len(side)) for side in sides)
        places[row] = torch.tensor([*reversed(below), row, *above])
    return places, alone
