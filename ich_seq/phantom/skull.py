"""The bony head: the cavity with its three fossae, calvarium, skull base, air cells, orbits, face, scalp.

Everything is a signed distance in mm, negative inside; shapes that come in pairs are written once in |x|.
"""

from dataclasses import dataclass

import numpy as np

from ich_seq.phantom.fields import Field, capsule, ellipsoid, smooth_union, tube
from ich_seq.phantom.head import Head


@dataclass(frozen=True)
class Skull:
    """Distances in mm: `vault` to the inner table's egg, `cavity` to the endocranium, `bone`, `air`, `fat` and `globe` of orbits."""

    skin: Field
    vault: Field
    cavity: Field
    bone: Field
    air: Field
    fat: Field
    globe: Field
    muscle: Field


def vault_distance(head: Head, x: Field, y: Field, z: Field) -> Field:
    """Distance to the egg whose surface is the vault's inner table; below the origin it narrows slowly, as the head does."""
    z_slow = np.where(z > 0, z, np.float32(0.42) * z)
    widening = np.float32(1.0) + np.float32(head.egg / head.half_length_mm) * np.clip(y, -90, 60)
    radii = (head.half_width_mm, head.half_length_mm, head.half_height_mm)
    return ellipsoid(x / widening, y, z_slow, (0, 0, 0), radii)


def _base_bones(ax: Field, y: Field, z: Field) -> Field:
    """Bones that stand into the cavity: petrous pyramids, sphenoid body, dorsum sellae, clinoids, lesser wings."""
    bones = capsule(ax, y, z, (13, -4, -43, 6.0), (60, 27, -39, 11.5))
    bones = np.minimum(bones, ellipsoid(ax, y, z, (0, -30, -46), (16, 20, 14)))
    bones = np.minimum(bones, ellipsoid(ax, y, z, (0, -9, -36), (9, 2.5, 9)))
    bones = np.minimum(bones, ellipsoid(ax, y, z, (0, 2, -60), (17, 7, 20)))
    bones = np.minimum(bones, tube(ax, y, z, [(10, -24, -26, 2.2), (17, -32, -26, 2.6), (54, -40, -22, 2.0)]))
    return np.minimum(bones, tube(ax, y, z, [(0, -82, -22, 3.0), (0, -64, -21, 2.0), (0, -50, -25, 1.5)]))


def _floor(x: Field, ax: Field, y: Field, z: Field) -> Field:
    """Distance to the room above the skull base: anterior, middle and posterior fossa joined."""
    roof = np.float32(8.0) * np.exp(-(((ax - 33) / 15) ** 2) - ((y + 62) / 22) ** 2)
    anterior = (np.float32(-27.0) - np.float32(0.24) * (y + 60) + roof) - z
    middle = ellipsoid(ax, y, z, (42, -17, -27), (28, 35, 27))
    posterior = ellipsoid(x, y, z, (0, 39, -37), (61, 47, 40))
    floor = smooth_union(smooth_union(anterior, middle, 5.0), posterior, 5.0)
    canal = np.maximum(np.sqrt(x * x + (y - 15) ** 2) - 14, z + 58)
    return np.minimum(floor, canal)


def _face_bones(ax: Field, y: Field, z: Field) -> Field:
    """Zygoma, nasal septum, orbital and maxillary walls, occipital condyles with the atlas, mandible."""
    arch = tube(ax, y, z, [(40, -76, -60, 4.0), (56, -64, -58, 4.5), (66, -44, -57, 2.6), (69, -14, -54, 3.5)])
    orbit = np.abs(ellipsoid(ax, y, z, (33, -62, -40), (20, 33, 19))) - np.float32(1.0)
    orbit = np.maximum(orbit, -(y + 84))
    antrum = np.abs(ellipsoid(ax, y, z, (27, -62, -74), (16, 19, 18))) - np.float32(0.9)
    septum = np.maximum(np.abs(ax) - np.float32(1.0), np.maximum(np.abs(y + 68) - 22, np.abs(z + 58) - 34))
    condyle = ellipsoid(ax, y, z, (20, 8, -80), (8, 11, 12))
    jaw = capsule(ax, y, z, (55, -12, -62, 5.0), (52, -18, -110, 4.5))
    plates = capsule(ax, y, z, (13, -38, -60, 2.0), (15, -34, -95, 1.5))
    bones = np.minimum(np.minimum(arch, orbit), np.minimum(antrum, septum))
    return np.minimum(np.minimum(bones, condyle), np.minimum(jaw, plates))


def _air(head: Head, ax: Field, y: Field, z: Field, cells: Field) -> Field:
    """Paranasal sinuses, nasal passage, pharynx, ear canal and the cells of mastoid and ethmoid, walled by bone."""
    grow = 0.75 + 0.4 * head.aeration
    sphenoid = ellipsoid(ax, y, z, (7, -34, -46), (6.2, 11 * grow, 9 * grow))
    ethmoid = ellipsoid(ax, y, z, (8, -62, -42), (8.5, 21, 15))
    ethmoid = np.maximum(ethmoid, (np.float32(0.55) - np.abs(cells)) * np.float32(2.2))
    mastoid = ellipsoid(ax, y, z, (60, 27, -48), (12 * grow, 17 * grow, 20 * grow))
    mastoid = np.maximum(mastoid, (np.float32(0.50) - np.abs(cells)) * np.float32(2.2))
    antrum = ellipsoid(ax, y, z, (27, -62, -74), (15, 18, 17))
    frontal = ellipsoid(ax, y, z, (10, -head.half_length_mm - 3.0, -20), (11 * grow, 2.7, 12 * grow))
    nose = np.maximum(ellipsoid(ax, y, z, (7, -70, -68), (5.0, 24, 26)), np.float32(0.9) - ax * 0 - np.abs(cells))
    throat = ellipsoid(ax, y, z, (0, -30, -84), (13, 10, 20))
    canal = capsule(ax, y, z, (50, 10, -51, 3.0), (86, 8, -52, 4.0))
    air = np.minimum(np.minimum(sphenoid, ethmoid), np.minimum(mastoid, antrum))
    return np.minimum(np.minimum(air, frontal), np.minimum(np.minimum(nose, throat), canal))


