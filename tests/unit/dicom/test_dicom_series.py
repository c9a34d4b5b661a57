import numpy as np
import pytest
from dicom_factory import as_rsna, make_multiframe, make_series, make_slice, ramp_hu, set_pixels, shuffled_copy, write

from ich_seq.dicom import Code, Severity, read_study_files
from ich_seq.dicom.findings import finding
from ich_seq.dicom.limits import Limits
from ich_seq.errors import IncompleteSeriesError, SeriesRefusedError
from ich_seq.volume import Volume

SMALL = {"N-MATRIX"}  # every series here is 64 x 80


def only_study(folder):
    (study,) = read_study_files([folder]).studies
    return study


def chosen(folder):
    series = only_study(folder).chosen
    assert series is not None
    return series


def codes(folder, minus=SMALL):
    study = only_study(folder)
    found = study.chosen.findings if study.chosen else []
    return {item.code.value for item in found} - minus


def refusal_code(folder):
    refusal = only_study(folder).refusal
    assert isinstance(refusal, SeriesRefusedError)
    return refusal.code


def test_a_clean_series_has_nothing_to_say(tmp_path):
    make_series(tmp_path, 24)
    series = chosen(tmp_path)
    assert codes(tmp_path) == set()
    assert series.complete
    assert series.refusal is None
    assert series.spacing_mm == pytest.approx(5.0, abs=1e-9)  # positions are decimal strings


def test_slices_run_feet_to_head_whatever_the_names_and_instance_numbers(tmp_path):
    def scrambled(dataset, index):
        dataset.InstanceNumber = [3, 1, 2, 6, 5, 4][index]

    make_series(tmp_path, 6, scrambled)
    volume = Volume(chosen(tmp_path))
    assert [float(hu[8, 8]) for hu in volume] == [408.0 + 7 * s for s in range(6)]
    assert "N-INSTANCE-ORDER" in codes(tmp_path)


def test_instance_numbers_may_count_down(tmp_path):
    def down(dataset, index):
        dataset.InstanceNumber = 24 - index

    make_series(tmp_path, 24, down)
    assert codes(tmp_path) == set()


def test_shuffled_and_renamed_files_give_the_same_digest(tmp_path):
    paths = make_series(tmp_path / "one", 6)
    other = shuffled_copy(paths, tmp_path / "two")
    assert Volume(chosen(tmp_path / "one")).pixel_digest() == Volume(chosen(other)).pixel_digest()


def test_rsna_identifiers_are_accepted_without_a_warning(tmp_path):
    make_series(tmp_path, 24, as_rsna)
    assert codes(tmp_path) == {"N-UID-NONSTANDARD"}
    np.testing.assert_array_equal(Volume(chosen(tmp_path)).array(), [ramp_hu(s) for s in range(24)])


def test_enhanced_multiframe_equals_the_single_frames(tmp_path):
    make_series(tmp_path / "single", 6)
    make_multiframe(tmp_path / "multi" / "enhanced.dcm", 6)
    multi = Volume(chosen(tmp_path / "multi"))
    assert multi.pixel_digest() == Volume(chosen(tmp_path / "single")).pixel_digest()


def test_multiframe_without_functional_groups_is_dropped(tmp_path):
    make_series(tmp_path, 6)
    dataset = make_slice(9)
    dataset.NumberOfFrames = 2
    dataset.PixelData = dataset.PixelData * 2
    write(dataset, tmp_path / "two_frames.dcm")
    assert "D-MULTIFRAME" in codes(tmp_path)


@pytest.mark.parametrize("tilt", [11.0, -18.5])
def test_gantry_tilt_is_computed_and_distances_run_along_the_normal(tmp_path, tilt):
    make_series(tmp_path, 24, tilt_deg=tilt)
    series = chosen(tmp_path)
    assert codes(tmp_path) == {"N-GANTRY-TILT"}
    assert series.tilt_deg == pytest.approx(abs(tilt), abs=1e-4)  # direction cosines have nine decimals
    assert series.spacing_mm == pytest.approx(5.0, abs=1e-6)


