"""Bleeds of the five subtypes, each grown where anatomy puts it until it fills its volume.

A bleed is a field in mm that is sampled on the coarse grid inside its allowed region; the level whose inside holds the wanted number
of cells is its surface. So the volume is met whatever the shape, and a bleed can never leave the compartment that names it.

Sources: shapes and places: Osborn's Brain, 2nd ed., ch. 2; densities 50 to 90 HU, isodense with anaemia or after a week: Bergström
1977, 10.1007/BF00328042; seats of intraparenchymal bleeds: Qureshi 2001, 10.1056/NEJM200105103441907.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ich_seq import labels
from ich_seq.phantom.fields import FAR, NoiseCube, Number, Triple
from ich_seq.phantom.paint import Lesion, bounds
from ich_seq.phantom.scene import Scene, Volume

MASK_CODES = {name: code for code, name in enumerate(labels.SUBTYPE_NAMES, start=1)}
# Where two subtypes meet, the later one in this order keeps the voxel: ventricular blood is not parenchymal, and blood under the
# skull is neither in the brain nor in a sulcus.
PRECEDENCE = ("intraparenchymal", "subarachnoid", "intraventricular", "subdural", "epidural")


@dataclass(frozen=True)
class BleedRange:
    """What a bleed is drawn from: blood in HU, share that is almost isodense, volumes in mL (on a logarithmic scale).

    A lean, 0 to 1, says where in its range the mean lies.
    """

    blood_hu: tuple[float, float]
    isodense_share: float
    volume_ml: tuple[float, float]
    blood_lean: float
    volume_lean: float


@dataclass(frozen=True)
class Bleed:
    """One bleed: `wanted_ml` before partial volume, its seat in words, and what is painted (oedema first, blood last)."""

    subtype: str
    seat: str
    hu: float
    wanted_ml: float
    lesions: tuple[Lesion, ...]


@dataclass(frozen=True)
class _Shape:
    """`field` is grown up to a level inside `region` (negative inside); `scale` turns field minus level into mm."""

    seat: str
    field: Volume
    region: Volume
    scale: "Volume | float" = 1.0


def _pick(rng: np.random.Generator, weights: dict[str, float]) -> str:
    names = list(weights)
    share = np.array([weights[name] for name in names])
    return names[int(rng.choice(len(names), p=share / share.sum()))]


def _inside(noise: NoiseCube, scene: Scene) -> Volume:
    """The noise at the scene's points within the cavity, 0 elsewhere."""
    f = scene.fields
    return noise.where(f["cavity"] < 2, f["x"], f["y"], f["z"])


def _parenchymal(rng: np.random.Generator, scene: Scene, noise: NoiseCube, ml: float) -> _Shape:
    """Basal ganglia, thalamus, lobe, cerebellum or pons; a lobed, tilted ellipsoid."""
    seats = {"putamen": 0.33, "thalamus": 0.13, "lobe": 0.38, "cerebellum": 0.10, "pons": 0.06}
    seat, f = _pick(rng, seats), scene.fields
    side = rng.choice((-1.0, 1.0))
    if seat == "lobe":
        azimuth, height = rng.uniform(0, 2 * np.pi), rng.uniform(0, 48)
        reach = rng.uniform(0.5, 0.72) * np.sqrt(max(1 - (height / 80) ** 2, 0.2))
        centre = (60 * reach * np.sin(azimuth) + 6 * side, 76 * reach * np.cos(azimuth), height)
    else:
        places = {"putamen": (26, -4, 4), "thalamus": (12, 8, 6), "cerebellum": (22, 42, -38), "pons": (3, 9, -35)}
        centre = tuple(np.array(places[seat]) * (side, 1, 1) + rng.normal(0, (2, 4, 3)))
    point = [f[axis] - np.float32(c) for axis, c in zip("xyz", centre, strict=True)]
    turn = np.linalg.qr(rng.standard_normal((3, 3)))[0] @ np.diag(1 / rng.uniform(0.75, 1.35, 3))
    parts = [sum(np.float32(turn[i, j]) * point[i] for i in range(3)) for j in range(3)]
    radius = np.sqrt(parts[0] ** 2 + parts[1] ** 2 + parts[2] ** 2)
    lobes = _inside(noise, scene) * np.clip(radius * np.float32(0.12), 0, 2.5)
    if seat in ("cerebellum", "pons"):
        wall = np.maximum(f["infra"] + 2, f["cavity"] + 3)
    else:
        wall = np.maximum(1.5 - f["infra"], f["cavity"] + np.float32(3.0))
        wall = np.maximum(wall, np.float32(1.5) - np.float32(np.sign(centre[0])) * f["x"])
    return _Shape(seat, radius + lobes, np.maximum(wall, np.float32(0.5) - f["ventricle"]))