def _skin(head: Head, vault: Field, ax: Field, y: Field, z: Field) -> Field:
    """Distance to the head's outer surface: scalp over the vault, face and neck below, ears, nose."""
    skin = vault - np.float32(head.skull_mm + head.scalp_mm)
    face = ellipsoid(ax, y, z, (0, -46, -74), (62, 60, 66))
    skin = smooth_union(skin, face, 12.0)
    nose = capsule(ax, y, z, (0, -98, -44, 6.0), (0, -112, -66, 9.0))
    skin = smooth_union(skin, nose, 8.0)
    ear = np.maximum(ellipsoid(ax, y, z, (83, 16, -48), (12, 15, 24)), -ellipsoid(ax, y, z, (89, 11, -48), (9, 10, 17)))
    return np.minimum(skin, ear)


def _soft(head: Head, vault: Field, ax: Field, y: Field, z: Field) -> tuple[Field, Field, Field]:
    """Orbital fat, globes with muscles and nerve, and the muscles of temple, neck and jaw."""
    fat = ellipsoid(ax, y, z, (33, -63, -40), (19, 33, 18))
    globe = ellipsoid(ax, y, z, (33, -84, -40), (12.3, 12.3, 12.3))
    nerve = capsule(ax, y, z, (31, -73, -39, 2.2), (14, -32, -32, 1.8))
    recti = np.minimum(capsule(ax, y, z, (45, -80, -40, 1.6), (20, -42, -36, 1.8)), nerve)
    recti = np.minimum(recti, capsule(ax, y, z, (20.5, -80, -40, 1.6), (15, -42, -36, 1.8)))
    recti = np.minimum(recti, capsule(ax, y, z, (33, -78, -26, 1.6), (18, -42, -31, 1.6)))
    temple = ellipsoid(ax, y, z, (head.half_width_mm + 6, -28, -26), (9, 32, 42))
    neck = ellipsoid(ax, y, z, (22, 62, -92), (34, 34, 44))
    jaw = ellipsoid(ax, y, z, (44, -18, -82), (22, 30, 36))
    throat = ellipsoid(ax, y, z, (0, -12, -92), (26, 26, 34))
    muscle = np.minimum(np.minimum(temple, neck), np.minimum(jaw, throat))
    return fat, globe, np.minimum(muscle, recti)


def skull_fields(head: Head, x: Field, y: Field, z: Field) -> Skull:
    """All distances of the bony head at points in the anatomy's frame."""
    ax = np.abs(x)
    vault = vault_distance(head, x, y, z)
    skin = _skin(head, vault, ax, y, z)
    table = np.float32(head.skull_mm) + np.float32(0.6) * np.sin(y * np.float32(0.06)) * (z > -30)
    if z.min() > 4.0:
        far = np.full_like(vault, 99.0)
        bone = np.maximum(vault - table, -vault)
        return Skull(skin, vault, vault, bone, far, far, far, _temple(head, ax, y, z))
    floor = _floor(x, ax, y, z)
    solid = _base_bones(ax, y, z)
    cavity = np.maximum(np.maximum(vault, floor), -solid)
    cells = head.cells.where((skin < 0) & (cavity > -2), x, y, z)
    low = np.float32(-52.0) - np.float32(20.0) * np.tanh((y - 10) * np.float32(1 / 35))
    ring = np.maximum(np.maximum(vault - table, -vault), low - z)
    plate = np.maximum(
        np.maximum(
            floor - np.float32(0.5) * cells - np.float32(1.3) - np.float32(1.5) * np.clip((y + 52) / 16, 0, 1), -cavity
        ),
        vault,
    )
    mastoid = ellipsoid(ax, y, z, (61, 27, -50), (14, 19, 23))
    brow = ellipsoid(x, y, z, (0, -head.half_length_mm - 1.5, -20), (32, 6.3, 18))
    bone = np.minimum(np.minimum(smooth_union(ring, brow, 8.0), plate), np.minimum(solid, mastoid))
    fat, globe, muscle = _soft(head, vault, ax, y, z)
    fat = np.maximum(fat, -cavity)
    bone = np.maximum(bone, np.float32(0.8) - np.maximum(fat, y + 80) * 0 - fat)
    bone = np.maximum(np.minimum(bone, np.maximum(_face_bones(ax, y, z), skin + 3)), -cavity)
    air = np.maximum(_air(head, ax, y, z, cells), np.float32(1.6) - cavity)
    return Skull(skin, vault, cavity, bone, air, fat, globe, muscle)


def _temple(head: Head, ax: Field, y: Field, z: Field) -> Field:
    """The temporal muscle alone, for slabs above the base."""
    return ellipsoid(ax, y, z, (head.half_width_mm + 6, -28, -26), (9, 32, 42))
