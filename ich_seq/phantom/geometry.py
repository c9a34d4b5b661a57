"""Where a study's slices lie: matrix, pixel, spacing, gantry tilt, pose of the head, in DICOM's patient frame (LPS, mm).

A tilted gantry shears the volume: rows keep their direction, the columns lean by the tilt, and the table still moves along z, so
that ImagePositionPatient changes in z only (as in the RSNA and GE series). `spacing_mm` is measured along the slice normal.

Source: DICOM PS3.3 C.7.6.2.1.1; Sturm et al. 2016 on shear of tilted acquisitions.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64

from ich_seq.phantom.fields import Field

COARSE_MM = (
    1.9  # shapes are evaluated on a grid no coarser than this and enlarged: off by h^2 / 8r, 0.1 mm at a radius of 4 mm
)


@dataclass(frozen=True)
class Geometry:
    """One study's slices. `rotation` and `centre_mm` take a point of the head's frame to the patient's frame."""

    matrix: int
    pixel_mm: float
    slices: int
    spacing_mm: float
    tilt_deg: float
    sub_slices: int
    rotation: Float64[np.ndarray, "3 3"]
    centre_mm: Float64[np.ndarray, "3"]
    origin_mm: Float64[np.ndarray, "3"]

    @property
    def row_direction(self) -> Float64[np.ndarray, "3"]:
        """Unit vector along a row, to the patient's left."""
        return np.array([1.0, 0.0, 0.0])

    @property
    def column_direction(self) -> Float64[np.ndarray, "3"]:
        """Unit vector down a column, to the patient's back, leaning with the gantry."""
        tilt = np.deg2rad(self.tilt_deg)
        return np.array([0.0, np.cos(tilt), -np.sin(tilt)])

    @property
    def step_mm(self) -> Float64[np.ndarray, "3"]:
        """From one slice to the next towards the head: along the table, whatever the tilt."""
        return np.array([0.0, 0.0, self.spacing_mm / np.cos(np.deg2rad(self.tilt_deg))])

    def position_mm(self, index: float) -> Float64[np.ndarray, "3"]:
        """ImagePositionPatient of slice `index`, counted from the feet."""
        return self.origin_mm + index * self.step_mm

    def affine_ras(self) -> Float64[np.ndarray, "4 4"]:
        """NIfTI affine of an array indexed column, row, slice."""
        affine = np.eye(4)
        affine[:3, 0] = self.row_direction * self.pixel_mm
        affine[:3, 1] = self.column_direction * self.pixel_mm
        affine[:3, 2] = self.step_mm
        affine[:3, 3] = self.origin_mm
        return np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine

    def voxel_ml(self) -> float:
        """Volume of one voxel in mL; shear keeps it."""
        return self.pixel_mm**2 * self.spacing_mm / 1000.0

    @property
    def coarse_step(self) -> int:
        """Pixels between two points of the grid on which shapes are evaluated."""
        return max(round(COARSE_MM / self.pixel_mm), 1)

    def head_points(
        self, index: int, rows: Float32[np.ndarray, "y"], columns: Float32[np.ndarray, "x"]
    ) -> tuple[Field, Field, Field]:
        """Coordinates in the head's frame, in mm, of the sub-slices of slice `index` at pixel rows and columns."""
        n = self.sub_slices
        offset = (np.arange(n) + 0.5) / n - 0.5
        base = self.origin_mm - self.centre_mm + index * self.step_mm
        inverse = self.rotation.T
        normal = np.cross(self.row_direction, self.column_direction) * self.spacing_mm
        start = inverse @ base
        parts = [
            inverse @ v for v in (normal, self.column_direction * self.pixel_mm, self.row_direction * self.pixel_mm)
        ]
        point = []
        for axis in range(3):
            s = (start[axis] + offset * parts[0][axis]).astype(np.float32)
            y = rows * np.float32(parts[1][axis])
            x = columns * np.float32(parts[2][axis])
            point.append(s[:, None, None] + y[:, None] + x)
        return point[0], point[1], point[2]


def _turn(degrees: tuple[float, float, float]) -> Float64[np.ndarray, "3 3"]:
    """Rotation by pitch (about x), roll (about y) and yaw (about z)."""
    (a, b, c) = np.deg2rad(degrees)
    about_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    about_y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    about_z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    return about_z @ about_y @ about_x


@dataclass(frozen=True)
class GeometryRange:
    """What `draw_geometry` draws from; `slices` and `spacing_mm` are kept together so that a scan covers a head."""

    matrices: tuple[int, ...]
    slices: tuple[int, int]
    spacing_mm: tuple[float, float]
    tilt_deg: tuple[float, float]
    rotation_deg: float
    shift_mm: float


def draw_geometry(rng: np.random.Generator, ranges: GeometryRange, crown_mm: float) -> Geometry:
    """Slices at random; `crown_mm` is the height of the head's top in its own frame.

    The number of slices is drawn first; the spacing then follows from covering 140 to 168 mm, within its range.
    """
    matrix = int(rng.choice(np.asarray(ranges.matrices)))
    pixel_mm = round(float(rng.uniform(228.0, 250.0)) / matrix, 6)
    slices = int(rng.integers(ranges.slices[0], ranges.slices[1] + 1))
    spacing = float(np.clip(rng.uniform(142.0, 168.0) / slices, *ranges.spacing_mm))
    spacing = round(spacing, 3)
    tilted = rng.random() < 0.75
    tilt = round(float(rng.uniform(*ranges.tilt_deg)), 1)
    tilt = tilt if tilted or ranges.tilt_deg[0] > 0 else 0.0
    r = ranges.rotation_deg
    small = _turn((rng.normal(0, 0.5 * r), rng.normal(0, 0.3 * r), rng.normal(0, 0.6 * r)))
    lean = np.deg2rad(tilt)
    frame = np.array([[1, 0, 0], [0, np.cos(lean), -np.sin(lean)], [0, np.sin(lean), np.cos(lean)]]).T
    rotation = frame @ small
    shift = rng.uniform(-ranges.shift_mm, ranges.shift_mm, 2)
    normal = np.array([0.0, np.sin(lean), np.cos(lean)])
    column = np.array([0.0, np.cos(lean), -np.sin(lean)])
    step = np.array([0.0, 0.0, spacing / np.cos(lean)])
    top = crown_mm + float(rng.normal(1.5, 2.5))
    half = 0.5 * pixel_mm * (matrix - 1)
    middle = 0.5 * (slices - 1)
    mid_height = top - 0.5 * slices * spacing
    mid = normal * mid_height + column * (4.0 + shift[1]) + np.array([shift[0], 0, 0])
    origin = mid - step * middle - column * half - np.array([half, 0, 0])
    table = np.array([0.0, float(rng.uniform(-60, 20)), float(rng.uniform(60, 260))])
    centre = np.round(table, 3)
    thin = int(np.clip(round(spacing / 1.35), 3, 5))
    return Geometry(matrix, pixel_mm, slices, spacing, tilt, thin, rotation, centre, np.round(origin + table, 6))