def _ventricular(rng: np.random.Generator, scene: Scene, noise: NoiseCube, ml: float) -> _Shape:
    """A layer that settles in the occipital horns of a lying patient, or a clot that fills one part of the ventricles."""
    f = scene.fields
    seat = _pick(rng, {"layering": 0.5, "one side": 0.3, "third and fourth": 0.2})
    region = f["ventricle"] - np.float32(0.3)
    wobble = _inside(noise, scene)
    if seat == "layering":
        field = -f["y"] + np.float32(rng.normal(0, 0.08)) * f["x"] + np.float32(0.6) * wobble
        region = np.maximum(region, -f["z"] - 6)
        return _Shape(seat, field, region)
    if seat == "one side":
        side = np.float32(rng.choice((-1.0, 1.0)))
        centre = np.array((12 * side, rng.uniform(-25, 35), 14))
        region = np.maximum(region, np.float32(0.5) - side * f["x"])
    else:
        centre = np.array((0, rng.uniform(0, 24), rng.uniform(-32, -4)))
        region = np.maximum(region, np.abs(f["x"]) - 9)
    squares = [(f[axis] - np.float32(c)) ** 2 for axis, c in zip("xyz", centre, strict=True)]
    return _Shape(seat, np.sqrt(squares[0] + squares[1] + squares[2]) + 3 * wobble, region)


def _subarachnoid(rng: np.random.Generator, scene: Scene, noise: NoiseCube, ml: float) -> _Shape:
    """Cisterns around a burst aneurysm, the sulci of a convexity, or one Sylvian fissure."""
    f = scene.fields
    seat = _pick(rng, {"basal cisterns": 0.40, "convexity": 0.40, "sylvian": 0.20})
    side = rng.choice((-1.0, 1.0))
    if seat == "convexity":
        azimuth, height = rng.uniform(0.2, 0.8) * np.pi * side, rng.uniform(12, 62)
        reach = np.sqrt(max(1 - (height / 80) ** 2, 0.1))
        centre = (62 * reach * np.sin(azimuth), 78 * reach * np.cos(azimuth), height)
    elif seat == "sylvian":
        centre = (40 * side, -10, -2)
    else:
        centre = (rng.normal(0, 5), -14, -20)
    squares = [(f[axis] - np.float32(c)) ** 2 for axis, c in zip("xyz", centre, strict=True)]
    field = np.sqrt(squares[0] + squares[1] + squares[2] * np.float32(1.3)) + 5 * _inside(noise, scene)
    swell = np.float32(rng.uniform(0.8, 1.5))
    region = np.maximum(f["spaces"] - swell, f["cavity"] + np.float32(0.4))
    region = np.maximum(region, np.float32(1.0) - f["ventricle"])
    return _Shape(seat, field, region, 1.0)


def _spread(ml: Number, thick_mm: Number, slender: Number, most_mm: Number) -> tuple[float, float]:
    """Half axes in mm of an elliptic film of a volume and a greatest thickness: V = pi a b T / 2; the shorter is held to `most_mm`."""
    short = min(float(np.sqrt(2000 * ml / (np.pi * thick_mm * slender))), most_mm)
    return float(max(short * slender, 10.0)), float(max(short, 8.0))


def _cap(scene: Scene, seat: Triple, reach: tuple[Number, Number]) -> tuple[Volume, Volume]:
    """1 - (r / reach)^2 over the inner table around a seat (azimuth, height, side), and the points' side."""
    azimuth, height, side = seat
    f = scene.fields
    flat = np.sqrt(np.maximum(1 - (height / 82) ** 2, 0.1))
    centre = (64 * flat * np.sin(azimuth) * side, -80 * flat * np.cos(azimuth), height)
    along = (f["x"] - np.float32(centre[0])) ** 2 + (f["y"] - np.float32(centre[1])) ** 2
    up = (f["z"] - np.float32(centre[2])) ** 2
    cap = 1 - along * np.float32(reach[0] ** -2) - up * np.float32(reach[1] ** -2)
    return cap, np.float32(side) * f["x"]


