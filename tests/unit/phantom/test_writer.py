import re
import shutil
import subprocess
from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.config import disable_value_validation
from pydicom.uid import UID

from ich_seq.phantom.cohort import CohortSpec, PhantomStudy, read_truth, render_study
from ich_seq.phantom.writer import PADDING, dicom_bytes, name_study

# Attributes of RSNA 2019's files, as in the challenge's data: nothing else is in them.
RSNA_KEYWORDS = {
    *("SOPInstanceUID", "Modality", "PatientID", "StudyInstanceUID", "SeriesInstanceUID", "StudyID"),
    *(
        "ImagePositionPatient",
        "ImageOrientationPatient",
        "SamplesPerPixel",
        "PhotometricInterpretation",
        "Rows",
        "Columns",
    ),
    *("PixelSpacing", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "WindowCenter", "WindowWidth"),
    *("RescaleIntercept", "RescaleSlope", "PixelData"),
}


def studies(**values) -> list[PhantomStudy]:
    spec = CohortSpec(studies=12, seed=2, matrices=(64,), slices=(20, 20), **values)
    return [render_study(spec, index) for index in range(8)]


@pytest.fixture(scope="module")
def rendered() -> list[PhantomStudy]:
    return studies()


def written(study: PhantomStudy, index: int, spec: CohortSpec | None = None) -> pydicom.FileDataset:
    spec = spec or CohortSpec()
    return pydicom.dcmread(BytesIO(dicom_bytes(spec, study, name_study(spec, study), index)))


def test_hu_survive_signed_and_unsigned_pixels_and_padding(rendered: list[PhantomStudy]):
    kinds = set()
    for study in rendered:
        file = written(study, 11)
        bits = (file.BitsStored, file.HighBit, file.PixelRepresentation)
        assert bits == ((16, 15, 1) if study.signed else (12, 11, 0))
        stored = file.pixel_array.astype(int)
        hu = stored * float(file.RescaleSlope) + float(file.RescaleIntercept)
        outside = stored == PADDING
        np.testing.assert_array_equal(hu[~outside], study.hu[11][~outside])
        assert outside.any() == study.padded
        assert (study.hu[11][outside] == -1024).all()
        kinds.add((study.signed, study.padded))
    assert kinds == {(True, True), (True, False), (False, False)}


def test_geometry_is_that_of_a_tilted_gantry():
    for study in studies(tilt_deg=(5.0, 20.0))[:3]:
        files = [written(study, k) for k in range(20)]
        place = np.array([f.ImagePositionPatient for f in files], float)
        row, column = np.array(files[0].ImageOrientationPatient, float).reshape(2, 3)
        # PS3.3 C.7.6.2.1.1: unit vectors at right angles; written to six digits
        assert [row @ row, column @ column, row @ column] == pytest.approx([1, 1, 0], abs=2e-6)
        step = np.diff(place, axis=0)
        # the table moves along z only, from the feet to the head
        assert np.abs(step[:, :2]).max() == 0
        assert step[:, 2].min() > 0
        tilt = float(files[0].GantryDetectorTilt)
        normal = np.cross(row, column)
        assert normal[2] == pytest.approx(np.cos(np.deg2rad(tilt)), abs=2e-6)
        # spacing is measured along the normal; the tilt in the header has one decimal, as drawn
        assert step @ normal == pytest.approx(float(files[0].SliceThickness), abs=1e-3)


def test_identifiers_are_valid_and_each_instance_has_its_own(rendered: list[PhantomStudy]):
    spec = CohortSpec()
    seen = set()
    for study in rendered:
        names = name_study(spec, study)
        for uid in (names.study_uid, names.series_uid, names.frame_uid, *names.sop_uids):
            assert UID(uid).is_valid
            assert uid.startswith("2.25.")
            seen.add(uid)
        assert all(re.fullmatch(r"ID_[0-9a-f]{9}", stem) for stem in names.files)
    assert len(seen) == len(rendered) * (20 + 3)


def test_instance_number_is_present_and_empty(rendered: list[PhantomStudy]):
    file = written(rendered[0], 0)
    assert "InstanceNumber" in file
    assert file.InstanceNumber is None


def test_rsna_like_headers_hold_rsnas_attributes_and_nothing_else(rendered: list[PhantomStudy]):
    with disable_value_validation():
        file = written(rendered[0], 3, CohortSpec(rsna_like=True))
        keywords = {element.keyword for element in file}
        identifiers = [file.SOPInstanceUID, file.StudyInstanceUID, file.SeriesInstanceUID, file.PatientID]
    assert keywords == RSNA_KEYWORDS
    assert "InstanceNumber" not in file
    for identifier, digits in zip(identifiers, (9, 10, 10, 8), strict=True):
        assert re.fullmatch(rf"ID_[0-9a-f]{{{digits}}}", identifier)


def test_rsna_like_attributes_are_those_of_the_real_files(real_data: Path):
    path = next((real_data / "rsna_slices").glob("*.dcm"))
    with disable_value_validation():
        keywords = {element.keyword for element in pydicom.dcmread(path)}
    assert keywords == RSNA_KEYWORDS


def test_dciodvfy_finds_no_error(cohort: Path):
    if shutil.which("dciodvfy") is None:
        pytest.skip("Debian tool dciodvfy is missing")
    for study in read_truth(cohort)["studies"]:
        for entry in (study["slices"][0], study["slices"][-1]):
            path = cohort / "stage_2_train" / f"{entry['file']}.dcm"
            done = subprocess.run(["dciodvfy", path], capture_output=True, text=True, check=False)
            assert "Error" not in done.stderr + done.stdout
            assert done.returncode == 0
