"""The slices of one NIfTI volume in HU, feet to head, turned as `Volume` turns its own.

A NIfTI file names no patient, no scanner and no rescale; orientation is its affine's, and whether its values are HU is the word of who
made it.
"""

import functools
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, Float64

from ich_seq.dicom.resample import square_pixels
from ich_seq.nifti.file import open_image, refused
from ich_seq.volume import WHOLE_FILE, read_display_plane

_OPEN_FILES = 2
_TO_LPS = np.diag([-1.0, -1.0, 1.0])  # NIfTI's world is RAS+
_MM_PER_UNIT = {1: 1000.0, 3: 0.001}  # xyzt_units: metre, micrometre; anything else is taken as millimetres
_SPACE_UNITS = 7
_SMALLEST_MM, _LARGEST_MM, _FARTHEST_MM = 0.01, 100.0, 1e5
_FLATTEST = 0.05  # volume of the cell of unit steps: 1 where they are perpendicular


class NiftiScan:
    """The slices of a NIfTI volume in HU, feet to head, each read when it is asked for.

    Slices lie across that axis of the file whose planes are nearest to axial, whatever its place in the file; each is turned so that
    columns run to the patient's left and rows to the back, as `Volume`'s are. `stored` is the place of each slice along its axis in
    the file, `positions_mm` its place along `normal`, `affine` goes from (column x, row y, slice s) of the returned slices to LPS in
    mm, voxel centres, `oriented` is whether the file says how it lies in the patient.

    Source: the NIfTI-1 standard, 10.1016/j.jneumeth.2016.03.001 (orientation by the affine, RAS+).
    """

    def __init__(self, path: Path) -> None:
        """Opens the file; its values are read slice by slice.

        Raises:
            PixelsUnreadableError: not NIfTI, damaged, too large, not three-dimensional, or an affine that is singular or not finite.
        """
        self.path = path
        self._image = open_image(path)
        shape = self._image.shape
        if len(shape) == 4 and shape[3] == 1:
            shape = shape[:3]
        if len(shape) != 3:
            raise refused(path, f"its shape is {self._image.shape}, not one volume of slices", "give one volume a file")
        header = self._image.header
        self.oriented = int(header["sform_code"]) > 0 or int(header["qform_code"]) > 0
        stored = self._stored_affine()
        self._axes = _axes(stored[:, :3])
        self._flips = self._directions(stored[:, :3])
        self.shape = int(shape[self._axes[1]]), int(shape[self._axes[0]])
        """Rows and columns of the slices as they are returned."""
        self.affine = self._turned_affine(stored, shape)
        count = int(shape[self._axes[2]])
        self.stored = tuple(range(count - 1, -1, -1) if self._flips[2] else range(count))

    def __len__(self) -> int:
        return len(self.stored)

    def __getitem__(self, index: int) -> Float32[np.ndarray, "y x"]:
        """One slice in HU (stored x scl_slope + scl_inter), from the feet.

        Raises:
            IndexError: no such slice.
            PixelsUnreadableError: its values cannot be read, or one of them is not finite.
        """
        if not -len(self) <= index < len(self):
            raise IndexError(f"slice {index} of {len(self)}")
        column_axis, row_axis, slice_axis = self._axes
        where: list[Any] = [slice(None)] * 3 + [0] * (len(self._image.shape) - 3)
        where[slice_axis] = self.stored[index]
        try:
            plane = np.asarray(self._values[tuple(where)], np.float32)
        except (OSError, EOFError, ValueError) as error:
            raise refused(
                self.path, f"slice {self.stored[index]} cannot be read ({error})", "export it again"
            ) from error
        plane = plane if row_axis < column_axis else plane.T
        plane = plane[:: -1 if self._flips[1] else 1, :: -1 if self._flips[0] else 1]
        if not np.isfinite(plane).all():
            what = f"slice {self.stored[index]} has values that are no finite numbers"
            raise refused(self.path, what, "put -1024, air, in their place")
        return np.ascontiguousarray(plane)

    @property
    def stored_as(self) -> str:
        """What the file says of its axes and values, in words: for the terminal."""
        from nibabel.orientations import aff2axcodes

        towards = "".join(map(str, aff2axcodes(self._image.affine)))
        slope, inter = self._image.header.get_slope_inter()
        scaled = "" if slope is None else f", read as stored x {slope:g} + {inter:g}"
        return f"{self._image.get_data_dtype()}{scaled}; axes towards {towards}"

    @property
    def normal(self) -> Float64[np.ndarray, "3"]:
        """The unit normal of the slices in LPS that points to the patient's head."""
        return _normal_to_head(self.affine[:3, 0], self.affine[:3, 1])

    @property
    def pixel_spacing_mm(self) -> tuple[float, float]:
        """Distance between rows and between columns of the slices as they are returned."""
        column_mm, row_mm, _ = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(row_mm), float(column_mm)

    @property
    def positions_mm(self) -> tuple[float, ...]:
        """Position of each slice along `normal` in mm, ascending from feet to head."""
        first, step = self.affine[:3, 3] @ self.normal, self.affine[:3, 2] @ self.normal
        return tuple(float(first + step * index) for index in range(len(self)))

    @functools.cached_property
    def _values(self) -> Any:
        """Read slice by slice where a slice lies in one piece; else at once, since every slice would go through the whole file."""
        values = self._image.dataobj
        return values if self._axes[2] == 2 else np.asarray(values, np.float32)

    def _stored_affine(self) -> Float64[np.ndarray, "3 4"]:
        """From the file's indices to LPS in mm."""
        units = int(self._image.header["xyzt_units"]) & _SPACE_UNITS
        affine = np.asarray(self._image.affine, np.float64)[:3] * _MM_PER_UNIT.get(units, 1.0)
        if not _usable(affine):
            what = (
                "its affine is singular, not finite, or gives voxels of no usable size, so its orientation is unknown"
            )
            raise refused(self.path, what, "export it again")
        return _TO_LPS @ affine

    def _directions(self, steps: Float64[np.ndarray, "3 3"]) -> tuple[bool, bool, bool]:
        """Whether columns, rows and slices are stored against the way in which they are returned."""
        column, row, across = (steps[:, axis] for axis in self._axes)
        return bool(column[0] < 0), bool(row[1] < 0), bool(across @ _normal_to_head(column, row) < 0)

    def _turned_affine(self, stored: Float64[np.ndarray, "3 4"], shape: tuple[int, ...]) -> Float64[np.ndarray, "4 4"]:
        affine = np.eye(4)
        affine[:3, 3] = stored[:, 3]
        for place, (axis, flipped) in enumerate(zip(self._axes, self._flips, strict=True)):
            step = stored[:, axis]
            affine[:3, place] = -step if flipped else step
            if flipped:
                affine[:3, 3] += step * (shape[axis] - 1)
        return affine


