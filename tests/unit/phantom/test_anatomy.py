"""Where things are: a bleed lies where its name says, a mimic is never counted, tissues have the densities of the literature."""

import numpy as np
import pytest
from scipy.ndimage import binary_dilation, binary_fill_holes, distance_transform_edt, label

from ich_seq.labels import SUBTYPE_NAMES
from ich_seq.phantom.bleeds import MASK_CODES
from ich_seq.phantom.cohort import CohortSpec, PhantomStudy
from ich_seq.phantom.geometry import GeometryRange, draw_geometry
from ich_seq.phantom.head import draw_head
from ich_seq.phantom.plan import StudyPlan
from ich_seq.phantom.render import render_plan
from ich_seq.phantom.scene import Scene, build_scene

SPEC = CohortSpec(studies=99, seed=11, matrices=(128,), slices=(22, 24), noise_hu=(2.0, 3.0), volume_ml=(4.0, 40.0))


def study_with(*subtypes: str, patient: int = 1, spec: CohortSpec = SPEC) -> PhantomStudy:
    return render_plan(spec, StudyPlan(patient, patient, 0, subtypes))


@pytest.fixture(scope="module")
def scene() -> Scene:
    rng = np.random.default_rng(7)
    head = draw_head(rng)
    ranges = GeometryRange((128,), (24, 24), (2.5, 7.0), (0.0, 0.0), 0.0, 0.0)
    return build_scene(head, draw_geometry(rng, ranges, head.half_height_mm + head.skull_mm + head.scalp_mm))


def coarse_mask(study: PhantomStudy) -> np.ndarray:
    return study.mask > 0


def test_an_epidural_touches_the_inner_table_and_is_one_lens():
    study = study_with("epidural")
    k = int(study.truth.area_mm2[:, 0].argmax())
    lens = study.mask[k] == MASK_CODES["epidural"]
    bone = study.hu[k] > 250
    # its rim lies within two pixels (1.9 mm each) of bone: one for the edge's half voxel, one for the dilation
    assert (binary_dilation(bone, iterations=2) & lens).any()
    pieces = np.zeros(lens.shape, np.int32)
    label(lens, output=pieces)
    assert np.bincount(pieces.ravel())[1:].max() > 0.95 * lens.sum()
    depth = np.asarray(distance_transform_edt(~bone))[lens] * study.geometry.pixel_mm
    assert depth.max() < 35.0  # it hangs on the skull; the head's middle is twice as far


def test_a_subdural_of_the_convexity_is_longer_than_an_epidural_of_its_volume():
    def spread(subtype: str) -> float:
        for patient in range(12):
            study = study_with(subtype, patient=patient, spec=SPEC.model_copy(update={"volume_ml": (28.0, 32.0)}))
            k = int(study.truth.area_mm2[:, SUBTYPE_NAMES.index(subtype)].argmax())
            points = np.argwhere(study.mask[k] > 0) * study.geometry.pixel_mm
            return float(np.linalg.norm(points[:, None] - points[None], axis=2).max() / np.sqrt(len(points)))
        raise AssertionError

    # crescent against lens: chord over the square root of the area; a disc has 1.13, anything long has more
    assert spread("subdural") > spread("epidural")


def test_ventricular_blood_lies_in_the_ventricles_of_the_same_head():
    dry = study_with(spec=SPEC, patient=2)
    wet = study_with("intraventricular", patient=2)
    blood = wet.mask == MASK_CODES["intraventricular"]
    assert blood.sum() > 50
    # without the bleed those voxels hold CSF (about 7 HU) or its partial volume: well below white matter (about 29 HU)
    assert np.median(dry.hu[blood]) < 18.0


def test_subarachnoid_blood_lies_in_and_beside_spaces_of_csf():
    dry = study_with(patient=3)
    wet = study_with("subarachnoid", patient=3)
    blood = wet.mask == MASK_CODES["subarachnoid"]
    darker = np.median(dry.hu[blood])
    brain = (dry.hu > 20) & (dry.hu < 50)
    assert darker < np.median(dry.hu[brain])


