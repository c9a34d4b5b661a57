"""Whose slices these are, and what kind of object: patients, identifiers, secondary captures, localizers, derived images."""

import pytest
from dicom_factory import generate_series_uid, make_series, make_slice, ramp_hu, set_pixels, write
from dicom_findings import codes_in, refusal_code_in, series_in, study_in

from ich_seq.dicom import ReadOptions, read_study_files
from ich_seq.errors import NoCtError
from ich_seq.volume import Volume

SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
WITH_SC = ReadOptions(allow_sc=True)
ONE_SERIES = ReadOptions(assume_one_series=True)


def whole(folder, edit=None):
    """Twelve slices, 10 mm apart: a head without anything to say."""
    return make_series(folder, 12, edit, spacing_mm=10.0)


def one_slice(keyword, value):
    def edit(dataset, index):
        if index == 5:
            setattr(dataset, keyword, value)

    return edit


def all_slices(**values):
    def edit(dataset, _index):
        for keyword, value in values.items():
            setattr(dataset, keyword, value)

    return edit


@pytest.mark.parametrize("keyword", ["PatientID", "PatientName", "PatientBirthDate"])
def test_another_value_in_any_of_three_elements_is_another_patient(tmp_path, keyword):
    def edit(dataset, index):
        dataset.PatientBirthDate = "19500101"
        one_slice(keyword, "19500102")(dataset, index)

    whole(tmp_path, edit)
    assert refusal_code_in(tmp_path) == "E-MIXED-PATIENTS"


@pytest.mark.parametrize("keyword", ["PatientID", "PatientName"])
def test_an_element_that_one_file_leaves_out_is_no_other_patient(tmp_path, keyword):
    whole(tmp_path, one_slice(keyword, ""))
    assert codes_in(tmp_path) == set()


def test_a_name_with_empty_components_at_its_end_is_the_same_name(tmp_path):
    whole(tmp_path, one_slice("PatientName", "Test^Phantom^^^"))
    assert codes_in(tmp_path) == set()


def test_files_that_nothing_ties_together_are_not_one_patient(tmp_path):
    def nobody(dataset, index):
        if index == 5:
            dataset.PatientID = dataset.PatientName = ""

    def id_or_name(dataset, index):
        setattr(dataset, ["PatientID", "PatientName"][index % 2], "")

    whole(tmp_path / "nobody", nobody)
    whole(tmp_path / "id or name", id_or_name)
    assert refusal_code_in(tmp_path / "nobody") == "E-MIXED-PATIENTS"
    assert refusal_code_in(tmp_path / "id or name") == "E-MIXED-PATIENTS"


def test_files_without_any_patient_are_one_series(tmp_path):
    whole(tmp_path, all_slices(PatientID="", PatientName=""))
    assert codes_in(tmp_path) == set()


@pytest.mark.parametrize(
    "raw", [b"\xff\xfe^\x80", b"\x1b$B;3ED\x1b(B^\x1b$BB@O:", b"A\x00B^C", b"\xe5\xb1\xb1^\xe2\x80\xae"]
)
@pytest.mark.parametrize("charset", [None, "ISO_IR 192", "NONSENSE"])
def test_names_in_any_character_set_or_none_say_nothing(tmp_path, raw, charset):
    """The name takes 12 bytes in each file, so that it can be replaced in place."""

    def edit(dataset, _index):
        dataset.PatientName = "Test^Phantom"
        if charset is not None:
            dataset.SpecificCharacterSet = charset

    paths = make_series(tmp_path, 5, edit, spacing_mm=20.0)
    for path in paths:
        path.write_bytes(path.read_bytes().replace(b"Test^Phantom", raw.ljust(12)[:12]))
    assert codes_in(tmp_path) == set()


@pytest.mark.parametrize(
    "uid", ["ID_3d2ea4e22", "../../etc/passwd", "/etc/passwd", "1." * 40 + "1", "1.2.\x01", "1..2"]
)
@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"])
def test_identifiers_that_are_no_uids_are_a_note_and_never_a_path(tmp_path, keyword, uid):
    def edit(dataset, index):
        setattr(dataset, keyword, f"{uid}{index}" if keyword == "SOPInstanceUID" else uid)

    make_series(tmp_path / "in", 5, edit, spacing_mm=20.0)
    before = sorted(tmp_path.rglob("*"))
    assert codes_in(tmp_path / "in") == {"N-UID-NONSTANDARD"}
    assert sorted(tmp_path.rglob("*")) == before


