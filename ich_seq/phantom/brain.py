"""What fills the cavity: brain with its folds, ventricles, cisterns, deep grey nuclei, falx, tentorium, venous sinuses.

Signed distances in mm, negative inside, at points in the anatomy's frame (`head.py`).
"""

from dataclasses import dataclass

import numpy as np

from ich_seq.phantom.fields import Field, capsule, ellipsoid, smooth_union, tube
from ich_seq.phantom.head import Head

FOLD_MM = np.float32(3.6)  # mm per unit of the fold noise: a wave of 23 mm has a mean slope of 0.27 per mm


@dataclass(frozen=True)
class Brain:
    """Distances in mm: `ventricle` and `spaces` (sulci, fissures, cisterns) hold CSF, `grey` is cortex and nuclei."""

    ventricle: Field
    spaces: Field
    grey: Field
    folia: Field
    dura: Field
    sinus: Field
    midline: Field
    tentorium: Field
    infra: Field


def tentorium_height(head: Head, ax: Field, y: Field) -> Field:
    """Height of the tentorium in mm: highest behind the midbrain, falling to the transverse sinuses."""
    return np.float32(head.tentorium_top_mm) - np.float32(0.40) * ax - np.float32(0.27) * (y - 20)


def ventricle_distance(head: Head, x: Field, y: Field, z: Field) -> Field:
    """Lateral ventricles with their horns, third ventricle, aqueduct and fourth ventricle."""
    ax = np.abs(x)
    grow = np.float32(head.ventricle)
    side = (grow * (1 + np.float32(head.ventricle_tilt) * np.tanh(x * np.float32(0.2)))).astype(np.float32)
    flat = (ax - 1.0) / np.float32(0.78) + 1.0
    front = [(14, -37, 7, 1.6), (10, -29, 10, 4.0), (6.5, -17, 13, 5.0), (7.5, -5, 18, 5.2)]
    horn = tube(flat, y, z, [*front, (11, 9, 22, 5.4), (18, 22, 19, 6.0)])
    atrium = tube(ax, y, z, [(18, 22, 18, 6.0), (23, 33, 11, 6.8), (25, 45, 8, 4.4), (23, 59, 7, 1.6)])
    temporal = tube(ax, y, z, [(24, 33, 6, 4.5), (31, 20, -8, 2.6), (32, 2, -18, 1.9), (28, -12, -21, 2.2)])
    lateral = smooth_union(horn, smooth_union(atrium, temporal, 3.0), 3.0)
    lateral = lateral - np.float32(4.2) * (side - 1.0) - np.float32(0.2)
    caudate = ellipsoid(ax, y, z, (16.5, -22, 8), (6.0, 12, 11))
    lateral = np.maximum(lateral, -caudate)
    third = ellipsoid(x, y, z, (0, -1, -1), (1.6 + 1.4 * head.ventricle, 15, 12))
    third = np.maximum(third, -ellipsoid(x, y, z, (0, 2, 2), (9, 2.5, 2.5)))
    aqueduct = tube(x, y, z, [(0, 12, -4, 1.0), (0, 21, -16, 1.1), (0, 25, -28, 1.6)])
    roof = (z + 38) * np.float32(0.25)
    fourth = ellipsoid(x, y + roof, z, (0, 27.5, -38), (8.0 + 2 * head.ventricle, 6.2, 11))
    fourth = np.maximum(fourth, (21.5 + 0.28 * ax) - y) - np.float32(0.4 * (head.ventricle - 1))
    return np.minimum(np.minimum(lateral, third), np.minimum(aqueduct, fourth))


def _stem(x: Field, y: Field, z: Field) -> Field:
    """Midbrain, pons and medulla."""
    midbrain = ellipsoid(x, y, z, (0, 9, -12), (17, 13, 15))
    pons = ellipsoid(x, y, z, (0, 11, -36), (19, 14, 15))
    return smooth_union(smooth_union(midbrain, pons, 5.0), capsule(x, y, z, (0, 15, -46, 9.5), (0, 15, -100, 6.5)), 5.0)