def test_no_blood_lies_in_bone_or_outside_the_head():
    study = study_with("epidural", "subdural", "intraparenchymal", patient=4)
    blood = study.mask > 0
    assert blood.any()
    for k in np.flatnonzero(blood.any((1, 2))):
        head = np.asarray(binary_fill_holes(study.hu[k] > -300))
        assert not (blood[k] & ~head).any()
    # half a voxel of bone (1,350 HU) beside blood reads about 700 HU: more bone than that is not counted as blood
    assert np.mean(study.hu[blood] > 700) == 0


def test_mimics_are_never_in_the_mask():
    study = study_with(patient=5)
    assert len(study.truth.facts["mimics"]) > 0
    assert not study.mask.any()
    assert not study.labels.any()


def test_most_heads_have_mimics_as_dense_as_blood_of_one_or_two_slices():
    mimics = [study_with(patient=patient).truth.facts["mimics"] for patient in range(4)]
    assert all(any(50 <= mimic["hu"] <= 90 for mimic in head) for head in mimics)
    short = [mimic["last_slice"] - mimic["first_slice"] < 2 for head in mimics for mimic in head]
    assert np.mean(short) > 0.5


def test_without_mimics_there_are_none():
    study = study_with(patient=5, spec=SPEC.model_copy(update={"mimics": False}))
    assert study.truth.facts["mimics"] == []
    assert study.truth.facts["scanner"]["petrous_hu"] == 0


@pytest.mark.parametrize(
    ("tissue", "place", "low", "high"),
    [
        # densities: Barrett & Keat 2004 and Osborn's Brain; places in the head's frame (x left, y back, z up; mm)
        ("white matter of the centrum semiovale", (24, 0, 38), 24, 35),
        ("thalamus", (11, 8, 6), 32, 43),
        ("body of the lateral ventricle", (8, -4, 18), 2, 16),
        ("suprasellar cistern", (0, -14, -21), 2, 16),
        ("fourth ventricle", (0, 28, -38), 2, 18),
        ("sphenoid sinus", (7, -34, -46), -1000, -700),
        ("petrous bone", (35, 11, -41), 700, 1600),
        ("orbital fat", (33, -62, -50), -110, -40),
        ("globe", (33, -84, -40), 0, 25),
    ],
)
def test_tissues_lie_where_they_should_with_their_density(
    scene: Scene, tissue: str, place: tuple, low: float, high: float
):
    from ich_seq.phantom.paint import paint_slice

    points = np.stack([scene.fields[axis] for axis in "xyz"])
    gap = np.sum((points - np.array(place)[:, None, None, None]) ** 2, 0)
    t, y, x = np.unravel_index(int(gap.argmin()), gap.shape)
    assert gap[t, y, x] < 4**2, f"{tissue} is not in the scan"
    k, step = int(t) // scene.geometry.sub_slices, scene.geometry.coarse_step
    plane, _ = paint_slice(scene, k, [])
    row = (int(y) + scene.box.y0 - scene.boxes[k].y0) * step
    column = (int(x) + scene.box.x0 - scene.boxes[k].x0) * step
    assert low <= plane[row, column] <= high, tissue


def test_the_vault_has_two_tables_with_diploe_between_and_scalp_outside(scene: Scene):
    from ich_seq.phantom.paint import paint_slice

    n = scene.geometry.sub_slices
    heights = [scene.fields["z"][k * n, 60, 50] for k in range(scene.geometry.slices)]
    k = int(np.argmin(np.abs(np.array(heights) - 25)))
    fine = scene.geometry.coarse_step
    plane, _ = paint_slice(scene, k, [])
    middle = plane.shape[0] // 2
    profile = plane[middle, : plane.shape[1] // 2 : fine]
    bone = np.flatnonzero(profile > 300)
    assert profile[bone].max() > profile[bone[len(bone) // 2]]  # denser at the tables than between them
    assert (profile[: bone[0]] < 0).any()  # subcutaneous fat
    assert (profile[: bone[0]] > -1000).any()


def test_heads_differ_between_patients_and_left_from_right():
    first, second = study_with(patient=6), study_with(patient=7)
    assert first.truth.facts["head"] != second.truth.facts["head"]
    middle = first.hu[len(first.hu) // 2]
    assert np.abs(middle - middle[:, ::-1]).mean() > 5