def test_files_without_series_uid_are_one_series_on_request_alone(tmp_path):
    whole(tmp_path, lambda dataset, _index: delattr(dataset, "SeriesInstanceUID"))
    assert refusal_code_in(tmp_path) == "E-NO-SERIES-UID"
    assert codes_in(tmp_path, ONE_SERIES) == {"W-ASSUMED-SERIES", "N-UID-NONSTANDARD"}
    assert len(series_in(tmp_path, ONE_SERIES)) == 12


def test_a_file_without_series_uid_is_no_slice_of_the_series_beside_it(tmp_path):
    whole(tmp_path, lambda dataset, index: index == 5 and delattr(dataset, "SeriesInstanceUID"))
    study = study_in(tmp_path)
    assert codes_in(tmp_path) == {"W-SLICE-GAP"}
    assert [candidate.reason for candidate in study.candidates if not candidate.chosen] == [
        "E-NO-SERIES-UID: No SeriesInstanceUID. "
        "Export the series again, or take the files as one series (--assume-one-series)."
    ]


@pytest.mark.parametrize(
    ("keyword", "value"),
    [("StudyDate", "00000000"), ("AcquisitionTime", "300000"), ("ContentTime", "noon"), ("PatientAge", "old")],
)
def test_dates_times_and_ages_that_are_none_say_nothing(tmp_path, keyword, value):
    whole(tmp_path, lambda dataset, _index: dataset.add_new(keyword, "LO", value))
    assert codes_in(tmp_path) == set()


@pytest.mark.parametrize("modality", ["CT", "OT"])
def test_secondary_captures_are_ct_on_request_and_with_a_warning(tmp_path, modality):
    whole(tmp_path, all_slices(SOPClassUID=SECONDARY_CAPTURE, Modality=modality))
    with pytest.raises(NoCtError, match="E-NO-CT"):
        read_study_files([tmp_path])
    assert codes_in(tmp_path, WITH_SC) == {"W-SC"}
    assert Volume(series_in(tmp_path, WITH_SC))[2][0, 0] == ramp_hu(2)[0, 0]


@pytest.mark.parametrize("values", [{"RescaleSlope": None, "RescaleIntercept": None}, {"Modality": "MR"}], ids=str)
def test_a_secondary_capture_without_rescale_or_of_another_modality_is_never_ct(tmp_path, values):
    whole(tmp_path, all_slices(SOPClassUID=SECONDARY_CAPTURE, **values))
    with pytest.raises(NoCtError, match="E-NO-CT"):
        read_study_files([tmp_path], options=WITH_SC)


def test_a_dose_page_is_not_let_in_with_the_secondary_captures(tmp_path):
    dose = all_slices(
        SOPClassUID=SECONDARY_CAPTURE, ImageType=["DERIVED", "SECONDARY", "DOSE_INFO"], SeriesInstanceUID="1.2.3"
    )
    whole(tmp_path / "ct")
    make_series(tmp_path / "dose", 1, dose)
    study = study_in(tmp_path, WITH_SC)
    assert study.chosen is not None
    assert study.chosen.series_instance_uid == generate_series_uid("a")
    assert [c.reason.split(":")[0] for c in study.candidates if not c.chosen] == ["E-DERIVED"]


def scout(folder, name, **values):
    """An upright image that lies in the series of the factory."""
    image = make_slice(0)
    image.SOPInstanceUID = f"1.2.3.{len(name)}"
    image.ImageOrientationPatient = [1, 0, 0, 0, 0, -1]
    image.ImagePositionPatient = [-100, 0, 200]
    for keyword, value in values.items():
        setattr(image, keyword, value)
    write(image, folder / name)


def test_one_or_two_upright_images_among_axial_ones_are_localizers_whatever_their_type_says(tmp_path):
    whole(tmp_path)
    scout(tmp_path, "ap")
    scout(tmp_path, "lateral", ImageOrientationPatient=[0, 1, 0, 0, 0, -1])
    assert codes_in(tmp_path) == {"D-LOCALIZER"}
    assert len(series_in(tmp_path)) == 12


def test_a_localizer_of_another_matrix_is_no_outlier_of_the_matrix(tmp_path):
    whole(tmp_path)
    image = make_slice(0)
    set_pixels(image, ramp_hu(0, 128, 64))
    scout(tmp_path, "ap", Rows=128, Columns=64, PixelData=image.PixelData)
    assert codes_in(tmp_path) == {"D-LOCALIZER"}


