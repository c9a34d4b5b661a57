"""The HU of the real files at hand are plausible and go on from slice to slice; skipped where they are absent."""

import warnings

import pydicom
import pytest

from ich_seq.dicom import ReadOptions, read_study_files
from ich_seq.volume import Volume

SERIES = (
    "rsna_series_ID_52c1ab5a",
    "ge_tilt_variable_spacing",
    "philips_phantom_5mm",
    "labelled_studies/negative__CQ500_CT_47",
    "labelled_studies/negative__ID_515961ad20",
    "labelled_studies/intraventricular__ID_64ef94ad14",
    "labelled_studies/subdural__CQ500_CT_412",
)
BY_VALUES = {"E-HU-IMPLAUSIBLE", "W-HU-IMPLAUSIBLE", "W-RESCALE-OUTLIER", "E-NO-RESCALE", "W-NO-RESCALE"}


def settled(paths):
    (study,) = read_study_files(paths, options=ReadOptions(allow_incomplete=True)).studies
    assert study.chosen is not None
    volume = Volume(study.chosen)
    for _ in volume.read():
        pass
    return volume.settled()


def said(volume):
    return {item.code.value for item in volume.findings} & BY_VALUES


@pytest.mark.parametrize("name", SERIES)
def test_real_series_are_plausible_from_slice_to_slice(real_data, name):
    volume = settled([real_data / name])
    assert said(volume) == set()
    assert volume.left_out == frozenset()


def test_single_slices_from_vertex_to_skull_base_are_not_refused(real_data):
    paths = sorted((real_data / "rsna_slices").glob("*.dcm"))
    assert len(paths) == 25
    assert [path.name for path in paths if said(settled([path]))] == []


@pytest.mark.parametrize("name", SERIES[:3])
@pytest.mark.parametrize("at", [0, 13, -1])
def test_one_real_slice_with_its_intercept_lost_is_left_out(real_data, tmp_path, name, at):
    """Air is 24 HU there: in GE, whose values are HU as stored, because 1024 is added."""
    paths = [path for path in sorted((real_data / name).iterdir()) if path.suffix != ".csv"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # RSNA's identifiers are no UIDs
        slices = sorted((pydicom.dcmread(path) for path in paths), key=lambda each: each.ImagePositionPatient[2])
        wrong = slices[at]
        wrong.RescaleIntercept = "0" if float(wrong.RescaleIntercept) else "1024"
        uid = str(wrong.SOPInstanceUID)
        for number, dataset in enumerate(slices):
            dataset.save_as(tmp_path / f"{number}.dcm")
    volume = settled([tmp_path])
    assert said(volume) == {"W-RESCALE-OUTLIER"}
    assert uid not in volume.sop_instance_uids
    assert len(volume) == len(slices) - 1