def _cisterns(head: Head, x: Field, y: Field, z: Field) -> Field:
    """Suprasellar, ambient, quadrigeminal, prepontine, cerebellopontine, vermian and great cisterns."""
    ax = np.abs(x)
    wide = 0.75 + 0.6 * head.atrophy
    star = ellipsoid(ax, y, z, (0, -14, -21), (13 * wide, 11 * wide, 9))
    arms = capsule(ax, y, z, (6, -20, -20, 3.4), (36, -20, -12, 1.3 * wide))
    front = capsule(ax, y, z, (0, -22, -20, 3.0), (0, -48, -14, 1.2 * wide))
    star = smooth_union(star, np.minimum(arms, front), 4.0)
    stem = _stem(x, y, z)
    half = np.float32(0.75 + 0.55 * head.atrophy)
    ring = np.maximum(np.maximum(np.abs(stem - half) - half, z + 3), np.float32(5.0) - y - np.float32(0.25) * ax)
    ring = np.maximum(ring, np.where(z > -24, np.float32(-1), np.float32(99)))
    plate = tube(ax, y, z, [(0, 26, -3, 3.2 * wide), (8, 25, -3, 2.4 * wide), (15, 18, -6, 1.4 * wide)])
    vermis = ellipsoid(ax, y, z, (0, 36, -2), (6 * wide, 10, 4))
    great = ellipsoid(ax, y, z, (0, 58, -70), (15 * wide, 12, 8))
    angle = capsule(ax, y, z, (15, -2, -42, 2.6), (30, 10, -42, 2.2 * wide))
    pontine = ellipsoid(ax, y, z, (0, -4, -36), (14, 4.0 * wide, 16))
    low = np.maximum(np.minimum(np.minimum(great, angle), pontine), z + 18)
    canal = np.maximum(np.maximum(np.sqrt(x * x + (y - 15) ** 2) - 14, -stem), z + 62)
    spaces = np.minimum(np.minimum(star, np.minimum(ring, plate)), np.minimum(np.minimum(vermis, low), canal))
    return np.maximum(spaces, np.float32(0.3) - stem)


def _sylvian(head: Head, ax: Field, y: Field, z: Field) -> Field:
    """The Sylvian fissure from the surface to the insula, and the cleft over the insula."""
    half = np.float32(0.5 + 1.5 * head.atrophy)
    lip = np.abs(z - np.float32(0.18) * (y + 10) + 2 - 2 * np.sin(ax * np.float32(0.25)))
    entry = np.maximum(lip - half, np.maximum(np.float32(35.0) - ax, np.abs(y + 4) - 24))
    bend = (
        ax
        - np.float32(36.5)
        + np.float32(0.006) * (y + 8) ** 2
        - np.float32(0.9) * np.sin(y * np.float32(0.37) + z * np.float32(0.3))
    )
    cleft = np.maximum(np.abs(bend) - half * np.float32(0.8), ellipsoid(ax, y, z, (37, -6, 2), (9, 21, 15)))
    return np.minimum(entry, cleft)


def _midline(head: Head, x: Field, y: Field, z: Field, infra: Field) -> tuple[Field, Field]:
    """The fissure between the hemispheres, and the falx in it; both end above the corpus callosum."""
    callosum = np.sqrt(((y + 2) / 42) ** 2 + ((z - 3) / 29) ** 2)
    fissure = np.maximum(np.abs(x) - np.float32(0.7 + 1.0 * head.atrophy), (1 - callosum) * 29)
    fissure = np.maximum(fissure, np.where(y > 0, -infra + 1, -z - 24))
    edge = np.sqrt(((y - 2) / 52) ** 2 + ((z - 2) / 38) ** 2)
    falx = np.maximum(np.abs(x) - np.float32(0.5 + 0.5 * head.dura_mm), (1 - edge) * 40)
    return fissure, np.maximum(falx, np.where(y > 20, -infra, -z - 18))


def _sinuses(x: Field, y: Field, z: Field, cavity: Field, tent: Field, falx_x: Field) -> Field:
    """Superior sagittal, straight, transverse and sigmoid sinuses, and the torcula."""
    ax = np.abs(x)
    sagittal = np.maximum(np.abs(falx_x) - np.float32(0.55) * np.minimum(cavity, 0) - 4.6, -cavity - 8.0)
    sagittal = np.maximum(sagittal, np.where(y > 40, -tent - 3, 5 - z))
    straight = np.sqrt(falx_x * falx_x + (tent - 1.5) ** 2) - np.float32(2.4)
    straight = np.maximum(straight, np.float32(30.0) - y)
    transverse = np.maximum(np.sqrt(tent * tent + (cavity + 3) ** 2) - np.float32(4.0), np.float32(22.0) - y)
    sigmoid = capsule(ax, y, z, (57, 34, -30, 4.5), (44, 22, -60, 4.5))
    torcula = np.sqrt(falx_x * falx_x * 0.4 + tent * tent + (cavity + 3.5) ** 2) - np.float32(5.0)
    torcula = np.maximum(torcula, 50 - y)
    sinus = np.minimum(np.minimum(sagittal, straight), np.minimum(transverse, np.minimum(sigmoid, torcula)))
    return np.maximum(sinus, cavity)