def test_an_oblique_stack_without_shear_is_not_called_tilted(tmp_path):
    tilt = np.radians(15.0)

    def oblique(dataset, index):
        along = 5.0 * index * np.array([0.0, np.sin(tilt), np.cos(tilt)])
        dataset.ImagePositionPatient = [round(float(v), 6) for v in np.array([-100.0, -110.0, 50.0]) + along]
        dataset.ImageOrientationPatient = [1, 0, 0, 0, round(float(np.cos(tilt)), 9), round(float(-np.sin(tilt)), 9)]

    make_series(tmp_path, 24, oblique)
    assert codes(tmp_path) == {"N-OBLIQUE"}


def test_a_gap_is_a_warning_with_its_place(tmp_path):
    paths = make_series(tmp_path, 24)
    paths[10].unlink()
    series = chosen(tmp_path)
    assert codes(tmp_path) == {"W-SLICE-GAP"}
    (gap,) = series.gaps
    assert gap == pytest.approx((45.0, 10.0))
    assert not series.complete
    assert series.refusal is None


def test_too_many_missing_slices_refuse_the_series_but_keep_it_for_those_who_allow_it(tmp_path):
    paths = make_series(tmp_path, 24)
    for index in (8, 9, 10, 11):
        paths[index].unlink()
    study = only_study(tmp_path)
    assert isinstance(study.refusal, IncompleteSeriesError)
    assert "gap of 25.0 mm after 35.0 mm; at most 20.0 mm may be missing" in str(study.refusal)
    assert study.refusal.gap_mm == pytest.approx(25.0)  # pyright: ignore[reportAttributeAccessIssue]
    assert study.chosen is not None
    assert len(Volume(study.chosen)) == 20


def test_a_truncated_file_becomes_a_gap_before_any_pixel_is_read(tmp_path):
    paths = make_series(tmp_path, 24)
    paths[10].write_bytes(paths[10].read_bytes()[:-100])
    assert codes(tmp_path) == {"D-TRUNCATED", "W-SLICE-GAP"}


def test_the_same_file_twice_is_used_once(tmp_path):
    paths = make_series(tmp_path, 24)
    (tmp_path / "copy.dcm").write_bytes(paths[3].read_bytes())
    assert codes(tmp_path) == {"N-DUPLICATE-FILE"}
    assert len(chosen(tmp_path)) == 24


def test_the_same_uid_with_other_pixels_refuses_the_series(tmp_path):
    make_series(tmp_path, 24)
    other = make_slice(3)
    set_pixels(other, ramp_hu(3) + 1)
    write(other, tmp_path / "other.dcm")
    assert refusal_code(tmp_path) == "E-UID-COLLISION"


def test_the_same_pixels_under_a_new_uid_at_one_position_are_used_once(tmp_path):
    make_series(tmp_path, 24)
    again = make_slice(3)
    again.SOPInstanceUID = "1.2.3.4"
    write(again, tmp_path / "again.dcm")
    assert codes(tmp_path) == {"N-DUPLICATE-SLICE"}
    assert len(chosen(tmp_path)) == 24


def test_other_pixels_at_one_position_refuse_the_series(tmp_path):
    make_series(tmp_path, 24)
    other = make_slice(3)
    other.SOPInstanceUID = "1.2.3.4"
    set_pixels(other, ramp_hu(3) + 1)
    write(other, tmp_path / "other.dcm")
    assert refusal_code(tmp_path) == "E-CONFLICTING-SLICES"


def test_two_acquisitions_under_one_series_are_told_apart(tmp_path):
    def second(dataset, index):
        dataset.AcquisitionNumber = 2
        dataset.SOPInstanceUID = f"1.2.3.{index}"
        set_pixels(dataset, ramp_hu(index) + 5)

    make_series(tmp_path, 24)
    for path in make_series(tmp_path / "second", 20, second):
        path.rename(tmp_path / f"second_{path.name}")
    assert codes(tmp_path) == {"W-MULTI-ACQUISITION"}
    np.testing.assert_array_equal(Volume(chosen(tmp_path))[5], ramp_hu(5))


