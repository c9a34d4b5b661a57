"""One study in memory: HU, mask, labels, geometry and truth, from a cohort's values and the study's index alone."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, UInt8

from ich_seq.phantom.bleeds import Bleed, BleedRange, make_bleeds
from ich_seq.phantom.fields import NoiseCube
from ich_seq.phantom.geometry import Geometry, GeometryRange, draw_geometry
from ich_seq.phantom.head import draw_head
from ich_seq.phantom.mimics import Mimic, draw_mimics, mimic_lesions
from ich_seq.phantom.paint import Lesion, paint_slice
from ich_seq.phantom.plan import StudyPlan, plan_cohort
from ich_seq.phantom.scanner import Scanner, add_noise, artefacts, draw_scanner, head_rest, soften
from ich_seq.phantom.scene import Scene, build_scene
from ich_seq.phantom.spec import CohortSpec
from ich_seq.phantom.truth import Truth, count_truth

_HEAD, _MIMICS, _BLEEDS, _GEOMETRY, _SCANNER, _NOISE = range(6)
_TRIES = 4


@dataclass(frozen=True)
class PhantomStudy:
    """`hu` is whole HU, -1024 at least; `mask` holds `bleeds.MASK_CODES`; `labels` is in the order of LABEL_NAMES; feet first.

    `signed` says which pixels are written (16-bit signed or 12-bit unsigned); `padded` whether the corners outside the scanner's
    circle are padding.
    """

    plan: StudyPlan
    hu: Float32[np.ndarray, "s y x"]
    mask: UInt8[np.ndarray, "s y x"]
    labels: UInt8[np.ndarray, "s 6"]
    geometry: Geometry
    truth: Truth
    signed: bool
    padded: bool


def _bleeds(spec: CohortSpec, plan: StudyPlan, scene: Scene, attempt: int) -> list[Bleed]:
    """A patient's bleeds in this study; a later visit shows the same ones, grown or shrunk."""
    ranges = BleedRange(spec.blood_hu, spec.isodense_share, spec.volume_ml, spec.blood_lean, spec.volume_lean)
    growth = 1.0 if plan.visit == 0 else float(spec.stream(_GEOMETRY + 50, plan.index).uniform(0.7, 1.3))
    rng = spec.stream(_BLEEDS + 10 * attempt, plan.patient)
    return make_bleeds(rng, scene, plan.subtypes, ranges, growth * (1.0 + 0.6 * attempt))


