"""Copies of a DICOM series with pixels of another shape, made with pydicom and numpy alone."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom

Reshape = Callable[[np.ndarray], np.ndarray]


def copy_of(series: Path, folder: Path, change: Callable[[pydicom.Dataset, int], None]) -> Path:
    """The files of a series, feet to head, each changed by `change(dataset, index)`."""
    folder.mkdir(parents=True)
    datasets = sorted(map(pydicom.dcmread, series.iterdir()), key=lambda each: each.ImagePositionPatient[2])
    for index, dataset in enumerate(datasets):
        change(dataset, index)
        dataset.save_as(folder / f"{index:04d}.dcm")
    return folder


def cropped(dataset: pydicom.Dataset, columns: int) -> None:
    """Without the same number of columns on either side, so that `columns` are left."""
    edge = (dataset.Columns - columns) // 2
    _store(dataset, dataset.pixel_array[:, edge : edge + columns])
    _move(dataset, edge, 0)


def resampled(dataset: pydicom.Dataset, rows: int, columns: int) -> None:
    """The same field of view in so many rows and columns, by linear interpolation."""
    row_mm, column_mm = dataset.PixelSpacing
    down, across = dataset.Rows / rows, dataset.Columns / columns
    _move(dataset, across / 2 - 0.5, down / 2 - 0.5)
    stored = _at(
        _at(dataset.pixel_array, (np.arange(rows) + 0.5) * down - 0.5).T, (np.arange(columns) + 0.5) * across - 0.5
    )
    _store(dataset, stored.T)
    dataset.PixelSpacing = [row_mm * down, column_mm * across]


def zoomed(dataset: pydicom.Dataset, factor: float) -> None:
    """As many pixels, closer together by `factor` (below 1: magnified), about the same centre."""
    middle = (np.array([dataset.Columns, dataset.Rows]) - 1) / 2
    _move(dataset, *(middle * (1 - factor)))
    places = [centre + (np.arange(2 * centre + 1) - centre) * factor for centre in middle]
    _store(dataset, _at(_at(dataset.pixel_array, places[1]).T, places[0]).T)
    dataset.PixelSpacing = [float(step) * factor for step in dataset.PixelSpacing]


def _at(values: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Rows at these places, the outermost beyond the ends."""
    rows = np.arange(len(values))
    return np.stack([np.interp(places, rows, column) for column in values.T], axis=1)


def _move(dataset: pydicom.Dataset, columns: float, rows: float) -> None:
    """The first pixel so many columns and rows further."""
    row_mm, column_mm = dataset.PixelSpacing
    along_row, along_column = np.split(np.array(dataset.ImageOrientationPatient, float), 2)
    moved = (
        np.array(dataset.ImagePositionPatient, float) + along_row * column_mm * columns + along_column * row_mm * rows
    )
    dataset.ImagePositionPatient = [round(float(value), 6) for value in moved]


def _store(dataset: pydicom.Dataset, stored: np.ndarray) -> None:
    kind = dataset.pixel_array.dtype
    dataset.Rows, dataset.Columns = stored.shape
    dataset.PixelData = np.ascontiguousarray(np.round(stored)).astype(kind).tobytes()