def test_a_whole_upright_stack_beside_the_axial_one_is_no_localizer(tmp_path):
    whole(tmp_path)
    for number in range(3):
        scout(tmp_path, "c" * (number + 1), ImagePositionPatient=[-100, 5 * number, 200])
    assert codes_in(tmp_path) == {"W-ORIENTATION-SPLIT"}


def test_a_projection_among_original_slices_is_left_out(tmp_path):
    whole(tmp_path)
    page = make_slice(3, spacing_mm=10.0)
    page.SOPInstanceUID, page.ImageType = "1.2.3.4", ["DERIVED", "SECONDARY", "MIP"]
    set_pixels(page, ramp_hu(9))
    write(page, tmp_path / "page")
    assert codes_in(tmp_path) == {"D-DERIVED"}
    assert len(series_in(tmp_path)) == 12


@pytest.mark.parametrize("kind", ["VMI", "MAT_SPECIFIC", "MAT_REMOVED", "EFF_ATOMIC_NUM", "ELECTRON_DENSITY"])
def test_multi_energy_images_are_refused_though_they_claim_hu(tmp_path, kind):
    whole(tmp_path, all_slices(ImageType=["DERIVED", "PRIMARY", "AXIAL", kind], RescaleType="HU"))
    assert refusal_code_in(tmp_path) == "E-NOT-HU"


def test_a_refusal_by_identity_names_the_files_that_are_not_as_the_others(tmp_path):
    """On the terminal only: messages, which go into results, hold counts and keywords."""

    def edit(dataset, index):
        one_slice("PatientID", "P2")(dataset, index)

    odd = whole(tmp_path / "mixed", edit)[5]
    (found,) = [each for each in study_in(tmp_path / "mixed").findings if each.code.value == "E-MIXED-PATIENTS"]
    assert found.files == (f"{odd.name}",)
    assert found.message == "Two patients in one series: another or no PatientID in 1 of 12 files"

    paths = whole(
        tmp_path / "collision", lambda dataset, index: setattr(dataset, "SOPInstanceUID", f"1.2.{index // 2}")
    )
    (found,) = [each for each in study_in(tmp_path / "collision").findings if each.code.value == "E-UID-COLLISION"]
    assert set(found.files) == {path.name for path in paths[:2]}

    def in_pairs(dataset, index):
        dataset.ImagePositionPatient = [-100.0, -110.0, 50.0 + 10 * (index // 2 * 2 if index < 2 else index)]

    paths = whole(tmp_path / "conflict", in_pairs)
    (found,) = [each for each in study_in(tmp_path / "conflict").findings if each.code.value == "E-CONFLICTING-SLICES"]
    assert set(found.files) == {path.name for path in paths[:2]}


def three_patients(folder, **values):
    """One study, as an anonymiser makes it that gives all patients one StudyInstanceUID; whole series of three patients."""
    for number in range(3):

        def edit(dataset, _index, number=number):
            dataset.StudyInstanceUID = "1.2.3"
            for keyword, value in values.items():
                setattr(dataset, keyword, value.format(number))

        make_series(folder / str(number), 12, edit, spacing_mm=10.0, uid_seed=str(number))


@pytest.mark.parametrize(
    ("values", "several"),
    [
        ({"PatientID": "P{}"}, True),
        ({"PatientBirthDate": "195{}0101"}, True),
        ({"PatientID": "", "PatientName": "N{}"}, True),
        ({"PatientID": "P", "PatientName": "N{}"}, False),
        ({"PatientID": "P"}, False),
    ],
    ids=["IDs", "birth dates", "names without IDs", "one ID, names in three spellings", "one patient"],
)
def test_series_of_several_patients_in_one_study_are_pointed_out(tmp_path, values, several):
    three_patients(tmp_path, **values)
    assert ("W-SEVERAL-PATIENTS" in codes_in(tmp_path)) is several


def test_a_series_that_is_named_is_its_own_patient(tmp_path):
    three_patients(tmp_path, PatientID="P{}")
    (study,) = read_study_files([tmp_path], series_uid=generate_series_uid("1")).studies
    assert study.chosen is not None
    assert "W-SEVERAL-PATIENTS" not in {found.code.value for found in study.chosen.findings}
