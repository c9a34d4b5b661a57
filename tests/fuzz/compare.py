"""Whether an image is what a file says: turned to the usual display, its padding read as air, its 12 bits unwrapped."""

import math
from typing import Any

import numpy as np

from fuzz.facts import Facts

AIR_HU = -1024.0


def differing(hu: np.ndarray, stated: np.ndarray, facts: Facts, tolerance: float) -> np.ndarray:
    """Where HU are neither what the file says nor padding that was read as air."""
    odd = np.abs(hu - stated) > tolerance * facts.slope[0] + 1e-6 * np.abs(stated)
    if not odd.any():
        return odd
    padding = stated < AIR_HU
    first, last = (word if isinstance(word, int) else None for word in facts.padding)
    if first is not None and facts.slope and facts.intercept:
        edges = sorted(_as_pixel(e, facts) for e in (first, first if last is None else last))
        low, high = (edge * facts.slope[0] + facts.intercept[0] for edge in edges)
        if high <= -1000 or low >= 3071:  # padding is never among tissue, whatever a header says
            padding |= (stated >= low) & (stated <= high)
    return odd & ~((hu == AIR_HU) & padding)


def _as_pixel(value: int, facts: Facts) -> float:
    """A padding value with the sign that PixelRepresentation gives it, whatever VR it was written with. Source: PS3.3 C.7.5.1.1.2."""
    word = int(value) & 0xFFFF
    return float(word - 0x10000 if facts.layout[5] == 1 and word >= 0x8000 else word)


def wrapped(hu: np.ndarray, facts: Facts) -> bool:
    """RSNA's 12-bit wrap: air at 3096 on the border, and HU that are (stored + 1000) modulo 4096 - 1000."""
    stored = facts.stored
    border = np.concatenate([stored[0], stored[-1], stored[:, 0], stored[:, -1]])
    usual = np.bincount(border.astype(np.int64)).argmax()
    undone = ((stored + 1000) % 4096 - 1000).astype(np.float32)
    return bool(usual > 2800 and any((way.shape == hu.shape and (way == hu).all()) for way in every_way(undone)))


def every_way(image: np.ndarray) -> list[np.ndarray]:
    return [turned[::up, ::left] for turned in (image, image.T) for up in (1, -1) for left in (1, -1)]


def turned(image: np.ndarray, orientation: Any) -> list[np.ndarray]:
    """The image turned so that columns run to the patient's left (+x) and rows to the back (+y). Source: PS3.3 C.7.6.2.1.1."""
    if not count(orientation, 6):
        return [image]
    along_row, along_column = np.array(orientation[:3]), np.array(orientation[3:])
    ways = []
    for turned, right, down in ((image, along_row, along_column), (image.T, along_column, along_row)):
        for up in (1, -1):
            for left in (1, -1):
                ways.append((left * right[0] + up * down[1], turned[::up, ::left]))
    best = max(fit for fit, _ in ways)
    return [way for fit, way in ways if fit >= best - 1e-9]


def count(numbers: Any, count: int) -> bool:
    return isinstance(numbers, tuple) and len(numbers) == count and all(math.isfinite(n) for n in numbers)
