"""One patient's head as numbers: sizes, ages, tissue densities and the seeds of its folds; the same in each of the patient's studies.

Frame: millimetres, x to the patient's left, y to the back, z to the crown, the origin between the thalami (about the anterior
commissure's height). HU of tissues: Barrett & Keat 2004; blood at 50 to 90 HU by haematocrit: Bergström 1977, 10.1007/BF00328042.
"""

from dataclasses import dataclass

import numpy as np

from ich_seq.phantom.fields import Field, NoiseCube, Waves


@dataclass(frozen=True)
class Head:
    """Sizes in mm, densities in HU; `atrophy` runs from 0 (young, tight sulci) to 1 (old, wide ones)."""

    half_width_mm: float
    half_length_mm: float
    half_height_mm: float
    egg: float
    skull_mm: float
    scalp_mm: float
    atrophy: float
    ventricle: float
    ventricle_tilt: float
    tentorium_top_mm: float
    csf_hu: float
    grey_hu: float
    white_hu: float
    bone_hu: float
    diploe_hu: float
    muscle_hu: float
    sinus_hu: float
    dura_hu: float
    dura_mm: float
    aeration: float
    waves: Waves
    folds: NoiseCube
    cells: NoiseCube
    slow: NoiseCube

    def warp(self, x: Field, y: Field, z: Field) -> tuple[Field, Field, Field]:
        """Points of this head, in mm, moved into the frame in which the anatomy is written down."""
        dx, dy, dz = self.waves(x, y, z)
        return x + dx, y + dy, z + dz


def draw_head(rng: np.random.Generator, plain: bool = False) -> Head:
    """A head drawn at random; `plain` (no mimics) gives it neither dense blood in its sinuses nor thick dura."""
    atrophy = float(rng.beta(1.6, 1.8))
    size = rng.normal(1.0, 0.03)
    haematocrit_hu = rng.normal(0.0, 1.0)
    base_hu = rng.normal(0.0, 1.3)
    sinus_hu = 42.0 if plain else float(np.clip(60.0 + 9.0 * haematocrit_hu, 42.0, 80.0))
    dura_hu, dura_mm = (44.0, 0.5) if plain else (float(rng.uniform(46, 80)), float(rng.gamma(4.0, 0.13) + 0.5))
    return Head(
        half_width_mm=float(size * rng.normal(67.0, 2.0)),
        half_length_mm=float(size * rng.normal(83.0, 2.5)),
        half_height_mm=float(size * rng.normal(80.0, 2.5)),
        egg=float(rng.uniform(0.03, 0.09)),
        skull_mm=float(np.clip(rng.normal(6.8, 1.1), 4.6, 9.5)),
        scalp_mm=float(np.clip(rng.normal(6.5, 1.4), 4.0, 10.0)),
        atrophy=atrophy,
        ventricle=float(np.clip(rng.normal(0.85 + 0.5 * atrophy, 0.14), 0.65, 1.7)),
        ventricle_tilt=float(rng.normal(0.0, 0.07)),
        tentorium_top_mm=float(rng.normal(3.0, 1.5)),
        csf_hu=float(rng.normal(6.5, 1.2)),
        grey_hu=float(37.5 + base_hu + rng.normal(0, 0.5)),
        white_hu=float(29.5 + base_hu + rng.normal(0, 0.6)),
        bone_hu=float(rng.normal(1350, 120)),
        diploe_hu=float(rng.uniform(380, 780)),
        muscle_hu=float(rng.normal(52, 4)),
        sinus_hu=sinus_hu,
        dura_hu=dura_hu,
        dura_mm=min(dura_mm, 1.6),
        aeration=float(rng.uniform(0.0, 1.0)),
        waves=Waves(rng, (95.0, 190.0), 2.4, 4),
        folds=NoiseCube(rng, 23.0, 0.22),
        cells=NoiseCube(rng, 9.0, 0.35),
        slow=NoiseCube(rng, 34.0, 0.45),
    )