def _paint(
    scene: Scene, lesions: list[Lesion], scanner: Scanner, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """HU before noise and the mask of all slices."""
    g, step = scene.geometry, scene.geometry.coarse_step
    rest = head_rest(scene, scanner)
    hu = np.repeat(rest[None], g.slices, 0)
    mask = np.zeros(hu.shape, np.uint8)
    for k in range(g.slices):
        plane, shares = paint_slice(scene, k, lesions)
        extra = artefacts(rng, scene, k, scanner)
        if extra is not None:
            plane += extra
        y0, x0 = scene.boxes[k].y0 * step, scene.boxes[k].x0 * step
        part = hu[k, y0 : y0 + plane.shape[0], x0 : x0 + plane.shape[1]]
        ny, nx = part.shape
        part += plane[:ny, :nx] + np.float32(1000)
        shares = shares[:, :ny, :nx]
        code = np.asarray(shares.argmax(0), np.uint8) + np.uint8(1)
        mask[k, y0 : y0 + ny, x0 : x0 + nx] = np.where(shares.sum(0) >= 0.5, code, np.uint8(0))
    return hu, mask


def _facts(
    plan: StudyPlan, scene: Scene, scanner: Scanner, bleeds: list[Bleed], mimics: list[tuple[Mimic, Lesion]]
) -> dict[str, Any]:
    """What was drawn, as JSON values."""
    n, step = scene.geometry.sub_slices, scene.geometry.coarse_step
    seen = []
    for mimic, lesion in mimics:
        deepest = np.unravel_index(int(lesion.distance.argmin()), lesion.distance.shape)
        t, y, x = (int(i) + part.start for i, part in zip(deepest, lesion.place, strict=True))
        touched = np.flatnonzero((lesion.distance < 0).any((1, 2))) + lesion.place[0].start
        span = {"first_slice": int(touched[0]) // n, "last_slice": int(touched[-1]) // n}
        place = [(y + scene.box.y0) * step, (x + scene.box.x0) * step]
        seen.append({"kind": mimic.kind, "hu": round(mimic.hu, 1), **span, "slice": t // n, "row_column": place})
    drawn = [
        {"subtype": b.subtype, "seat": b.seat, "hu": round(b.hu, 1), "grown_ml": round(b.wanted_ml, 3)} for b in bleeds
    ]
    head = {
        name: round(getattr(scene.head, name), 3)
        for name in ("atrophy", "ventricle", "sinus_hu", "grey_hu", "white_hu")
    }
    acquisition = {name: round(value, 3) for name, value in asdict(scanner).items()}
    return {"subtypes": list(plan.subtypes), "bleeds": drawn, "mimics": seen, "head": head, "scanner": acquisition}


def _acceptable(spec: CohortSpec, plan: StudyPlan, truth: Truth) -> bool:
    """Whether every planned subtype is there, in a volume within the range and positive in at least one slice."""
    low, high = spec.volume_ml
    present = truth.labels.max(0)
    names = list(truth.ml)
    return all(low <= truth.ml[name] <= high and present[names.index(name)] for name in plan.subtypes)


def _bled(
    spec: CohortSpec, plan: StudyPlan, scene: Scene, scanner: Scanner, mimics: list[tuple[Mimic, Lesion]]
) -> tuple[Float32[np.ndarray, "s y x"], UInt8[np.ndarray, "s y x"], Truth]:
    """HU before noise, mask and truth; a bleed that found no room or lost it to another is drawn again, `_TRIES` - 1 times at most."""
    attempt = 0
    while True:
        bleeds = _bleeds(spec, plan, scene, attempt)
        lesions = [lesion for _, lesion in mimics] + [lesion for bleed in bleeds for lesion in bleed.lesions]
        hu, mask = _paint(scene, lesions, scanner, spec.stream(_NOISE + 20, plan.index))
        facts = _facts(plan, scene, scanner, bleeds, mimics)
        truth = count_truth(mask, scene.geometry, spec.min_area_mm2, facts)
        attempt += 1
        if attempt == _TRIES or _acceptable(spec, plan, truth):
            return hu, mask, truth


def render_plan(spec: CohortSpec, plan: StudyPlan) -> PhantomStudy:
    """One planned study. The same plan gives the same pixels."""
    head = draw_head(spec.stream(_HEAD, plan.patient), plain=not spec.mimics)
    rng = spec.stream(_GEOMETRY, plan.index)
    ranges = GeometryRange(spec.matrices, spec.slices, spec.spacing_mm, spec.tilt_deg, spec.rotation_deg, spec.shift_mm)
    geometry = draw_geometry(rng, ranges, head.half_height_mm + head.skull_mm + head.scalp_mm)
    scene = build_scene(head, geometry)
    scanner = draw_scanner(spec.stream(_SCANNER, plan.index), spec.noise_hu, spec.mimics)
    mimic_rng = spec.stream(_MIMICS, plan.patient)
    drawn = draw_mimics(mimic_rng, head, spec.spot_rate) if spec.mimics else []
    rough = NoiseCube(mimic_rng, 7.0, 0.4, 32)
    mimics = [(mimic, lesion) for mimic in drawn for lesion in mimic_lesions(mimic, scene, rough)]
    hu, mask, truth = _bled(spec, plan, scene, scanner, mimics)
    noise_rng = spec.stream(_NOISE, plan.index)
    for k in range(geometry.slices):
        hu[k] = add_noise(soften(hu[k], geometry, scanner), noise_rng, geometry, scanner)
    signed, padded = bool(rng.random() < 0.5), bool(rng.random() < 0.5)
    hu = _whole_hu(hu, signed and padded)
    return PhantomStudy(plan, hu, mask, truth.labels, geometry, truth, signed, signed and padded)


def circle(matrix: int) -> Bool[np.ndarray, "y x"]:
    """True inside the circle that the scanner reconstructs."""
    centred = np.arange(matrix, dtype=np.float32) - 0.5 * (matrix - 1)
    return centred[:, None] ** 2 + centred[None] ** 2 <= (0.5 * matrix) ** 2


def _whole_hu(hu: Float32[np.ndarray, "s y x"], padded: bool) -> Float32[np.ndarray, "s y x"]:
    """HU as a 12-bit scanner stores them: whole, from -1024 to 3071; -1024 outside the circle of a padded study."""
    hu = np.clip(np.rint(hu), -1024, 3071)
    if padded:
        hu[:, ~circle(hu.shape[1])] = -1024
    return hu


def render_study(spec: CohortSpec, index: int) -> PhantomStudy:
    """Study `index` of a cohort in memory, the same pixels as `write_cohort` writes.

    Raises:
        ValueError: no such study in the cohort.
    """
    if not 0 <= index < spec.studies:
        raise ValueError(f"index {index}: the cohort has studies 0 to {spec.studies - 1}")
    return render_plan(spec, plan_cohort(spec)[index])
