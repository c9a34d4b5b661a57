"""Where the tile of a slice comes from, one slice a row: its image, or the tile cache."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.utils.data import Dataset

from ich_seq.errors import CacheError, PixelsUnreadableError
from ich_seq.nifti import read_square_slice
from ich_seq.slices.window import Preprocess

Tile = Tensor | str | CacheError
"""A slice's tile (float32 in [0, 1], or uint8 with 255 for 1), or why it has none, or what is wrong with the cache."""


@runtime_checkable
class TileReader(Protocol):
    """Where tiles come from, one slice a row: the images themselves, or the tile cache."""

    def __len__(self) -> int: ...

    def __getitem__(self, row: int, /) -> tuple[int, Tile]: ...


class SliceFiles(Dataset):
    """Each row's tile made from its image."""

    def __init__(self, places: Sequence[tuple[Path, int]], preprocess: Preprocess) -> None:
        self.places = places
        self.preprocess = preprocess

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, row: int) -> tuple[int, Tile]:
        try:
            hu = read_square_slice(*self.places[row])
        except PixelsUnreadableError as error:
            return row, error.message
        return row, self.preprocess.tiles(torch.from_numpy(hu).unsqueeze(0))[0]