def read_stored_slice(path: Path, slice_index: int) -> Float32[np.ndarray, "y x"]:
    """One slice of a table in HU: a DICOM file where `slice_index` is WHOLE_FILE, else a slice of a NIfTI volume, by its place there.

    Raises:
        PixelsUnreadableError: the file or the slice cannot be read.
    """
    return _read_plane(path, slice_index)[0]


def read_square_slice(path: Path, slice_index: int) -> Float32[np.ndarray, "y x"]:
    """As `read_stored_slice`, with square pixels: what a network is to see, in training as in scoring.

    Of one file it is not known which pixel spacing its series has: unlike in scoring, a slice at another zoom than its
    neighbours keeps it. Nor are thin slices averaged: each is a row with labels of its own.
    """
    return square_pixels(*_read_plane(path, slice_index))


def _read_plane(path: Path, slice_index: int) -> tuple[Float32[np.ndarray, "y x"], tuple[float, float] | None]:
    """A slice of a table and the distance between its rows and between its columns in mm, where known."""
    if slice_index == WHOLE_FILE:
        return read_display_plane(path)
    scan = _opened(path, path.stat().st_mtime_ns if path.exists() else 0)
    if slice_index not in scan.stored:
        what = f"has {len(scan)} slices, and slice {slice_index} is not among them"
        raise refused(path, what, "index the data again")
    return scan[scan.stored.index(slice_index)], scan.pixel_spacing_mm


@functools.lru_cache(maxsize=_OPEN_FILES)
def _opened(path: Path, modified: int) -> NiftiScan:
    del modified  # part of the key: a file that was written anew is opened anew
    return NiftiScan(path)


def _usable(affine: Float64[np.ndarray, "3 4"]) -> bool:
    """Whether an affine in mm gives voxels that are no smaller, larger, flatter or farther away than a scanner's."""
    if not np.isfinite(affine).all() or np.abs(affine[:, 3]).max() > _FARTHEST_MM:
        return False
    length = np.linalg.norm(affine[:, :3], axis=0)
    if length.min() < _SMALLEST_MM or length.max() > _LARGEST_MM:
        return False
    return abs(float(np.linalg.det(affine[:, :3] / length))) > _FLATTEST


def _axes(steps: Float64[np.ndarray, "3 3"]) -> tuple[int, int, int]:
    """Which axis of the file the columns, the rows and the slices lie along; `steps` are LPS, one column an axis."""
    others = ((1, 2), (0, 2), (0, 1))
    upright = [abs(_normal_to_head(steps[:, a], steps[:, b])[2]) for a, b in others]
    across = int(np.argmax(upright))
    sideways = [abs(steps[0, axis]) / np.linalg.norm(steps[:, axis]) for axis in others[across]]
    column, row = others[across] if sideways[0] >= sideways[1] else others[across][::-1]
    return column, row, across


def _normal_to_head(a: Float64[np.ndarray, "3"], b: Float64[np.ndarray, "3"]) -> Float64[np.ndarray, "3"]:
    normal = np.cross(a, b)
    normal = normal / np.linalg.norm(normal)
    return normal if normal[2] >= 0 else -normal