@pytest.mark.parametrize("keyword", ["AcquisitionNumber", "AcquisitionTime"])
def test_an_acquisition_between_the_slices_of_another_is_left_out(tmp_path, keyword):
    def second(dataset, index):
        setattr(dataset, keyword, 2 if keyword == "AcquisitionNumber" else "102300")
        dataset.SOPInstanceUID = f"1.2.3.{index}"
        dataset.ImagePositionPatient = [-100.0, -110.0, 52.5 + 5.0 * index]

    make_series(tmp_path, 24, lambda dataset, _: setattr(dataset, "AcquisitionTime", "102200"))
    for path in make_series(tmp_path / "second", 23, second):
        path.rename(tmp_path / f"second_{path.name}")
    assert codes(tmp_path) == {"W-MULTI-ACQUISITION"}
    series = chosen(tmp_path)
    assert (len(series), series.spacing_mm) == (24, pytest.approx(5.0, abs=1e-9))
    np.testing.assert_array_equal(Volume(series)[5], ramp_hu(5))


def test_acquisitions_that_follow_each_other_are_one_scan(tmp_path):
    def turns(dataset, index):
        dataset.AcquisitionNumber = 1 + index // 4

    make_series(tmp_path, 24, turns)
    assert codes(tmp_path) == set()
    assert len(chosen(tmp_path)) == 24


def test_all_slices_at_one_position_are_no_volume(tmp_path):
    def perfusion(dataset, _index):
        dataset.ImagePositionPatient = [-100.0, -110.0, 50.0]

    make_series(tmp_path, 6, perfusion)
    assert refusal_code(tmp_path) == "E-NO-VOLUME"


def test_two_patients_in_one_series_are_refused(tmp_path):
    def mixed(dataset, index):
        dataset.PatientID = f"P{index % 2}"

    make_series(tmp_path, 6, mixed)
    assert refusal_code(tmp_path) == "E-MIXED-PATIENTS"


def test_another_patient_name_alone_is_another_patient(tmp_path):
    def mixed(dataset, index):
        dataset.PatientName = "A^B" if index else "C^D"

    make_series(tmp_path, 6, mixed)
    assert refusal_code(tmp_path) == "E-MIXED-PATIENTS"


@pytest.mark.parametrize(
    ("orientation", "step"),
    [([1, 0, 0, 0, 0, -1], [0.0, 5.0, 0.0]), ([0, 1, 0, 0, 0, -1], [5.0, 0.0, 0.0])],
    ids=["coronal", "sagittal"],
)
def test_coronal_and_sagittal_reformats_are_refused(tmp_path, orientation, step):
    def turned(dataset, index):
        dataset.ImageOrientationPatient = orientation
        dataset.ImagePositionPatient = [index * v for v in step]

    make_series(tmp_path, 6, turned)
    assert refusal_code(tmp_path) == "E-NOT-AXIAL"


def without(*keywords):
    def edit(dataset, _index):
        for keyword in keywords:
            delattr(dataset, keyword)

    return edit


@pytest.mark.parametrize(
    ("edit", "code"),
    [
        (without("ImagePositionPatient"), "E-NO-GEOMETRY"),
        (without("SeriesInstanceUID"), "E-NO-SERIES-UID"),
    ],
)
def test_what_no_slice_has_refuses_the_series(tmp_path, edit, code):
    make_series(tmp_path, 6, edit)
    assert refusal_code(tmp_path) == code


@pytest.mark.parametrize(
    ("edit", "code"),
    [
        (without("ImagePositionPatient"), "D-NO-POSITION"),
        (without("RescaleSlope", "RescaleIntercept"), "D-NO-RESCALE"),
    ],
)
def test_what_one_slice_lacks_drops_it_and_leaves_a_gap(tmp_path, edit, code):
    make_series(tmp_path, 24, lambda dataset, index: edit(dataset, index) if index == 10 else None)
    assert codes(tmp_path) == {code, "W-SLICE-GAP"}


