"""A scene's fields turned into HU: each slice's sub-slices painted structure by structure, each in its own window, then averaged."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32

from ich_seq.phantom.fields import FAR, coverage, enlarge
from ich_seq.phantom.scene import Scene, Volume

Plane = Float32[np.ndarray, "y x"]


@dataclass(frozen=True)
class Lesion:
    """A bleed or a mimic: `code` is its mask value (0 for mimics and oedema), `distance` in mm over the part `place` of the scene.

    `place` holds the sub-slices, coarse rows and columns of the scene's arrays; `hu` is the density; `soft_mm` the width of the edge;
    `texture` in HU is added, where given.
    """

    code: int
    hu: float
    soft_mm: float
    place: tuple[slice, slice, slice]
    distance: Volume
    texture: Volume | None = None
    opacity: float = 1.0

    def cut(self, values: Volume, wanted: tuple[slice, slice, slice], empty: float) -> Volume | None:
        """`values` (given over `place`) over another part of the scene, `empty` where there are none; None where the two are apart."""
        low = [max(own.start, other.start) for own, other in zip(self.place, wanted, strict=True)]
        high = [min(own.stop, other.stop) for own, other in zip(self.place, wanted, strict=True)]
        if any(a >= b for a, b in zip(low, high, strict=True)):
            return None
        out = np.full([part.stop - part.start for part in wanted], empty, np.float32)
        source = tuple(slice(a - own.start, b - own.start) for a, b, own in zip(low, high, self.place, strict=True))
        target = tuple(slice(a - part.start, b - part.start) for a, b, part in zip(low, high, wanted, strict=True))
        out[target] = values[source]
        return out


def bounds(near: Bool[np.ndarray, "t y x"], margin: int = 1) -> tuple[slice, slice, slice] | None:
    """The smallest block that holds every true cell, `margin` cells wider each way; None where there is none."""
    found = [np.flatnonzero(near.any(axes)) for axes in ((1, 2), (0, 2), (0, 1))]
    if found[0].size == 0:
        return None
    ends = [
        (max(int(i[0]) - margin, 0), min(int(i[-1]) + 1 + margin, n)) for i, n in zip(found, near.shape, strict=True)
    ]
    return slice(*ends[0]), slice(*ends[1]), slice(*ends[2])


class Brush:
    """Paints on the fine grid of one slice's window: (sub-slice, row, column) in HU."""

    def __init__(self, scene: Scene, index: int) -> None:
        self.step = scene.geometry.coarse_step
        self.edge_mm = max(1.1 * scene.geometry.pixel_mm, 0.9)
        self.scene, self.index = scene, index
        box = scene.boxes[index]
        n = scene.geometry.sub_slices
        self.shape = (n, (box.y1 - box.y0 - 1) * self.step + 1, (box.x1 - box.x0 - 1) * self.step + 1)
        self.canvas = np.full(self.shape, -1000.0, np.float32)

    def window(self, field: Volume, width_mm: float) -> tuple[slice, slice] | None:
        """The coarse rows and columns where a shape can touch a pixel, or None where it is nowhere in this slice."""
        near = field < 0.5 * width_mm
        rows, columns = np.flatnonzero(near.any((0, 2))), np.flatnonzero(near.any((0, 1)))
        if rows.size == 0:
            return None
        y0, x0 = max(rows[0] - 1, 0), max(columns[0] - 1, 0)
        return slice(y0, min(rows[-1] + 2, field.shape[1])), slice(x0, min(columns[-1] + 2, field.shape[2]))

    def fine(self, window: tuple[slice, slice]) -> tuple[slice, slice, slice]:
        """The fine pixels that a coarse window covers."""
        rows, columns = ((slice(w.start * self.step, (w.stop - 1) * self.step + 1)) for w in window)
        return slice(None), rows, columns

    def paint(
        self, target: Volume, field: Volume, hu: "float | Volume", width_mm: float = 0.0, opacity: float = 1.0
    ) -> None:
        """Lay `hu` (one value, or a coarse field) over `target` wherever the shape covers it."""
        width = max(width_mm, self.edge_mm)
        window = self.window(field, width)
        if window is None:
            return
        place = self.fine(window)
        share = coverage(enlarge(field[:, window[0], window[1]], self.step), width)
        if opacity < 1.0:
            share *= np.float32(opacity)
        value = enlarge(hu[:, window[0], window[1]], self.step) if isinstance(hu, np.ndarray) else np.float32(hu)
        part = target[place]
        part += share * (value - part)


