"""Where the pixels of a slice lie once it is turned to the usual display, and slices of another zoom on the grid of their series."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64

from ich_seq.dicom.geometry import InPlane, axes_of, normal_of, position_of
from ich_seq.dicom.header import SliceHeader
from ich_seq.dicom.limits import LIMITS
from ich_seq.dicom.resample import resampled


@dataclass(frozen=True, slots=True)
class Plane:
    """The grid of a turned slice in LPS: the steps in mm along x and y as columns of a matrix, and the centre of its first pixel."""

    steps: Float64[np.ndarray, "3 2"]
    origin: Float64[np.ndarray, "3"]

    @property
    def spacing_mm(self) -> Float64[np.ndarray, "2"]:
        """Length of the steps along x and along y."""
        return np.linalg.norm(self.steps, axis=0)


def spacing_of(header: SliceHeader) -> tuple[float, float]:
    """PixelSpacing as it is stored: between rows, then between columns, in mm. Raises ValueError where it is absent."""
    if header.pixel_spacing_mm is None:
        raise ValueError(f"no PixelSpacing in {header.name}")
    return header.pixel_spacing_mm[0], header.pixel_spacing_mm[1]


def plane_of(header: SliceHeader, turn: InPlane) -> Plane:
    """The grid of one slice after its turn. Raises ValueError where position, orientation or spacing is absent."""
    row_mm, column_mm = spacing_of(header)
    along_row, along_column = axes_of(header)
    steps = [along_row * column_mm, along_column * row_mm]
    counts = [header.columns, header.rows]
    if turn.transpose:
        steps.reverse()
        counts.reverse()
    origin = position_of(header)
    for axis, flipped in enumerate((turn.flip_columns, turn.flip_rows)):
        if flipped:
            origin = origin + steps[axis] * (counts[axis] - 1)
            steps[axis] = -steps[axis]
    return Plane(np.stack(steps, axis=1), origin)


def other_zoom(headers: Sequence[SliceHeader]) -> list[int]:
    """Indices of slices whose PixelSpacing differs by more than 0.5 % from the series' usual one, the median of all."""
    spacings = np.array([spacing_of(header) for header in headers])
    usual = np.median(spacings, axis=0)
    return [int(i) for i in np.flatnonzero((np.abs(spacings - usual) > LIMITS.pixel_spacing * usual).any(axis=1))]


class SeriesGrid:
    """The grid that the slices of a series share, and which of them do not lie on it: `outliers`, by index.

    `usual` is the first slice that is none; where all differ, the first slice.
    """

    def __init__(self, headers: Sequence[SliceHeader], turn: InPlane) -> None:
        self._headers, self._turn = headers, turn
        self.outliers = frozenset(other_zoom(headers))
        self._on_grid = [h for i, h in enumerate(headers) if i not in self.outliers] or [headers[0]]
        self.usual = self._on_grid[0]

    def plane(self, index: int) -> Plane:
        """The grid of one slice as `place` returns it."""
        header = self._headers[index]
        if index not in self.outliers:
            return plane_of(header, self._turn)
        return Plane(plane_of(self.usual, self._turn).steps, self._origin_at(header))

    def place(self, hu: Float32[np.ndarray, "y x"], index: int) -> Float32[np.ndarray, "y x"]:
        """A turned slice on the series' grid: the same array where it lies there, resampled where its PixelSpacing is another.

        It keeps its place in the patient, by its own ImagePositionPatient; what the slice does not reach is air.
        """
        if index not in self.outliers:
            return hu
        own, wanted = plane_of(self._headers[index], self._turn), self.plane(index)
        rows, columns = hu.shape
        offset = (wanted.origin - own.origin) @ (own.steps / own.spacing_mm) / own.spacing_mm
        ratio = wanted.spacing_mm / own.spacing_mm
        return resampled(hu, offset[1] + np.arange(rows) * ratio[1], offset[0] + np.arange(columns) * ratio[0])

    def _origin_at(self, header: SliceHeader) -> Float64[np.ndarray, "3"]:
        """Where the grid's first pixel lies at the height of a slice: on the line through those of the usual slices, by medians."""
        normal = normal_of(self.usual)
        origins = np.stack([plane_of(each, self._turn).origin for each in self._on_grid])
        along = origins @ normal
        drift = np.zeros(3) if len(along) < 2 else np.median(np.diff(origins, axis=0) / np.diff(along)[:, None], axis=0)
        base = np.median(origins - along[:, None] * drift, axis=0)
        return base + float(position_of(header) @ normal) * drift