@pytest.mark.parametrize("value", ["1\\2", "nan\\0\\0", "1e309\\0\\0", "x\\0\\0", "0\\0\\1e308", "0\\10001\\0"])
def test_a_position_that_is_no_number_drops_the_slice(tmp_path, value):
    def bad(dataset, index):
        if index == 10:
            dataset.ImagePositionPatient = value.split("\\")

    paths = make_series(tmp_path, 24)
    raw = paths[10].read_bytes()
    text = b"-100.0\\-110.0\\100.0 "
    assert text in raw
    paths[10].write_bytes(raw.replace(text, value.encode().ljust(len(text))))
    assert codes(tmp_path) == {"D-BAD-GEOMETRY", "W-SLICE-GAP"}


def test_an_orientation_that_is_not_orthonormal_drops_the_slice(tmp_path):
    def bad(dataset, index):
        if index == 10:
            dataset.ImageOrientationPatient = [1, 0, 0, 0.1, 1, 0]

    make_series(tmp_path, 24, bad)
    assert codes(tmp_path) == {"D-BAD-GEOMETRY", "W-SLICE-GAP"}


def test_one_slice_of_another_orientation_is_left_out(tmp_path):
    def turned(dataset, index):
        if index == 10:
            dataset.ImageOrientationPatient = [1, 0, 0, 0, 0.984807753, -0.173648178]

    make_series(tmp_path, 24, turned)
    assert codes(tmp_path) == {"W-ORIENTATION-SPLIT", "W-SLICE-GAP"}


def test_one_slice_of_another_matrix_is_left_out(tmp_path):
    def smaller(dataset, index):
        if index == 10:
            set_pixels(dataset, ramp_hu(10, 64, 64))

    make_series(tmp_path, 24, smaller)
    assert codes(tmp_path) == {"D-MATRIX-OUTLIER", "W-SLICE-GAP"}


def test_a_slice_at_the_origin_of_all_is_not_put_among_the_others(tmp_path):
    """0, 0, 0 is what writers put that know no position: 50 mm below the lowest slice it would be the first."""

    def unknown(dataset, index):
        if index == 10:
            dataset.ImagePositionPatient = [0.0, 0.0, 0.0]

    make_series(tmp_path, 24, unknown)
    assert codes(tmp_path) == {"D-BAD-GEOMETRY", "W-SLICE-GAP"}
    assert chosen(tmp_path).positions_mm[0] == 50.0


def test_what_spoke_of_a_slice_that_is_left_out_is_not_said_any_more(tmp_path):
    """The highest slice is 180 mm above the others, cannot be decoded, and is the only one that is shifted or of a sharp kernel."""

    def far(dataset, index):
        if index == 31:
            dataset.ImagePositionPatient = [-97.0, -110.0, 50.0 + 30 * 5.0 + 180.0]
            dataset.ConvolutionKernel = "H70s"

    paths = make_series(tmp_path, 32, far)
    series = chosen(tmp_path)
    said = {"W-BONE-KERNEL", "W-COVERAGE", "W-POSITION-OUTLIER", "N-GANTRY-TILT"}
    assert codes(tmp_path) == {*said, "W-SLICE-GAP", "E-INCOMPLETE"}
    lost = finding(Code.D_UNREADABLE, files=[paths[31].name])
    left = series.without([31], [lost])
    assert ({item.code.value for item in left.findings} - {"N-MATRIX"}, left.refusal) == ({"D-UNREADABLE"}, None)


@pytest.mark.parametrize(("lost", "refused"), [(2, False), (3, True)])
def test_slices_lost_at_an_end_count_as_missing_though_they_leave_no_gap(tmp_path, lost, refused):
    """Of 24 slices 10 % may be missing: two, not three."""

    def cut(dataset, index):
        if index >= 24 - lost:
            dataset.PixelData = dataset.PixelData[:1000]

    make_series(tmp_path, 24, cut)
    assert codes(tmp_path) == {"D-TRUNCATED"} | ({"E-INCOMPLETE"} if refused else set())
    refusal = chosen(tmp_path).refusal
    assert isinstance(refusal, IncompleteSeriesError) is refused
    assert refusal is None or "3 of 24 slices cannot be used" in refusal.message


