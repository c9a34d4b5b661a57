import csv
import hashlib
import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import nibabel.nifti1
import numpy as np
import pydicom
import pytest

from ich_seq.errors import OutputError
from ich_seq.labels import LABEL_NAMES, SUBTYPE_NAMES
from ich_seq.phantom import cohort as cohort_module
from ich_seq.phantom.cohort import CohortSpec, read_truth, render_study, write_cohort

CODES = {"epidural": 1, "intraparenchymal": 2, "intraventricular": 3, "subarachnoid": 4, "subdural": 5}


def digests(folder: Path) -> dict[str, str]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def masks(cohort: Path) -> Iterator[tuple[dict[str, Any], np.ndarray, np.ndarray]]:
    for study in read_truth(cohort)["studies"]:
        image = nibabel.nifti1.load(cohort / study["mask"])
        yield study, np.asarray(image.dataobj), np.asarray(image.affine)


def test_ml_in_the_truth_are_those_counted_in_the_masks(cohort: Path):
    seen = 0
    for study, mask, affine in masks(cohort):
        voxel_mm3 = abs(np.linalg.det(affine[:3, :3]))
        for name, code in CODES.items():
            counted = (mask == code).sum() * voxel_mm3 / 1000
            # the affine is stored in float32; the truth in steps of 0.0001 mL
            assert study["ml"][name] == pytest.approx(counted, rel=1e-5, abs=1e-4)
            seen += counted > 0
    assert seen >= 5


def test_slice_labels_follow_the_area_rule_counted_from_the_masks(cohort: Path, small_spec: CohortSpec):
    for study, mask, affine in masks(cohort):
        pixel_mm2 = np.linalg.norm(affine[:3, 0]) * np.linalg.norm(affine[:3, 1])
        for k, entry in enumerate(study["slices"]):
            want = {name: int((mask[:, :, k] == code).sum() * pixel_mm2 >= 20.0) for name, code in CODES.items()}
            want["any"] = int(any(want.values()))
            assert entry["labels"] == want
    assert read_truth(cohort)["spec"]["min_area_mm2"] == small_spec.min_area_mm2 == 20.0


def test_every_planned_bleed_is_there_within_the_range_of_volumes(cohort: Path):
    for study in read_truth(cohort)["studies"]:
        present = {name for name in SUBTYPE_NAMES if study["ml"][name] > 0}
        assert present == set(study["subtypes"])
        assert all(0.3 <= study["ml"][name] <= 80.0 for name in present)


def test_the_table_is_kaggles_and_joins_on_the_stem(cohort: Path):
    with (cohort / "stage_2_train.csv").open() as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["ID", "Label"]
    stems = sorted(path.stem for path in (cohort / "stage_2_train").iterdir())
    assert [row[0] for row in rows[1:]] == [f"{stem}_{name}" for stem in stems for name in LABEL_NAMES]
    truth = {
        f"{entry['file']}_{name}": str(value)
        for study in read_truth(cohort)["studies"]
        for entry in study["slices"]
        for name, value in entry["labels"].items()
    }
    assert dict(rows[1:]) == truth


def test_files_lie_in_random_order(cohort: Path):
    study = read_truth(cohort)["studies"][0]
    order = [entry["file"] for entry in study["slices"]]
    assert order != sorted(order)
    assert all(len(stem) == 12 and int(stem[3:], 16) >= 0 for stem in order)


def test_two_processes_write_the_bytes_that_one_writes(cohort: Path, small_spec: CohortSpec, tmp_path: Path):
    assert digests(write_cohort(small_spec, tmp_path / "two", jobs=2)) == digests(cohort)


def test_a_study_in_memory_is_the_one_on_disk(cohort: Path, small_spec: CohortSpec):
    study = render_study(small_spec, 1)
    record = read_truth(cohort)["studies"][1]
    for k in (0, 9, len(study.hu) - 1):
        file = pydicom.dcmread(cohort / "stage_2_train" / f"{record['slices'][k]['file']}.dcm")
        hu = np.maximum(file.pixel_array.astype(float) + float(file.RescaleIntercept), -1024)
        np.testing.assert_array_equal(hu, study.hu[k])
    np.testing.assert_array_equal(next(m for s, m, _ in masks(cohort) if s["index"] == 1), study.mask.T)


