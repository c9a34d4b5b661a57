"""Positions, orientation, tilt and spacing of a stack of slices, from ImagePositionPatient and ImageOrientationPatient."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float64

from ich_seq.dicom.header import SliceHeader
from ich_seq.dicom.limits import LIMITS


@dataclass(frozen=True, slots=True)
class InPlane:
    """How an image is turned so that columns run to the patient's left and rows to the back.

    It is transposed first, then flipped. `rotation_deg` is what remains between the image's rows and the patient's
    left-right axis.
    """

    transpose: bool
    flip_rows: bool
    flip_columns: bool
    rotation_deg: float

    @property
    def identity(self) -> bool:
        """Whether the image already lies as it should."""
        return not (self.transpose or self.flip_rows or self.flip_columns)


def position_of(header: SliceHeader) -> Float64[np.ndarray, "3"]:
    """ImagePositionPatient in LPS mm: the centre of the first voxel. Raises ValueError where it is absent."""
    if header.image_position_patient is None:
        raise ValueError(f"no ImagePositionPatient in {header.name}")
    return np.array(header.image_position_patient, dtype=np.float64)


def axes_of(header: SliceHeader) -> tuple[Float64[np.ndarray, "3"], Float64[np.ndarray, "3"]]:
    """Unit directions in LPS in which the column index and the row index grow. Raises ValueError where they are absent.

    Source: DICOM PS3.3 C.7.6.2.1.1: the first three values run along a row, so with the column index.
    """
    return _directions_of(header)[:2]


def normal_of(header: SliceHeader) -> Float64[np.ndarray, "3"]:
    """The unit normal of the slice plane in LPS that points to the patient's head. Raises ValueError where it has no orientation."""
    return _directions_of(header)[2]


def _directions_of(header: SliceHeader) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    if header.image_orientation_patient is None:
        raise ValueError(f"no ImageOrientationPatient in {header.name}")
    return _directions(header.image_orientation_patient)


@lru_cache(maxsize=1024)
def _directions(orientation: tuple[float, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Along a row, along a column, and the normal: computed once for all slices that share an orientation, so read-only."""
    numbers = np.array(orientation, dtype=np.float64)
    along_row = numbers[:3] / np.linalg.norm(numbers[:3])
    along_column = numbers[3:] / np.linalg.norm(numbers[3:])
    normal = np.cross(along_row, along_column)
    normal /= np.linalg.norm(normal)
    directions = (along_row, along_column, -normal if normal[2] < 0 else normal)
    for each in directions:
        each.setflags(write=False)
    return directions


def usual_slice(headers: Sequence[SliceHeader]) -> SliceHeader:
    """The first slice that has the orientation that most have; between equals the larger numbers decide, whatever the order of files.

    Raises:
        ValueError: no header.
    """
    counts = Counter(header.image_orientation_patient or () for header in headers)
    usual = max(counts, key=lambda orientation: (counts[orientation], orientation))
    return next(header for header in headers if (header.image_orientation_patient or ()) == usual)


def angle_deg(a: Float64[np.ndarray, "3"], b: Float64[np.ndarray, "3"]) -> float:
    """Angle between two unit vectors, 0 to 180 degrees; exact to 1e-6 degrees also near zero."""
    return math.degrees(math.atan2(float(np.linalg.norm(np.cross(a, b))), float(np.dot(a, b))))


def is_upright(header: SliceHeader) -> bool:
    """Whether the slice plane is coronal or sagittal rather than axial: its normal more than 45 degrees off the long axis."""
    return bool(normal_of(header)[2] < math.cos(math.radians(LIMITS.axial_deg)))


def same_orientation(a: SliceHeader, b: SliceHeader) -> bool:
    """Whether two slices are parallel and equally turned, to 1 degree."""
    if a.image_orientation_patient == b.image_orientation_patient:
        return True
    pairs = zip(axes_of(a), axes_of(b), strict=True)
    return all(angle_deg(one, other) <= LIMITS.orientation_deg for one, other in pairs)


def in_plane_of(header: SliceHeader) -> InPlane:
    """The flips that bring one image of an axial stack to the usual display: image right is patient left, top is front."""
    along_row, along_column = axes_of(header)
    transpose = abs(along_row[0]) < abs(along_column[0])
    if transpose:
        along_row, along_column = along_column, along_row
    flip_columns, flip_rows = bool(along_row[0] < 0), bool(along_column[1] < 0)
    left = np.array([-1.0 if flip_columns else 1.0, 0.0, 0.0])
    return InPlane(bool(transpose), flip_rows, flip_columns, angle_deg(along_row, left))


def tilt_deg(headers: Sequence[SliceHeader], normal: Float64[np.ndarray, "3"]) -> float:
    """Angle between the slice normal and the line through the slice origins: the gantry's tilt, computed.

    A single slice has no such line; there it is the angle to the patient's long axis. GantryDetectorTilt is not read:
    its sign and value are unreliable.
    """
    head = np.array([0.0, 0.0, 1.0])
    if len(headers) < 2:
        return angle_deg(normal, head)
    line = position_of(headers[-1]) - position_of(headers[0])
    length = float(np.linalg.norm(line))
    if length < LIMITS.same_position_mm:
        return 0.0
    return angle_deg(normal, line / length)


def shifted_slices(
    headers: Sequence[SliceHeader], normal: Float64[np.ndarray, "3"], limit_mm: float = LIMITS.in_plane_shift_mm
) -> list[int]:
    """Indices of slices of which neither the corner nor the centre is within `limit_mm`, in-plane, of the line through all of them.

    The line is made of medians, so that outliers do not bend it. A slice at another zoom about the same centre has another corner: it
    is not shifted.
    """
    if len(headers) < 4:
        return []
    corners = np.stack([position_of(header) for header in headers])
    centres = corners + np.stack([_to_centre(header) for header in headers])
    along = corners @ normal
    distance = np.minimum(_off_line_mm(corners, along), _off_line_mm(centres, along))
    return [int(i) for i in np.flatnonzero(distance > limit_mm)]


def _to_centre(header: SliceHeader) -> Float64[np.ndarray, "3"]:
    """From the first voxel of a slice to its centre, in mm."""
    along_row, along_column = axes_of(header)
    row_mm, column_mm = header.pixel_spacing_mm or (0.0, 0.0)
    return (along_row * column_mm * (header.columns - 1) + along_column * row_mm * (header.rows - 1)) / 2


def _off_line_mm(points: Float64[np.ndarray, "s 3"], along: Float64[np.ndarray, " s"]) -> Float64[np.ndarray, " s"]:
    """Distance of each point from the line through all, made of medians; `along` is the place of each on the normal."""
    drift = np.median(np.diff(points, axis=0) / np.diff(along)[:, None], axis=0)
    across = points - along[:, None] * drift
    return np.linalg.norm(across - np.median(across, axis=0), axis=1)