def test_a_slice_shifted_in_its_plane_is_pointed_out(tmp_path):
    def shifted(dataset, index):
        if index == 10:
            dataset.ImagePositionPatient = [-97.0, -110.0, 100.0]

    make_series(tmp_path, 24, shifted)
    assert codes(tmp_path) == {"W-POSITION-OUTLIER"}


def test_another_pixel_spacing_in_one_slice_is_pointed_out(tmp_path):
    def zoomed(dataset, index):
        if index == 10:
            dataset.PixelSpacing = [0.51, 0.51]

    make_series(tmp_path, 24, zoomed)
    assert codes(tmp_path) == {"W-SPACING-OUTLIER"}


def test_two_frames_of_reference_that_abut_are_a_warning_and_interleaved_ones_a_refusal(tmp_path):
    def abut(dataset, index):
        dataset.FrameOfReferenceUID = f"1.2.{1 + (index > 11)}"

    def interleave(dataset, index):
        dataset.FrameOfReferenceUID = f"1.2.{1 + index % 2}"

    make_series(tmp_path / "abut", 24, abut)
    make_series(tmp_path / "interleave", 24, interleave)
    assert codes(tmp_path / "abut") == {"W-FRAME-OF-REFERENCE"}
    assert refusal_code(tmp_path / "interleave") == "E-FRAME-OF-REFERENCE"


def set_to(**values):
    def edit(dataset, _index):
        for keyword, value in values.items():
            setattr(dataset, keyword, value)

    return edit


@pytest.mark.parametrize(
    ("edit", "code"),
    [
        (set_to(ConvolutionKernel="H60s"), "W-BONE-KERNEL"),
        (set_to(ConvolutionKernel="BONEPLUS"), "W-BONE-KERNEL"),
        (set_to(ContrastBolusAgent="Omnipaque"), "W-CONTRAST"),
        (set_to(SeriesDescription="CTA HEAD"), "W-CONTRAST"),
        (set_to(SeriesDescription="HEAD W/O & W CONTRAST"), "W-CONTRAST"),
        (set_to(ImageType=["DERIVED", "SECONDARY", "MPR"]), "W-DERIVED-AXIAL"),
        (set_to(BodyPartExamined="CHEST"), "W-MAYBE-NOT-HEAD"),
        (set_to(PatientAge="006M"), "W-PAEDIATRIC"),
        (set_to(PixelSpacing=[0.5, 0.6]), "N-ANISOTROPIC"),
        (set_to(PhotometricInterpretation="MONOCHROME1"), "N-MONOCHROME1"),
        (set_to(ImageOrientationPatient=[-1, 0, 0, 0, 1, 0]), "N-REORIENTED"),
        (set_to(ImageOrientationPatient=[0.866025404, 0.5, 0, -0.5, 0.866025404, 0]), "W-ORIENTATION"),
    ],
)
def test_what_the_header_says_of_the_content_is_passed_on(tmp_path, edit, code):
    make_series(tmp_path, 24, edit)
    assert codes(tmp_path) == {code}


@pytest.mark.parametrize(
    "description", ["PRE CONTRAST THIN", "HEAD W/O CONTRAST", "NON-CONTRAST", "PROCEDURE", "POST FOSSA"]
)
def test_a_series_before_contrast_is_not_called_enhanced(tmp_path, description):
    make_series(tmp_path, 24, set_to(SeriesDescription=description))
    assert codes(tmp_path) == set()


def test_a_contrast_agent_that_says_none_is_none(tmp_path):
    make_series(tmp_path, 24, set_to(ContrastBolusAgent="NONE"))
    assert codes(tmp_path) == set()


def test_8_bit_pixels_are_warned_of(tmp_path):
    def eight_bits(dataset, index):
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8, 8, 7
        dataset.RescaleIntercept, dataset.RescaleSlope = "-1024", "12"
        dataset.PixelData = np.full((64, 80), 80 + index, np.uint8).tobytes()
        dataset["PixelData"].VR = "OB"

    make_series(tmp_path, 24, eight_bits)
    assert codes(tmp_path) == {"W-8BIT"}
    assert Volume(chosen(tmp_path))[3][0, 0] == 83 * 12 - 1024