def test_the_mask_lies_on_the_slices(cohort: Path):
    study, mask, affine = next(masks(cohort))
    for k in (0, 7):
        file = pydicom.dcmread(cohort / "stage_2_train" / f"{study['slices'][k]['file']}.dcm")
        left_posterior = np.array(file.ImagePositionPatient, float) * (-1, -1, 1)
        # positions are written to 1e-6 mm, the affine in float32 of numbers up to about 300 mm
        np.testing.assert_allclose(affine @ (0, 0, k, 1), [*left_posterior, 1], atol=1e-4)
        ras = np.array(file.ImageOrientationPatient, float).reshape(2, 3) * (-1, -1, 1)
        np.testing.assert_allclose(affine[:3, 0], ras[0] * float(file.PixelSpacing[1]), atol=1e-4)
        np.testing.assert_allclose(affine[:3, 1], ras[1] * float(file.PixelSpacing[0]), atol=1e-4)
    assert mask.shape == (file.Columns, file.Rows, len(study["slices"]))


def test_an_interrupted_cohort_goes_on_to_the_same_bytes(
    cohort: Path, small_spec: CohortSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    out = tmp_path / "again"

    def stop(done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_cohort(small_spec, out, on_study=stop)
    assert not (out / "truth.json").exists()
    rendered = []
    real = cohort_module.render_plan
    monkeypatch.setattr(
        cohort_module, "render_plan", lambda spec, plan: rendered.append(plan.index) or real(spec, plan)
    )
    assert digests(write_cohort(small_spec, out)) == digests(cohort)
    assert rendered == [2, 3]


def test_a_complete_cohort_is_left_alone(cohort: Path, small_spec: CohortSpec):
    before = {path: path.stat().st_mtime_ns for path in cohort.rglob("*")}
    assert write_cohort(small_spec, cohort) == cohort
    assert {path: path.stat().st_mtime_ns for path in cohort.rglob("*")} == before


def test_a_folder_with_another_cohort_is_refused(cohort: Path, small_spec: CohortSpec):
    with pytest.raises(OutputError, match="holds another cohort"):
        write_cohort(small_spec.model_copy(update={"seed": 6}), cohort)


def test_a_folder_with_something_else_is_refused(small_spec: CohortSpec, tmp_path: Path):
    (tmp_path / "letter.txt").write_text("not ours")
    with pytest.raises(OutputError, match="not a cohort of ours"):
        write_cohort(small_spec, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def test_a_place_that_is_no_folder_is_refused_in_one_line(small_spec: CohortSpec, tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write") as caught:
        write_cohort(small_spec, tmp_path / "file" / "cohort")
    assert "\n" not in caught.value.message


def test_a_full_disk_is_said_so(small_spec: CohortSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def full(path: Path, data: bytes, partial: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cohort_module, "_put", full)
    with pytest.raises(OutputError, match="disk is full"):
        write_cohort(small_spec, tmp_path / "out")


def test_patients_keep_their_head_and_bleeds_over_studies():
    spec = CohortSpec(studies=3, seed=0, matrices=(128,), slices=(20, 20), studies_per_patient=5.0)
    first, second = render_study(spec, 0), render_study(spec, 1)
    assert (first.plan.patient, first.plan.visit, second.plan.patient, second.plan.visit) == (0, 0, 0, 1)
    assert first.truth.facts["head"] == second.truth.facts["head"]
    kinds = [[mimic["kind"] for mimic in study.truth.facts["mimics"]] for study in (first, second)]
    assert set(kinds[0]) & set(kinds[1])
    assert first.geometry.tilt_deg != second.geometry.tilt_deg


def test_a_thousand_names_are_all_different():
    from ich_seq.phantom.writer import _scramble

    names = {_scramble(study * 1024 + k, b"key") for study in range(50) for k in range(60)}
    assert len(names) == 3000


def test_truth_is_json_that_any_parser_reads(cohort: Path):
    truth = json.loads((cohort / "truth.json").read_text())
    assert truth["mask_codes"] == CODES
    positions = [entry["position_mm"][2] for entry in truth["studies"][0]["slices"]]
    assert all(b > a for a, b in pairwise(positions))