def _head_tissues(brush: Brush) -> None:
    """Skin, subcutaneous fat, muscle and the soft parts of face and orbits."""
    head, get = brush.scene.head, brush.scene.slab
    k = brush.index
    skin, vault = get("skin", k), get("vault", k)
    brush.paint(brush.canvas, skin, 38.0)
    brush.paint(brush.canvas, skin + 2.4, -95.0)
    brush.paint(brush.canvas, vault - head.skull_mm - 0.8, head.muscle_hu - 12, 1.0, 0.5)
    if get("z", k).min() < -15:
        brush.paint(brush.canvas, np.maximum(vault + 1.0, skin + 4.0), 22.0)
    brush.paint(brush.canvas, get("fat", k), -78.0)
    brush.paint(brush.canvas, get("globe", k), 42.0)
    brush.paint(brush.canvas, get("globe", k) + 1.5, 10.0)
    brush.paint(brush.canvas, np.maximum(get("muscle", k), skin + 2.6), head.muscle_hu)


def _brain(brush: Brush) -> tuple[Volume, tuple[slice, slice]] | None:
    """The cavity's content in HU on the fine grid, and its coarse window; None where the slice shows no cavity."""
    head, get, k = brush.scene.head, brush.scene.slab, brush.index
    window = brush.window(get("cavity", k), 2.0)
    if window is None:
        return None

    def up(name: str) -> Volume:
        return enlarge(get(name, k)[:, window[0], window[1]], brush.step)

    hu = coverage(up("grey"), 1.6)
    hu *= np.float32(head.grey_hu - head.white_hu)
    hu += np.float32(head.white_hu)
    infra = get("infra", k)[:, window[0], window[1]]
    if infra.min() < 0:
        hu += up("folia") * np.float32(1.3)
    fluid = np.minimum(up("spaces"), up("ventricle"))
    hu += coverage(fluid, brush.edge_mm) * (np.float32(head.csf_hu) - hu)
    for name, value in (("dura", head.dura_hu), ("sinus", head.sinus_hu)):
        field = get(name, k)[:, window[0], window[1]]
        brush.paint(hu, field, value)
    return hu, window


def _bone_and_air(brush: Brush) -> None:
    """Skull with diploe, and the air cells in it, over all that lies beneath."""
    head, get, k = brush.scene.head, brush.scene.slab, brush.index
    bone, vault = get("bone", k), get("vault", k)
    brush.paint(brush.canvas, bone, head.bone_hu)
    speckle = np.sin(get("x", k) * 0.9 + get("z", k) * 0.7) * np.cos(get("y", k) * 0.8) * np.float32(120) + np.float32(
        head.diploe_hu
    )
    brush.paint(brush.canvas, np.maximum(bone + np.float32(0.27 * head.skull_mm), -vault), speckle, 1.2)
    brush.paint(brush.canvas, get("air", k), -990.0)


def paint_slice(scene: Scene, index: int, lesions: Sequence[Lesion]) -> tuple[Plane, Float32[np.ndarray, "code y x"]]:
    """One slice averaged over its sub-slices, in HU + 1000 outside air, in the slice's fine window, and the share of each voxel that
    each of the five bleed codes fills (later lesions displace earlier ones)."""
    brush = Brush(scene, index)
    _head_tissues(brush)
    shares = np.zeros((5, *brush.shape[1:]), np.float32)
    content = _brain(brush)
    if content is not None:
        hu, window = content
        place = brush.fine(window)
        cover = coverage(enlarge(scene.slab("cavity", index)[:, window[0], window[1]], brush.step), brush.edge_mm)
        _lesions(brush, hu, window, lesions, (cover, shares))
        part = brush.canvas[place]
        part += cover * (hu - part)
    _bone_and_air(brush)
    return brush.canvas.mean(0), shares


def _lesions(
    brush: Brush, hu: Volume, window: tuple[slice, slice], lesions: Sequence[Lesion], out: tuple[Volume, Volume]
) -> None:
    """Paint lesions over the cavity's content and count what share of each voxel each bleed code fills."""
    cover, shares = out
    scene, k, n = brush.scene, brush.index, brush.scene.geometry.sub_slices
    rows, columns = (
        slice(own.start + part.start, own.start + part.stop)
        for own, part in zip(scene.boxes[k].within(scene.box), window, strict=True)
    )
    wanted = (slice(k * n, (k + 1) * n), rows, columns)
    fine = brush.fine(window)
    for lesion in lesions:
        field = lesion.cut(lesion.distance, wanted, float(FAR))
        if field is None:
            continue
        texture = None if lesion.texture is None else lesion.cut(lesion.texture, wanted, 0.0)
        value = lesion.hu if texture is None else texture + np.float32(lesion.hu)
        brush.paint(hu, field, value, lesion.soft_mm, lesion.opacity)
        own = brush.window(field, brush.edge_mm) if lesion.code else None
        if own is None:
            continue
        place = brush.fine(own)
        share = coverage(enlarge(field[:, own[0], own[1]], brush.step), brush.edge_mm) * cover[place]
        part = shares[:, fine[1], fine[2]][:, place[1], place[2]]
        mean = share.mean(0)
        part *= 1 - mean
        part[lesion.code - 1] += mean
