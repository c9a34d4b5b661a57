"""One study's anatomy on a coarse grid: every distance field of every sub-slice, from which bleeds are grown and slices painted."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from ich_seq.phantom.brain import brain_fields
from ich_seq.phantom.fields import FAR
from ich_seq.phantom.geometry import Geometry
from ich_seq.phantom.head import Head
from ich_seq.phantom.skull import skull_fields, vault_distance

Volume = Float32[np.ndarray, "_t _y _x"]  # unbound: slabs of several sizes meet
WHOLE_NAMES = ("cavity", "ventricle", "spaces", "midline", "tentorium", "infra")


@dataclass(frozen=True)
class Box:
    """A window of the coarse grid: rows and columns `start` to `stop` of the full coarse plane."""

    y0: int
    y1: int
    x0: int
    x1: int

    def within(self, outer: "Box") -> tuple[slice, slice]:
        """This window as slices of an array that covers `outer`."""
        return slice(self.y0 - outer.y0, self.y1 - outer.y0), slice(self.x0 - outer.x0, self.x1 - outer.x0)


@dataclass(frozen=True)
class Scene:
    """Fields indexed by sub-slice (feet to head), coarse row, coarse column inside `box`; `boxes` holds each slice's own window.

    `slabs` holds, per slice, all distances of `Skull` and (where it is near) `Brain` in mm in its own window, and the points x, y, z
    in the anatomy's frame; `fields` holds for the whole study those that bleeds grow in, 99 outside a slice's window.
    """

    head: Head
    geometry: Geometry
    box: Box
    boxes: tuple[Box, ...]
    fields: dict[str, Volume]
    slabs: tuple[dict[str, Volume], ...]

    def slab(self, name: str, index: int) -> Volume:
        """One field of slice `index` in the slice's own window: (sub-slice, y, x)."""
        return self.slabs[index][name]

    def cell_ml(self) -> float:
        """Volume of one coarse cell in mL."""
        side = self.geometry.pixel_mm * self.geometry.coarse_step
        return side * side * self.geometry.spacing_mm / self.geometry.sub_slices / 1000.0


def _axis(geometry: Geometry, start: int, stop: int) -> Float32[np.ndarray, "n"]:
    """Pixel indices of coarse grid lines `start` to `stop`."""
    return (np.arange(start, stop) * geometry.coarse_step).astype(np.float32)


def coarse_count(geometry: Geometry) -> int:
    """Grid lines of the coarse plane per axis; the last may lie beyond the image's edge."""
    return (geometry.matrix - 2) // geometry.coarse_step + 2


def _window(head: Head, geometry: Geometry, index: int) -> Box:
    """The coarse window that holds the head in one slice, with 6 mm to spare; never empty."""
    count = coarse_count(geometry)
    stride = 4
    lines = _axis(geometry, 0, count)[::stride]
    x, y, z = geometry.head_points(index, lines, lines)
    inside = vault_distance(head, x, y, z) < head.skull_mm + head.scalp_mm + 7.0
    inside |= (z < -20) & ((x / 92) ** 2 + ((y + 12) / 108) ** 2 < 1.0) & (y < 100)
    rows, columns = np.flatnonzero(inside.any((0, 2))), np.flatnonzero(inside.any((0, 1)))
    if rows.size == 0:
        middle = count // 2
        return Box(middle - 2, middle + 2, middle - 2, middle + 2)
    low = [max(int(i[0] - 1) * stride, 0) for i in (rows, columns)]
    high = [min(int(i[-1] + 1) * stride + 1, count) for i in (rows, columns)]
    return Box(low[0], high[0], low[1], high[1])


def build_scene(head: Head, geometry: Geometry) -> Scene:
    """The anatomy of one study, all sub-slices."""
    boxes = tuple(_window(head, geometry, k) for k in range(geometry.slices))
    box = Box(min(b.y0 for b in boxes), max(b.y1 for b in boxes), min(b.x0 for b in boxes), max(b.x1 for b in boxes))
    n = geometry.sub_slices
    shape = (geometry.slices * n, box.y1 - box.y0, box.x1 - box.x0)
    fields = {name: np.full(shape, FAR, np.float32) for name in (*WHOLE_NAMES, "x", "y", "z")}
    slabs = []
    for k, own in enumerate(boxes):
        points = geometry.head_points(k, _axis(geometry, own.y0, own.y1), _axis(geometry, own.x0, own.x1))
        slab = _slab(head, *head.warp(*points))
        slabs.append(slab)
        place = (slice(k * n, (k + 1) * n), *own.within(box))
        for name in fields.keys() & slab.keys():
            fields[name][place] = slab[name]
    return Scene(head, geometry, box, boxes, fields, tuple(slabs))


def _slab(head: Head, x: Volume, y: Volume, z: Volume) -> dict[str, Volume]:
    """All distances of one slice."""
    skull = skull_fields(head, x, y, z)
    slab = {"x": x, "y": y, "z": z, **vars(skull)}
    if skull.cavity.min() < 2.0:
        slab |= vars(brain_fields(head, x, y, z, skull.cavity))
    return slab