def _subdural(rng: np.random.Generator, scene: Scene, noise: NoiseCube, ml: float) -> _Shape:
    """A crescent along one hemisphere, a film on the falx, or one on the tentorium."""
    f = scene.fields
    seat = _pick(rng, {"convexity": 0.68, "falx": 0.18, "tentorium": 0.14})
    seat = seat if ml < 10 else "convexity"  # more blood than this does not stay on the falx or the tentorium alone
    side = float(rng.choice((-1.0, 1.0)))
    if seat == "convexity":
        place = (rng.uniform(0.25, 0.75) * np.pi, rng.uniform(8, 45), side)
        cap, lateral = _cap(scene, place, _spread(ml, rng.uniform(4, 13), rng.uniform(1.4, 2.2), 62.0))
        region = np.maximum(f["cavity"], np.maximum(np.float32(2.5) - lateral, 1.5 - f["infra"]))
        depth = -f["cavity"]
    elif seat == "falx":
        centre, reach = (rng.uniform(-45, 50), rng.uniform(34, 60)), _spread(ml / 1.6, rng.uniform(3.0, 7.0), 1.6, 28.0)
        cap = (
            1 - ((f["y"] - np.float32(centre[0])) / reach[0]) ** 2 - ((f["z"] - np.float32(centre[1])) / reach[1]) ** 2
        )
        depth = np.float32(side) * f["x"]
        region = np.maximum(np.maximum(f["cavity"] + 0.5, f["midline"] - 12), np.maximum(-depth, 2 - f["infra"]))
    else:
        centre, reach = (rng.uniform(22, 40) * side, rng.uniform(28, 55)), _spread(ml, rng.uniform(3.5, 7.0), 1.2, 32.0)
        cap = (
            1 - ((f["x"] - np.float32(centre[0])) / reach[1]) ** 2 - ((f["y"] - np.float32(centre[1])) / reach[0]) ** 2
        )
        depth = f["tentorium"] * np.float32(0.87)
        region = np.maximum(np.maximum(f["cavity"] + 0.5, -depth), 3.0 - np.float32(side) * f["x"])
        region = np.maximum(region, np.float32(-4.0) + np.float32(0.62) * np.abs(f["x"]) - f["y"])
    cap = np.maximum(cap * (1 + np.float32(0.12) * _inside(noise, scene)), np.float32(0.02))
    return _Shape(seat, depth / cap, np.maximum(region, (np.float32(0.03) - cap) * 40), cap)


def _epidural(rng: np.random.Generator, scene: Scene, noise: NoiseCube, ml: float) -> _Shape:
    """A lens under the temporal, parietal or frontal bone, or under the occipital bone of the posterior fossa."""
    f = scene.fields
    seat = _pick(rng, {"temporal": 0.5, "parietal": 0.25, "frontal": 0.15, "posterior fossa": 0.10})
    angle = {
        "temporal": (0.42, 0.55),
        "parietal": (0.58, 0.75),
        "frontal": (0.15, 0.32),
        "posterior fossa": (0.8, 0.92),
    }[seat]
    height = {"temporal": (-18, 12), "parietal": (20, 50), "frontal": (5, 35), "posterior fossa": (-45, -28)}[seat]
    side = float(rng.choice((-1.0, 1.0)))
    place = (rng.uniform(*angle) * np.pi, rng.uniform(*height), side)
    reach = float((2000 * ml / (np.pi * rng.uniform(0.45, 0.75))) ** (1 / 3))
    cap, lateral = _cap(scene, place, (reach, reach * rng.uniform(0.85, 1.0)))
    cap = np.maximum(cap * (1 + np.float32(0.05) * _inside(noise, scene)), np.float32(0.02))
    wall = 1.5 - f["infra"] if seat != "posterior fossa" else f["infra"] + np.float32(1.5)
    region = np.maximum(
        np.maximum(f["cavity"], wall), np.maximum(np.float32(2.0) - lateral, (np.float32(0.03) - cap) * 40)
    )
    return _Shape(seat, -f["cavity"] / cap, region, cap)


_GROWERS: dict[str, Callable[[np.random.Generator, Scene, NoiseCube, float], _Shape]] = {
    "epidural": _epidural,
    "intraparenchymal": _parenchymal,
    "intraventricular": _ventricular,
    "subarachnoid": _subarachnoid,
    "subdural": _subdural,
}
# Thin and thick: a lens or a clot is seldom tiny, a film of blood in sulci seldom large. Limits in mL within the cohort's range.
_USUAL_ML = {
    "epidural": (2.0, 80.0),
    "intraparenchymal": (0.3, 80.0),
    "intraventricular": (0.4, 40.0),
    "subarachnoid": (0.8, 40.0),
    "subdural": (1.5, 80.0),
}


