"""One head scan in NIfTI, in HU: a sequence of slices like a Volume, without all that only DICOM says.

A NIfTI file names no patient, no scanner and no rescale; orientation is its affine's, and whether its values are HU is the word of who
made it.
"""

import functools
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from jaxtyping import Float32, Float64
from nibabel.filebasedimages import ImageFileError
from nibabel.orientations import io_orientation

from ich_seq.errors import PixelsUnreadableError
from ich_seq.volume import WHOLE_FILE, read_display_slice

ENDINGS = (".nii", ".nii.gz")
_OPEN_FILES = 4
_RIGHT, _FRONT, _UP = 0, 1, 2  # axes of NIfTI's world, RAS+


class NiftiScan:
    """The slices of a NIfTI volume in HU, feet to head, each read when it is asked for.

    Each is turned so that columns run to the patient's left and rows to the back, as `Volume`'s are. `stored` is the place of each
    slice along its axis in the file, `positions_mm` its place along the slice normal.

    Source: the NIfTI-1 standard, 10.1016/j.jneumeth.2016.03.001 (orientation by the affine, RAS+ in mm).
    """

    def __init__(self, path: Path) -> None:
        """Opens the file; its values are read slice by slice.

        Raises:
            PixelsUnreadableError: not NIfTI, not three-dimensional, or an affine that is singular or not finite.
        """
        self.path = path
        self._image = _open(path)
        shape = self._image.shape
        if len(shape) == 4 and shape[3] == 1:
            shape = shape[:3]
        if len(shape) != 3 or min(shape) < 1:
            raise _refused(path, f"its shape is {self._image.shape}, not one volume of slices")
        affine = np.asarray(self._image.affine, np.float64)
        if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-9:
            raise _refused(path, "its affine is singular or not finite, so its orientation is unknown")
        orientation = io_orientation(affine)
        axes = {int(world): axis for axis, world in enumerate(orientation[:, 0])}
        self._axes = axes[_FRONT], axes[_RIGHT], axes[_UP]
        self._towards = {int(world): float(sign) for world, sign in orientation}
        count = shape[self._axes[2]]
        self.stored = tuple(range(count) if self._towards[_UP] > 0 else range(count - 1, -1, -1))
        self.affine = affine

    def __len__(self) -> int:
        return len(self.stored)

    def __getitem__(self, index: int) -> Float32[np.ndarray, "y x"]:
        """One slice in HU, from the feet.

        Raises:
            IndexError: no such slice.
            PixelsUnreadableError: its values cannot be read, or one of them is not finite.
        """
        if not -len(self) <= index < len(self):
            raise IndexError(f"slice {index} of {len(self)}")
        row_axis, column_axis, slice_axis = self._axes
        where: list[Any] = [slice(None)] * len(self._image.shape)
        where[slice_axis] = self.stored[index]
        try:
            plane = np.asarray(self._image.dataobj[tuple(where)], np.float32)
        except (OSError, EOFError, ValueError) as error:
            raise _refused(self.path, f"slice {self.stored[index]} cannot be read ({error})") from error
        plane = plane.reshape(plane.shape[:2])
        plane = plane if row_axis < column_axis else plane.T
        if self._towards[_FRONT] > 0:
            plane = plane[::-1]
        if self._towards[_RIGHT] > 0:
            plane = plane[:, ::-1]
        if not np.isfinite(plane).all():
            raise _refused(self.path, f"slice {self.stored[index]} has values that are no finite numbers")
        return np.ascontiguousarray(plane)

    @property
    def pixel_spacing_mm(self) -> tuple[float, float]:
        """Distance between rows and between columns of the slices as they are returned."""
        length = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(length[self._axes[0]]), float(length[self._axes[1]])

    @property
    def positions_mm(self) -> tuple[float, ...]:
        """Position of each slice along the slice normal in mm, ascending from feet to head."""
        normal = self._normal()
        first, step = self.affine[:3, 3], self.affine[:3, self._axes[2]]
        return tuple(float((first + step * place) @ normal) for place in self.stored)

    def _normal(self) -> Float64[np.ndarray, "3"]:
        across = np.cross(self.affine[:3, self._axes[0]], self.affine[:3, self._axes[1]])
        normal = across / np.linalg.norm(across)
        return normal if normal[_UP] > 0 else -normal


def read_stored_slice(path: Path, slice_index: int) -> Float32[np.ndarray, "y x"]:
    """One slice of a table in HU: a DICOM file where `slice_index` is WHOLE_FILE, else a slice of a NIfTI volume, by its place there.

    Raises:
        PixelsUnreadableError: the file or the slice cannot be read.
    """
    if slice_index == WHOLE_FILE:
        return read_display_slice(path)
    scan = _opened(path, path.stat().st_mtime_ns if path.exists() else 0)
    if slice_index not in scan.stored:
        raise _refused(path, f"has {len(scan)} slices, and slice {slice_index} is not among them")
    return scan[scan.stored.index(slice_index)]


@functools.lru_cache(maxsize=_OPEN_FILES)
def _opened(path: Path, modified: int) -> NiftiScan:
    del modified  # part of the key: a file that was written anew is opened anew
    return NiftiScan(path)


def _open(path: Path) -> Any:
    try:
        image = nibabel.load(path)
    except (ImageFileError, OSError, EOFError, ValueError) as error:
        raise _refused(path, f"not a readable NIfTI file ({error})") from error
    if not isinstance(image, nibabel.Nifti1Image):
        raise _refused(path, f"a {type(image).__name__}, not NIfTI")
    return image


def _refused(path: Path, what: str) -> PixelsUnreadableError:
    return PixelsUnreadableError(f"{path.name}: {what}", code="D-UNREADABLE")