def test_a_series_above_the_limit_of_slices_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("ich_seq.dicom.arrange.LIMITS", Limits(slices=5))
    make_series(tmp_path, 6)
    assert refusal_code(tmp_path) == "E-TOO-MANY-SLICES"


@pytest.mark.parametrize("kernel", ["H31s", "STANDARD", "SOFT", "STD+", "UB", "FC21", "Hr40f", "J30s", ""])
def test_soft_kernels_of_four_makers_are_not_called_sharp(tmp_path, kernel):
    make_series(tmp_path, 24, set_to(ConvolutionKernel=kernel))
    assert codes(tmp_path) == set()


@pytest.mark.parametrize(
    ("ratio", "said"), [("", "with loss."), ("10", "with loss: 10 to 1"), (["8", "1.5"], "with loss: 12 to 1")]
)
def test_loss_is_said_with_its_ratio_though_the_pixels_were_decompressed_since(tmp_path, ratio, said):
    make_series(tmp_path, 24, set_to(LossyImageCompression="01", LossyImageCompressionRatio=ratio))
    (found,) = [item for item in chosen(tmp_path).findings if item.code is Code.N_LOSSY]
    assert found.message == f"The pixels were compressed {said}"


@pytest.mark.parametrize(
    ("edit", "code"),
    [
        (set_to(ImageType=["DERIVED", "SECONDARY", "MIP"]), "E-DERIVED"),
        (set_to(ImageType=["DERIVED", "SECONDARY", "AXIAL", "MIN IP"]), "E-DERIVED"),
        (set_to(ImageType=["DERIVED", "PRIMARY", "VOLUME", "MAXIMUM"]), "E-DERIVED"),
        (set_to(ImageType=["DERIVED", "PRIMARY", "VOLUME", "SUBTRACTION"]), "E-DERIVED"),
        (set_to(ImageType=["DERIVED", "SECONDARY", "VOLUME_RENDERING"]), "E-DERIVED"),
        (set_to(ImageType=["DERIVED", "PRIMARY", "AXIAL", "MONOE_70"]), "E-NOT-HU"),
        (set_to(ImageType=["DERIVED", "PRIMARY", "AXIAL", "VNC"]), "E-NOT-HU"),
        (set_to(RescaleType="Z_EFF"), "E-NOT-HU"),
    ],
)
def test_projections_and_maps_are_refused(tmp_path, edit, code):
    make_series(tmp_path, 24, edit)
    assert refusal_code(tmp_path) == code


@pytest.mark.parametrize(
    ("slices", "spacing_mm", "expected"),
    [
        (1, 5.0, {"W-SINGLE-SLICE"}),
        (4, 5.0, {"W-FEW-SLICES", "W-SHORT-COVERAGE"}),
        (17, 5.0, {"W-SHORT-COVERAGE"}),
        (61, 5.0, {"W-COVERAGE"}),
    ],
)
def test_extent_is_judged_by_slices_and_coverage(tmp_path, slices, spacing_mm, expected):
    make_series(tmp_path, slices, spacing_mm=spacing_mm)
    assert codes(tmp_path) == expected


def test_messages_and_findings_carry_no_names_or_header_texts(tmp_path):
    def marked(dataset, index):
        dataset.PatientName, dataset.PatientID = "MARKER^ONE", "MARKER2"
        dataset.SeriesDescription = "MARKER3"
        if index == 3:
            dataset.add_new("RescaleIntercept", "LO", "MARKER4")

    paths = make_series(tmp_path, 24, marked)
    paths[5].rename(tmp_path / "MARKER5.dcm")
    series = chosen(tmp_path)
    assert not any("MARKER" in item.message for item in series.findings)
    assert "MARKER" not in repr(series.headers[0]).replace(str(tmp_path), "")


def test_every_code_has_a_severity_a_sentence_and_a_remedy():
    for code in Code:
        assert code.severity in Severity
        assert code.text.endswith(".")
        assert code.remedy.endswith(".")
        assert code.name == code.value.replace("-", "_")