def _leaning(rng: np.random.Generator, lean: float) -> float:
    """A number between 0 and 1 whose mean is `lean`; spread almost evenly at 0.5."""
    return float(rng.beta(2.4 * lean, 2.4 * (1 - lean)))


def blood_hu(rng: np.random.Generator, ranges: BleedRange, grey_hu: float, shift_hu: float) -> float:
    """Density of one bleed in HU: within the range, or (at the isodense share) 5 to 11 HU above grey matter."""
    low, high = ranges.blood_hu
    if rng.random() < ranges.isodense_share:
        return float(grey_hu + rng.uniform(5.0, 11.0))
    return float(np.clip(low + (high - low) * _leaning(rng, ranges.blood_lean) + shift_hu, low, high))


def _grow(scene: Scene, shape: _Shape, wanted_ml: float) -> tuple[Volume, float]:
    """Distance to the bleed's surface in mm, and the volume in mL that it could take (less where the region is full)."""
    allowed = shape.field[shape.region < 0]
    cells = round(wanted_ml / scene.cell_ml())
    cells = max(min(cells, int(0.9 * allowed.size)), 1)
    if allowed.size == 0:
        return np.full_like(shape.field, FAR), 0.0
    level = np.float32(np.partition(allowed, cells - 1)[cells - 1])
    distance = np.maximum((shape.field - level) * shape.scale, shape.region)
    return np.asarray(distance, np.float32), cells * scene.cell_ml()


def make_bleed(
    rng: np.random.Generator, scene: Scene, subtype: str, ranges: BleedRange, growth: float, shift_hu: float
) -> Bleed:
    """One bleed of a subtype, drawn at random; `growth` multiplies its volume (a patient's later study shows the same bleed)."""
    low = max(ranges.volume_ml[0], _USUAL_ML[subtype][0])
    high = max(min(ranges.volume_ml[1], _USUAL_ML[subtype][1]), low)
    drawn = low * (high / low) ** _leaning(rng, ranges.volume_lean)
    hu = blood_hu(rng, ranges, scene.head.grey_hu, shift_hu)
    noise = NoiseCube(rng, float(rng.uniform(14, 26)), 0.4, 32)
    texture_hu, oedema_mm = rng.uniform(1.0, 4.5), rng.uniform(1.0, 9.0)
    wanted = float(np.clip(drawn * growth, low, high))
    shape = _GROWERS[subtype](rng, scene, noise, wanted)
    distance, taken = _grow(scene, shape, wanted)
    lesions = []
    place = bounds(distance < 2.0)
    if place is not None:
        points = [scene.fields[axis][place] * np.float32(1.7) for axis in "zxy"]
        soft = 1.6 if subtype == "intraparenchymal" else 1.2
        if subtype == "intraparenchymal":
            lesions += _oedema(scene, distance, oedema_mm * min(wanted / 5, 1) + 0.5)
        lesions.append(
            Lesion(MASK_CODES[subtype], hu, soft, place, distance[place], noise(*points) * np.float32(texture_hu))
        )
    return Bleed(subtype, shape.seat, hu, taken, tuple(lesions))


def _oedema(scene: Scene, distance: Volume, width_mm: float) -> list[Lesion]:
    """A dark rim around a parenchymal bleed."""
    place = bounds(distance < width_mm + 3)
    if place is None:
        return []
    rim = np.maximum(distance[place] - np.float32(width_mm), scene.fields["cavity"][place] + 2)
    rim = np.maximum(rim, 1.0 - scene.fields["ventricle"][place])
    return [Lesion(0, scene.head.white_hu - 8, 4.0, place, rim, opacity=0.8)]


def make_bleeds(
    rng: np.random.Generator, scene: Scene, subtypes: tuple[str, ...], ranges: BleedRange, growth: float
) -> list[Bleed]:
    """A patient's bleeds in order of precedence; the patient's haematocrit shifts all of them together."""
    shift = float(rng.normal(0, 4.0))
    seeds = dict(zip(PRECEDENCE, rng.spawn(len(PRECEDENCE)), strict=True))
    return [make_bleed(seeds[name], scene, name, ranges, growth, shift) for name in PRECEDENCE if name in subtypes]
