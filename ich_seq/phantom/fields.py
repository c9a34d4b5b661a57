"""Shapes and noise as functions of a point: signed distances in mm (negative inside), soft edges, random fields.

Every function takes coordinates that broadcast against each other and answers in float32, so that a slab of sub-slices is
worked on while it is still in the processor's cache.

Source of the ellipsoid's first-order distance k0 (k0 - 1) / k1: Taubin 1994, 10.1145/174462.174464 (f / |grad f|).
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import scipy.fft
from jaxtyping import Bool, Float32
from scipy.ndimage import map_coordinates

Field = Float32[np.ndarray, "..."]
Number = int | float | np.floating
Triple = tuple[Number, Number, Number]
Knot = tuple[Number, Number, Number, Number]
FAR = np.float32(99.0)  # the distance, in mm, of what is too far off to matter
_NEAR_MM = 16.0
_BEND_MM = 6.0  # heights of a slab lie within its corners' but for the head's warp


def _beyond(z: Field, low: Number, high: Number) -> bool:
    """Whether a slab of points lies wholly above or below a shape, by more than any edge or blend reaches."""
    if z.ndim < 3:
        return False
    corners = z[:: max(z.shape[0] - 1, 1), :: max(z.shape[1] - 1, 1), :: max(z.shape[2] - 1, 1)]
    reach = _NEAR_MM + _BEND_MM
    return bool(corners.min() > high + reach or corners.max() < low - reach)


def ellipsoid(x: Field, y: Field, z: Field, centre: Triple, radii: Triple) -> Field:
    """Distance in mm to an axis-parallel ellipsoid, exact at its surface and right to first order near it."""
    if _beyond(z, centre[2] - radii[2], centre[2] + radii[2]):
        return np.full(np.broadcast_shapes(x.shape, y.shape, z.shape), FAR, np.float32)
    inverse = [np.float32(1.0 / radius) for radius in radii]
    u = (x - np.float32(centre[0])) * inverse[0]
    v = (y - np.float32(centre[1])) * inverse[1]
    w = (z - np.float32(centre[2])) * inverse[2]
    k0 = np.sqrt(u * u + v * v + w * w)
    u *= inverse[0]
    v *= inverse[1]
    w *= inverse[2]
    k1 = np.sqrt(u * u + v * v + w * w) + np.float32(1e-6)
    return k0 * (k0 - np.float32(1.0)) / k1


def capsule(x: Field, y: Field, z: Field, start: Knot, end: Knot) -> Field:
    """Distance in mm to a rounded cone between two knots (x, y, z, radius), all in mm."""
    if _beyond(z, min(start[2] - start[3], end[2] - end[3]), max(start[2] + start[3], end[2] + end[3])):
        return np.full(np.broadcast_shapes(x.shape, y.shape, z.shape), FAR, np.float32)
    axis = [end[i] - start[i] for i in range(3)]
    scale = 1.0 / max(sum(a * a for a in axis), 1e-6)
    u, v, w = x - np.float32(start[0]), y - np.float32(start[1]), z - np.float32(start[2])
    along = u * np.float32(axis[0] * scale) + v * np.float32(axis[1] * scale) + w * np.float32(axis[2] * scale)
    np.clip(along, 0.0, 1.0, out=along)
    u = u - along * np.float32(axis[0])
    v = v - along * np.float32(axis[1])
    w = w - along * np.float32(axis[2])
    return np.sqrt(u * u + v * v + w * w) - (np.float32(start[3]) + along * np.float32(end[3] - start[3]))


def tube(x: Field, y: Field, z: Field, knots: Sequence[Knot]) -> Field:
    """Distance in mm to a chain of rounded cones through at least two knots (x, y, z, radius)."""
    distance = capsule(x, y, z, knots[0], knots[1])
    for start, end in pairwise(knots[1:]):
        np.minimum(distance, capsule(x, y, z, start, end), out=distance)
    return distance


def smooth_union(a: Field, b: Field, blend_mm: Number) -> Field:
    """Union of two shapes whose meeting edge is rounded over `blend_mm`.

    Source: the polynomial smooth minimum, Quilez, "smooth minimum" (2013).
    """
    h = np.maximum(np.float32(blend_mm) - np.abs(a - b), 0.0)
    return np.minimum(a, b) - h * h * np.float32(0.25 / blend_mm)


def coverage(distance: Field, width_mm: Number) -> Field:
    """Share of a voxel that a shape fills: 1 inside, 0 outside, a ramp of `width_mm` across its surface."""
    share = distance * np.float32(-1.0 / width_mm)
    share += np.float32(0.5)
    return np.clip(share, 0.0, 1.0, out=share)


def enlarge(field: Float32[np.ndarray, "s y x"], step: int) -> Float32[np.ndarray, "s Y X"]:
    """The field on a grid `step` times finer in y and x, linear in between; n points become step (n - 1) + 1."""
    if step == 1:
        return field
    s, ny, nx = field.shape
    rows = np.empty((s, step * (ny - 1) + 1, nx), np.float32)
    rows[:, ::step] = field
    fine = np.empty((s, rows.shape[1], step * (nx - 1) + 1), np.float32)
    for k in range(1, step):
        t = np.float32(k / step)
        np.add(field[:, :-1] * (1 - t), field[:, 1:] * t, out=rows[:, k::step])
    fine[:, :, ::step] = rows
    for k in range(1, step):
        t = np.float32(k / step)
        np.add(rows[:, :, :-1] * (1 - t), rows[:, :, 1:] * t, out=fine[:, :, k::step])
    return fine


class NoiseCube:
    """A periodic random field of unit variance whose waves are near one length; one cube serves a whole head."""

    def __init__(self, rng: np.random.Generator, wavelength_mm: float, spread: float = 0.25, size: int = 48) -> None:
        self.cell_mm = wavelength_mm / 9.0
        k = np.fft.fftfreq(size, self.cell_mm)
        kx, ky, kz = np.meshgrid(k, k, k[: size // 2 + 1], indexing="ij", sparse=True)
        radius = np.sqrt(kx**2 + ky**2 + kz**2) * wavelength_mm
        spectrum = np.exp(-0.5 * ((np.abs(radius) - 1.0) / spread) ** 2)
        white = np.asarray(scipy.fft.rfftn(rng.standard_normal((size, size, size), dtype=np.float32)))
        cube = np.asarray(scipy.fft.irfftn(white * spectrum.astype(np.float32), s=(size, size, size)))
        self.cube = np.asarray(cube / cube.std(), np.float32)

    def __call__(self, x: Field, y: Field, z: Field) -> Field:
        """The field at points in mm, linear between its cells."""
        points = np.stack(np.broadcast_arrays(x, y, z)) * np.float32(1.0 / self.cell_mm)
        return map_coordinates(self.cube, points, output=np.float32, order=1, mode="grid-wrap", prefilter=False)

    def where(self, wanted: Bool[np.ndarray, "..."], x: Field, y: Field, z: Field) -> Field:
        """The field at the wanted points, 0 at the others."""
        values = np.zeros(wanted.shape, np.float32)
        values[wanted] = self(x[wanted], y[wanted], z[wanted])
        return values


class Waves:
    """A smooth displacement in mm: a few long plane waves per axis, so that no head is symmetric."""

    def __init__(
        self, rng: np.random.Generator, wavelength_mm: tuple[float, float], amplitude_mm: float, count: int
    ) -> None:
        direction = rng.standard_normal((count, 3))
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        length = rng.uniform(*wavelength_mm, (count, 1))
        self.k = (2 * np.pi * direction / length).astype(np.float32)
        scale = amplitude_mm * np.sqrt(1.0 / count)
        self.weights = (rng.standard_normal((count, 2, 3)) * scale).astype(np.float32)

    def __call__(self, x: Field, y: Field, z: Field) -> tuple[Field, Field, Field]:
        """The displacement's x, y and z parts in mm."""
        total = [np.zeros(np.broadcast_shapes(x.shape, y.shape, z.shape), np.float32) for _ in range(3)]
        for k, (sines, cosines) in zip(self.k, self.weights, strict=True):
            phase = x * k[0] + y * k[1] + z * k[2]
            sine, cosine = np.sin(phase), np.cos(phase)
            for axis in range(3):
                total[axis] += sine * sines[axis] + cosine * cosines[axis]
        return total[0], total[1], total[2]
