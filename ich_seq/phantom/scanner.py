"""What the scanner adds: correlated noise, streaks between the petrous bones, beam hardening, the head rest, whole HU.

Source of the noise's spectrum (a ramp times the kernel's roll-off): Riederer, Pelc & Chesler 1978, 10.1088/0031-9155/23/3/008; streaks
between dense bones: Joseph & Spital 1978, 10.1097/00004728-197801000-00017.
"""

from dataclasses import dataclass

import numpy as np
import scipy.fft
from jaxtyping import Float32
from scipy.ndimage import gaussian_filter

from ich_seq.phantom.fields import enlarge
from ich_seq.phantom.geometry import Geometry
from ich_seq.phantom.scene import Scene

Plane = Float32[np.ndarray, "y x"]


@dataclass(frozen=True)
class Scanner:
    """One study's acquisition: noise (standard deviation in the brain) and artefacts in HU, how sharp the kernel is in mm."""

    noise_hu: float
    kernel_mm: float
    petrous_hu: float
    cupping_hu: float
    streak_rate: float
    streak_hu: float
    rest_hu: float
    rest_mm: float


def draw_scanner(rng: np.random.Generator, noise_hu: tuple[float, float], mimics: bool) -> Scanner:
    """An acquisition at random; without mimics it has noise but neither streaks nor beam hardening."""
    on = 1.0 if mimics else 0.0
    return Scanner(
        noise_hu=float(rng.uniform(*noise_hu)),
        kernel_mm=float(rng.uniform(0.7, 1.6)),
        petrous_hu=float(on * rng.gamma(2.5, 4.0)),
        cupping_hu=float(on * rng.gamma(1.5, 2.2)),
        streak_rate=float(on * rng.beta(1.2, 4.0)),
        streak_hu=float(on * rng.uniform(5.0, 14.0)),
        rest_hu=float(rng.uniform(-220, 60)),
        rest_mm=float(rng.uniform(9.0, 15.0)),
    )


def noise_plane(rng: np.random.Generator, geometry: Geometry, kernel_mm: float) -> Plane:
    """Noise of unit standard deviation whose grains are about as large as the kernel."""
    n = geometry.matrix
    fy = np.fft.fftfreq(n, geometry.pixel_mm).astype(np.float32)[:, None]
    fx = np.fft.rfftfreq(n, geometry.pixel_mm).astype(np.float32)[None]
    f = np.sqrt(fy * fy + fx * fx)
    shape = np.sqrt(f + np.float32(0.02)) * np.exp(-((f * np.float32(2.0 * kernel_mm)) ** 2))
    white = np.asarray(scipy.fft.rfft2(rng.standard_normal((n, n), dtype=np.float32)))
    plane = np.asarray(scipy.fft.irfft2(white * shape, s=(n, n)))
    return np.asarray(plane / plane.std(), np.float32)


def head_rest(scene: Scene, scanner: Scanner) -> Plane:
    """The empty field of view with its head rest: a shell of carbon around foam, under the head; HU."""
    g = scene.geometry
    mm = (np.arange(g.matrix, dtype=np.float32) - 0.5 * (g.matrix - 1)) * np.float32(g.pixel_mm)
    mid = scene.boxes[g.slices // 2]
    row = 0.5 * (mid.y0 + mid.y1) * g.coarse_step - 0.5 * (g.matrix - 1)
    column = 0.5 * (mid.x0 + mid.x1) * g.coarse_step - 0.5 * (g.matrix - 1)
    head = scene.head
    reach = head.half_length_mm + head.skull_mm + head.scalp_mm
    y = mm[:, None] - np.float32(row * g.pixel_mm)
    x = mm[None] - np.float32(column * g.pixel_mm)
    radius = np.sqrt((x * np.float32(1.12)) ** 2 + y * y) - np.float32(reach + 9.0)
    plane = np.full((g.matrix, g.matrix), -1000.0, np.float32)
    inner, outer = np.float32(2.0), np.float32(2.0 + scanner.rest_mm)
    under = np.clip((y - np.abs(x) * np.float32(0.45) - 12) / 2, 0, 1)
    foam = np.clip(radius - inner + 0.5, 0, 1) * np.clip(outer - radius + 0.5, 0, 1) * under
    plane += foam * 75
    for edge in (inner, outer):
        shell = np.clip(1.6 - np.abs(radius - edge), 0, 1) * under
        plane += shell * np.float32(scanner.rest_hu + 925)
    return plane


def artefacts(rng: np.random.Generator, scene: Scene, index: int, scanner: Scanner) -> Plane | None:
    """Petrous streaks, cupping and a stray streak of slice `index` in HU, in the slice's fine window; None where there are none."""
    g, k = scene.geometry, index
    mid = g.sub_slices // 2
    table = rng.standard_normal((2, 96)).astype(np.float32)
    chance, angle, offset, width, sign = (
        rng.random(),
        rng.uniform(0, np.pi),
        rng.uniform(-55, 55),
        rng.uniform(2, 6),
        rng.random(),
    )
    gain = rng.gamma(2.0, 0.5)
    x, y, z = (scene.slab(axis, k)[mid] for axis in "xyz")
    cavity = scene.slab("cavity", k)[mid]
    if cavity.min() >= 0:
        return None
    total = scanner.cupping_hu * np.exp(cavity * np.float32(1 / 9.0))
    near = np.exp(-(((z + 38) / 11) ** 2))
    if scanner.petrous_hu > 0 and near.max() > 0.05:
        lines = np.arange(96, dtype=np.float32) * 2.6 - 120
        bands = np.zeros_like(x)
        for slope, values in zip((0.06, -0.09), table, strict=True):
            bands += np.interp(y + np.float32(slope) * x, lines, values).astype(np.float32)
        window = np.exp(-((x / 52) ** 4) - ((y - 8) / 30) ** 2)
        total += bands * window * near * np.float32(scanner.petrous_hu * gain * 0.7)
    if chance < scanner.streak_rate:
        across = (x * np.float32(np.cos(angle)) + y * np.float32(np.sin(angle)) - np.float32(offset)) / np.float32(
            width
        )
        total += np.exp(-(across**2)) * np.float32(scanner.streak_hu * gain * (1 if sign < 0.75 else -1))
    total = total * np.clip(-cavity, 0, 1)
    return enlarge(np.asarray(total, np.float32)[None], g.coarse_step)[0]


BLUR_SHARE = 0.6  # standard deviation of the edge blur, in kernel sizes


def soften(plane: Plane, geometry: Geometry, scanner: Scanner) -> Plane:
    """The slice as the reconstruction kernel shows it: edges blurred, so that brain beside bone reads as dense as blood."""
    sigma = BLUR_SHARE * scanner.kernel_mm / geometry.pixel_mm
    return gaussian_filter(plane, sigma, truncate=3.0, output=np.float32)


def add_noise(plane: Plane, rng: np.random.Generator, geometry: Geometry, scanner: Scanner) -> Plane:
    """The slice with its noise, stronger at the middle of the field and in thin slices; HU."""
    n = geometry.matrix
    mm = (np.arange(n, dtype=np.float32) - 0.5 * (n - 1)) * np.float32(geometry.pixel_mm / 90)
    strength = np.float32(0.75) + np.float32(0.45) * np.exp(-(mm[:, None] ** 2) - mm[None] ** 2)
    strength = strength * np.float32(scanner.noise_hu * np.sqrt(5.0 / geometry.spacing_mm) ** 0.5)
    return plane + strength * noise_plane(rng, geometry, scanner.kernel_mm)