def _folds(head: Head, x: Field, y: Field, z: Field, depth: Field) -> tuple[Field, Field]:
    """Sulci (sheets that run inward from the surface) and the cortex along them, from one band of noise."""
    radius = np.sqrt(x * x + y * y + z * z) + np.float32(4.0)
    outward = np.exp(np.float32(0.7) * np.log(np.float32(74.0) / radius))
    fold = np.abs(head.folds.where((depth > -3) & (depth < 34), x * outward, y * outward, z * outward)) * FOLD_MM
    reach = np.float32(13.0 + 8.0 * head.atrophy) + np.float32(2.0) * np.clip(z * np.float32(0.03), -1, 1.5)
    half = np.float32(0.15 + 1.45 * head.atrophy) + np.float32(0.25) * np.clip(z * np.float32(0.02), -1, 1.3)
    sulcus = np.maximum(
        fold - np.maximum(half, 0.12) * (np.float32(1.25) - depth / reach), (depth - reach) * np.float32(0.5)
    )
    cortex = np.maximum(fold - np.float32(3.5), depth - reach - 3)
    return sulcus, np.minimum(cortex, depth - np.float32(4.0))


def _nuclei(ax: Field, y: Field, z: Field) -> Field:
    """Caudate, lentiform nucleus, thalamus and the insular cortex."""
    caudate = tube(ax, y, z, [(15.5, -24, 7, 5.6), (17, -8, 17, 3.0), (21, 12, 22, 2.0)])
    lens = ellipsoid(ax + np.float32(0.25) * (y + 4), y, z, (24.5, -5, 3), (7.5, 17, 10))
    thalamus = ellipsoid(ax - np.float32(0.3) * (y - 6), y, z, (11, 7, 6), (8.5, 14, 9.5))
    insula = np.maximum(
        np.abs(ax - 34 + np.float32(0.006) * (y + 8) ** 2) - 1.8, ellipsoid(ax, y, z, (34, -6, 2), (8, 21, 15))
    )
    return np.minimum(np.minimum(caudate, lens), np.minimum(thalamus, insula))


def brain_fields(head: Head, x: Field, y: Field, z: Field, cavity: Field) -> Brain:
    """All distances of the cavity's content; `cavity` is the endocranium's distance in mm at the same points."""
    ax = np.abs(x)
    depth = -cavity
    tent = z - tentorium_height(head, ax, y)
    infra = np.maximum(tent, np.float32(-6.0) + np.float32(0.62) * ax - y)
    gap = np.float32(0.9 + 1.6 * head.atrophy)
    fissure, falx = _midline(head, x, y, z, infra)
    sulcus, cortex = _folds(head, x, y, z, depth)
    above = np.float32(0.6) - infra
    sylvian = _sylvian(head, ax, y, z)
    cortical = np.minimum(np.minimum(sulcus, fissure), sylvian)
    spaces = np.minimum(np.minimum(np.maximum(cortical, above), depth - gap), _cisterns(head, x, y, z))
    hole = np.sqrt((x / 19) ** 2 + ((y - 6) / 25) ** 2)
    sheet = np.maximum(np.abs(tent) * np.float32(0.86) - np.float32(head.dura_mm * 0.45), (1 - hole) * 18)
    sheet = np.maximum(sheet, np.float32(-8.0) + np.float32(0.62) * ax - y)
    dura = np.maximum(np.minimum(falx, sheet), cavity)
    nuclei = _nuclei(ax, y, z)
    core = ellipsoid(ax, y, z, (19, 38, -40), (15, 15, 10))
    stem = _stem(x, y, z)
    grey = np.where(
        infra < 0,
        np.maximum((np.float32(1.0) - core) * np.float32(0.3), (np.float32(1.0) - stem) * np.float32(0.3)),
        np.minimum(cortex, nuclei),
    )
    radial = np.sqrt((ax * 0.8) ** 2 + (y - 22) ** 2 + (z + 30) ** 2)
    folia = np.where(infra < 0, np.sin(radial * np.float32(1.75)), np.float32(0)) * np.clip((stem - 2) * 0.3, 0, 1)
    sinus = _sinuses(x, y, z, cavity, tent, x)
    ventricle = np.maximum(ventricle_distance(head, x, y, z), 2.0 - depth)
    return Brain(ventricle, spaces, grey, folia.astype(np.float32), dura, sinus, falx, tent, infra)
