"""What calibrates int8: single training slices as the exported graphs read them, where neighbours are read with their true ones."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float32
from torch.utils.data import Dataset

from ich_seq.errors import DatasetError, PixelsUnreadableError
from ich_seq.manifest.table import slice_places
from ich_seq.model.openvino_backend import OpenVinoModel
from ich_seq.nifti import read_square_slice
from ich_seq.slices.adjacent import AdjacentTiles, SeriesOfRows
from ich_seq.slices.tile_reader import Tile, TileReader


def calibration_tiles(
    model: OpenVinoModel, chosen: pd.DataFrame, beside: pd.DataFrame, root: Path
) -> Iterator[Float32[np.ndarray, "1 c size size"]]:
    """The network's normalised input for each chosen row, windowed in fp32.

    Args:
        model: the exported graphs.
        chosen: rows of a table.
        beside: all rows of their series in the same table, by the same index: there neighbours are found, as in training.
        root: of the images.

    Raises:
        DatasetError: a chosen slice cannot be read, or is alone where the network reads neighbours.
    """
    reach = model.info.preprocess.adjacent_slices
    rows = beside if reach else chosen
    reader: TileReader = _WindowedRows(rows, root, model)
    if reach:
        reader = AdjacentTiles(reader, SeriesOfRows(rows), [str(path) for path in rows["path"]], reach)
    for place in rows.index.get_indexer(chosen.index):
        tile = reader[int(place)][1]
        if not isinstance(tile, torch.Tensor):
            raise DatasetError(f"a slice for calibration cannot be read: {tile}")
        yield tile.unsqueeze(0).numpy()


def without_lone_slices(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of series that have several slices: one alone is not for a network that reads neighbours.

    Raises:
        DatasetError: no series has.
    """
    several = rows[rows.groupby("series_instance_uid")["path"].transform("size") > 1]
    if several.empty:
        raise DatasetError("no scan of the table has two slices, and the network reads neighbouring slices")
    return several


class _WindowedRows(Dataset[tuple[int, Tile]]):
    """What the slice of each row gives of the network's normalised input, by itself."""

    def __init__(self, rows: pd.DataFrame, root: Path, model: OpenVinoModel) -> None:
        self.places, self.model = slice_places(rows, root), model

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, row: int) -> tuple[int, Tile]:
        try:
            hu = read_square_slice(*self.places[row])
        except PixelsUnreadableError as error:
            return row, error.message
        return row, torch.from_numpy(self.model.tiles(hu)[0])
