"""What looks like blood and is not: calcified plexus, pineal, basal ganglia and falx, dense vessels, small dense spots, bony ridges.

Each is a few millimetres to two centimetres across and lies in the density of blood or just above it, so that it cannot be told
from a bleed by its HU or size in one slice; its place, its symmetry and its one or two slices tell it.

Source of places and frequencies: Yalcin et al. 2016, 10.1016/j.radi.2015.09.008 (physiological intracranial calcification on CT).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ich_seq.phantom.fields import Field, NoiseCube, Triple, ellipsoid, tube
from ich_seq.phantom.head import Head
from ich_seq.phantom.paint import Lesion, bounds
from ich_seq.phantom.scene import Scene

VESSEL = "dense vessel"


@dataclass(frozen=True)
class Mimic:
    """One mimic in the anatomy's frame: ellipsoids (centre, radii in mm) or a tube, with density in HU."""

    kind: str
    hu: float
    centres: tuple[Triple, ...]
    radii: Triple
    opacity: float = 1.0


def _both(rng: np.random.Generator, place: Triple, jitter: float, both: float) -> tuple[Triple, ...]:
    """A place on the left and, at the chance `both`, on the right; else on one side."""
    centres = [tuple(np.array(place) * (side, 1, 1) + rng.normal(0, jitter, 3)) for side in (-1, 1)]
    keep = centres if rng.random() < both else [centres[int(rng.integers(2))]]
    return tuple((float(c[0]), float(c[1]), float(c[2])) for c in keep)


def _typical(rng: np.random.Generator) -> list[Mimic]:
    """Calcifications at their usual places."""
    found = []

    def size(low: float, high: float) -> Triple:
        r = rng.uniform(low, high)
        return (float(r * rng.uniform(0.7, 1.2)), float(r * rng.uniform(0.8, 1.4)), float(r * rng.uniform(0.6, 1.1)))

    def dense() -> float:
        return float(52 + rng.gamma(1.6, 22))

    if rng.random() < 0.65:
        found.append(Mimic("choroid plexus", dense(), _both(rng, (22, 32, 11), 1.5, 0.8), size(2.5, 6.0)))
    if rng.random() < 0.65:
        found.append(Mimic("pineal", dense(), ((float(rng.normal(0, 0.5)), 25.0, 2.0),), size(2.0, 4.5)))
    if rng.random() < 0.30:
        found.append(
            Mimic("basal ganglia", float(rng.uniform(48, 85)), _both(rng, (19, -5, 3), 1.0, 0.85), size(3.0, 7.5), 0.8)
        )
    for _ in range(rng.poisson(1.2)):
        place = (float(rng.normal(0, 0.4)), float(rng.uniform(-62, 50)), float(rng.uniform(46, 66)))
        radii = (float(rng.uniform(1.5, 3.6)), float(rng.uniform(5, 16)), float(rng.uniform(2.5, 6)))
        found.append(Mimic("falx", dense(), (place,), radii))
    if rng.random() < 0.35:
        found.append(Mimic("tentorium", dense(), _both(rng, (19, 22, -9), 2.0, 0.5), (4.0, 8.0, 2.2)))
    return found


def _random_spots(rng: np.random.Generator, rate: float) -> list[Mimic]:
    """Flat dense spots anywhere above the base: cortical veins, old calcified scars, cavernomas, bony spurs of the vault."""
    spots = []
    for _ in range(rng.poisson(rate)):
        azimuth, height = rng.uniform(0, 2 * np.pi), rng.uniform(-12, 62)
        reach = np.sqrt(max(1 - (height / 80) ** 2, 0.05)) * (rng.uniform(0.35, 0.9) if rng.random() < 0.5 else 0.97)
        place = (float(64 * reach * np.sin(azimuth)), float(80 * reach * np.cos(azimuth)), float(height))
        flat = rng.uniform(3.0, 10.0)
        radii = (float(flat * rng.uniform(0.6, 1.4)), float(flat * rng.uniform(0.6, 1.4)), float(rng.uniform(1.2, 3.0)))
        spots.append(Mimic("dense spot", float(rng.uniform(50, 90)), (place,), radii))
    return spots


def draw_mimics(rng: np.random.Generator, head: Head, spot_rate: float) -> list[Mimic]:
    """A patient's mimics: the same in each study of the patient."""
    found = _typical(rng) + _random_spots(rng, spot_rate)
    vessel_hu = float(np.clip(head.sinus_hu - 2 + rng.normal(0, 3), 40, 74))
    found.append(Mimic(VESSEL, vessel_hu, ((0.0, -14.0, -30.0),), (1.6, 1.6, 1.6)))
    for _ in range(rng.poisson(1.2)):
        azimuth = rng.uniform(-0.45, 0.45) * np.pi
        height = rng.uniform(-20, 50)
        flat = np.sqrt(max(1 - (height / 80) ** 2, 0.1))
        place = (float(69 * flat * np.sin(azimuth)), float(-86 * flat * np.cos(azimuth)), float(height))
        radii = (float(rng.uniform(6, 16)), float(rng.uniform(4, 9)), float(rng.uniform(2, 5)))
        found.append(Mimic("bony ridge", float(rng.uniform(60, 220)), (place,), radii))
    return found


def _vessels(x: Field, y: Field, z: Field, radius: float) -> Field:
    """Basilar, carotid and middle cerebral arteries."""
    ax = np.abs(x)
    basilar = tube(x, y, z, [(0.5, -2, -50, radius), (0, -5, -22, radius)])
    middle = tube(ax, y, z, [(8, -20, -24, radius), (14, -21, -17, radius), (36, -21, -13, radius * 0.8)])
    return np.minimum(basilar, middle)


def mimic_lesions(mimic: Mimic, scene: Scene, noise: NoiseCube) -> list[Lesion]:
    """What is painted for one mimic, one lesion a centre; nothing of it ever enters the mask."""
    found = []
    for centre in mimic.centres:
        a, b, c = mimic.radii
        reach = (a + 8.0, b + 8.0, c + 8.0) if mimic.kind != VESSEL else (48.0, 24.0, 34.0)
        place = _near(scene, centre, reach)
        if place is None:
            continue
        x, y, z = (scene.fields[axis][place] for axis in "xyz")
        if mimic.kind == VESSEL:
            shape = _vessels(x, y, z, float(mimic.radii[0]))
        else:
            shape = ellipsoid(x, y, z, centre, mimic.radii) + noise(x, y, z) * np.float32(0.18 * min(mimic.radii))
        distance = np.maximum(shape, scene.fields["cavity"][place])
        if distance.min() < 0:
            found.append(Lesion(0, mimic.hu, 1.8, place, distance, opacity=mimic.opacity))
    return found


def _near(scene: Scene, centre: Triple, reach: Triple) -> tuple[slice, slice, slice] | None:
    """The part of the scene around a point; looked for on every second sub-slice and fourth cell, with room for what that misses."""
    near: Any = True
    for axis, middle, wide in zip("xyz", centre, reach, strict=True):
        near = near & (np.abs(scene.fields[axis][::2, ::4, ::4] - np.float32(middle)) < wide + 4.0)
    rough = bounds(near, 1)
    if rough is None:
        return None
    shape = scene.fields["x"].shape
    parts = (
        slice(r.start * step, min((r.stop - 1) * step + 1, n))
        for r, step, n in zip(rough, (2, 4, 4), shape, strict=True)
    )
    t, y, x = parts
    return t, y, x
