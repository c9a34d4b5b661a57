"""What reading makes of real files; skipped where they are absent. The reference is pydicom's own decoding and hand arithmetic."""

import random
import shutil
import warnings
import zipfile

import numpy as np
import pydicom
import pytest

from ich_seq.dicom import read_header, read_slice_hu, read_study_files
from ich_seq.dicom.frames import expand_frames
from ich_seq.errors import IncompleteSeriesError, PixelsUnreadableError, SeriesRefusedError
from ich_seq.volume import Volume

RSNA = "rsna_series_ID_52c1ab5a"


def only_study(folder):
    (study,) = read_study_files([folder]).studies
    return study


def chosen(folder):
    series = only_study(folder).chosen
    assert series is not None
    return series


def codes(series):
    return {item.code.value for item in series.findings}


def stored_hu(path):
    """Stored value x slope + intercept by pydicom and numpy, in float64."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # RSNA's identifiers are no UIDs
        dataset = pydicom.dcmread(path)
        return dataset.pixel_array * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept)


@pytest.fixture(scope="module")
def rsna(real_data):
    return Volume(chosen(real_data / RSNA))


def test_rsna_series_runs_from_feet_to_head_with_its_tilt(real_data):
    series = chosen(real_data / RSNA)
    first, last = series.headers[0], series.headers[-1]
    assert len(series) == 32
    assert (first.sop_instance_uid, last.sop_instance_uid) == ("ID_38ed6bf3c", "ID_b9070ba98")
    assert first.image_position_patient is not None
    assert last.image_position_patient is not None
    assert round(first.image_position_patient[2], 1) == 155.0
    assert round(last.image_position_patient[2], 1) == 313.1
    assert any(str(item) == "N-GANTRY-TILT: The gantry was tilted: 11.0 degrees" for item in series.findings)
    assert codes(series) == {"N-GANTRY-TILT", "N-UID-NONSTANDARD"}
    assert series.complete
    # table travel 5.1 mm, times cos(11 degrees)
    assert series.spacing_mm == pytest.approx(5.1 * np.cos(np.radians(11.0)), abs=0.01)


def test_rsna_hu_equal_stored_times_slope_plus_intercept(real_data, rsna):
    by_uid = {path.stem: path for path in (real_data / RSNA).glob("*.dcm")}
    assert len(by_uid) == 32
    for uid, hu in zip(rsna.sop_instance_uids, rsna, strict=True):
        np.testing.assert_array_equal(hu, stored_hu(by_uid[uid]))
    assert rsna.padding_pixels == 0


def test_rsna_folder_zip_and_shuffled_renamed_files_are_one_scan(real_data, rsna, tmp_path):
    paths = sorted((real_data / RSNA).glob("*.dcm"))
    random.Random(0).shuffle(paths)
    (tmp_path / "renamed").mkdir()
    for number, path in enumerate(paths):
        shutil.copy(path, tmp_path / "renamed" / f"{number:03d}")
    with zipfile.ZipFile(tmp_path / "series.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for path in paths:
            archive.write(path, path.name)
    for given in (tmp_path / "renamed", tmp_path / "series.zip"):
        volume = Volume(chosen(given))
        assert volume.sop_instance_uids == rsna.sop_instance_uids
        assert volume.pixel_digest() == rsna.pixel_digest()
        assert volume.positions_mm == rsna.positions_mm


def test_rsna_training_slices_equal_stored_times_slope_plus_intercept_outside_padding(real_data):
    paths = sorted((real_data / "rsna_slices").glob("*.dcm"))
    assert len(paths) == 25
    padded = 0
    for path in paths:
        hu, reference = read_slice_hu(path), stored_hu(path)
        outside = reference < -1024  # in these files only padding lies below: -3024 or -2048
        padded += bool(outside.any())
        assert (hu[outside] == -1024).all()
        np.testing.assert_array_equal(hu[~outside], reference[~outside])
    assert padded == 17


def test_ge_head_with_variable_spacing_is_accepted_with_notes(real_data):
    series = chosen(real_data / "ge_tilt_variable_spacing")
    assert len(series) == 28
    assert codes(series) == {"N-GANTRY-TILT", "N-VARIABLE-SPACING"}
    assert series.tilt_deg == pytest.approx(18.5, abs=0.05)  # GantryDetectorTilt says +18.5
    assert series.refusal is None
    assert series.complete
    volume = Volume(series)
    # 62,180 pixels of -1500 outside the reconstruction circle of every slice
    assert sum(1 for _ in volume.read()) == 28
    assert volume.padding_pixels == 28 * 62180


def test_philips_phantom_is_accepted_silently(real_data):
    series = chosen(real_data / "philips_phantom_5mm")
    assert (len(series), series.findings, series.spacing_mm) == (28, [], pytest.approx(5.0))


@pytest.mark.parametrize(
    ("name", "slices"),
    [
        ("intraventricular__ID_64ef94ad14", 27),
        ("negative__CQ500_CT_47", 30),
        ("negative__ID_515961ad20", 26),
        ("subdural__CQ500_CT_412", 30),
    ],
)
def test_labelled_studies_are_incomplete_yet_readable_when_allowed(real_data, name, slices):
    study = only_study(real_data / "labelled_studies" / name)
    assert isinstance(study.refusal, IncompleteSeriesError)
    assert study.chosen is not None
    assert {"E-INCOMPLETE", "W-SLICE-GAP"} <= codes(study.chosen)
    volume = Volume(study.chosen)
    shapes = {hu.shape for _, hu in volume.read()}
    assert (len(volume), shapes, volume.lost) == (slices, {(512, 512)}, {})


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("notavolume/001", "E-NO-VOLUME"),
        ("sliceincrement/001", "E-INCOMPLETE"),
        ("sliceincrement/002", "E-INCOMPLETE"),
    ],
)
def test_bad_geometry_is_refused_by_code(real_data, name, code):
    refusal = only_study(real_data / "bad_geometry" / name).refusal
    assert isinstance(refusal, SeriesRefusedError)
    assert refusal.code == code


def test_a_tilted_stack_that_other_readers_refuse_is_accepted(real_data):
    series = chosen(real_data / "bad_geometry" / "gantrytilting" / "001")
    assert series.refusal is None
    assert series.tilt_deg == pytest.approx(np.degrees(np.arccos(0.970295726276)), abs=1e-6)
    assert codes(series) == {"N-GANTRY-TILT", "W-FEW-SLICES", "W-SHORT-COVERAGE"}


LOSSLESS = [
    "BigEndianExplicitTransferSyntax_1.2.840.10008.1.2.2",
    "DeflatedExplicitVRLittleEndianTransferSyntax_1.2.840.10008.1.2.1.99",
    "JPEG2000LosslessOnlyTransferSyntax_1.2.840.10008.1.2.4.90",
    "JPEGLSLosslessTransferSyntax_1.2.840.10008.1.2.4.80",
    "JPEGProcess14SV1TransferSyntax_1.2.840.10008.1.2.4.70",
    "JPEGProcess14TransferSyntax_1.2.840.10008.1.2.4.57",
    "LittleEndianExplicitTransferSyntax_1.2.840.10008.1.2.1",
    "LittleEndianImplicitTransferSyntax_1.2.840.10008.1.2",
    "RLELosslessTransferSyntax_1.2.840.10008.1.2.5",
]


@pytest.mark.parametrize("name", LOSSLESS, ids=lambda name: name.rsplit("_", 1)[1])
def test_each_lossless_transfer_syntax_equals_the_uncompressed_image(real_data, name):
    folder = real_data / "compressed"
    reference = stored_hu(folder / "CTImage.dcm")
    hu = read_slice_hu(folder / f"CTImage.dcm_{name}.dcm")
    np.testing.assert_array_equal(hu, np.where(reference == -3024, -1024, reference))


@pytest.mark.parametrize(
    "name",
    ["JPEG2000TransferSyntax_1.2.840.10008.1.2.4.91", "JPEGLSLossyTransferSyntax_1.2.840.10008.1.2.4.81"],
    ids=lambda name: name.rsplit("_", 1)[1],
)
def test_lossy_transfer_syntaxes_stay_within_5_hu(real_data, name):
    folder = real_data / "compressed"
    difference = read_slice_hu(folder / f"CTImage.dcm_{name}.dcm") - read_slice_hu(folder / "CTImage.dcm")
    assert np.abs(difference).max() <= 5


def test_8_bit_jpeg_is_within_two_of_its_steps_and_warned_of(real_data):
    folder = real_data / "compressed"
    path = folder / "CTImage.dcm_JPEGProcess1TransferSyntax_1.2.840.10008.1.2.4.50.dcm"
    difference = read_slice_hu(path) - read_slice_hu(folder / "CTImage.dcm")
    assert np.abs(difference).max() <= 2 * 32.1216  # its slope: one step of eight bits
    assert {"W-LOSSY-8BIT", "N-LOSSY"} <= codes(chosen(path))


@pytest.mark.parametrize(
    "name",
    [
        "CT0012.fragmented_no_bot_jpeg_baseline.51.dcm",
        "CTImage.dcm_JPEGProcess2_4TransferSyntax_1.2.840.10008.1.2.4.51.dcm",
        "CTImage.dcm_JPEGProcess6_8TransferSyntax_1.2.840.10008.1.2.4.53.dcm",
        "CTImage.dcm_JPEGProcess10_12TransferSyntax_1.2.840.10008.1.2.4.55.dcm",
    ],
    ids=[".51 fragmented", ".51", ".53", ".55"],
)
def test_12_bit_dct_is_outside_the_decoders_and_says_so(real_data, name):
    with pytest.raises(PixelsUnreadableError, match="D-TRANSFER-SYNTAX") as caught:
        read_slice_hu(real_data / "compressed" / name)
    assert caught.value.code == "D-TRANSFER-SYNTAX"


@pytest.mark.parametrize(
    "name", ["693_J2KR.dcm", "CT1_J2KR", "CT2_J2KR", "D_CLUNIE_CT1_RLE_FRAGS.dcm", "CT_Explicit_Little.dcm"]
)
def test_real_compressed_slices_equal_pydicoms_decoding_outside_padding(real_data, name):
    path = real_data / "compressed" / name
    hu, reference = read_slice_hu(path), stored_hu(path)
    padding = reference == reference[0, 0] if reference[0, 0] < -1024 else np.zeros(hu.shape, bool)
    np.testing.assert_array_equal(hu[~padding], reference[~padding])
    assert (hu[padding] == -1024).all()


def test_two_jpeg_2000_decoders_agree_on_a_stream_that_contradicts_its_header(real_data):
    path = real_data / "compressed" / "J2K_pixelrep_mismatch.dcm"
    dataset = pydicom.dcmread(path)
    dataset.pixel_array_options(decoding_plugin="gdcm")
    reference = dataset.pixel_array.astype(float)
    hu = read_slice_hu(path)
    inside = reference > -1024
    np.testing.assert_array_equal(hu[inside], reference[inside])


def test_a_perfusion_map_in_an_enhanced_file_is_refused(real_data):
    refusal = only_study(real_data / "compressed" / "eCT_Supplemental.dcm").refusal
    assert isinstance(refusal, SeriesRefusedError)
    assert refusal.code == "E-DERIVED"


def test_frames_of_an_enhanced_file_have_what_its_groups_say(real_data):
    header = read_header(real_data / "compressed" / "eCT_Supplemental.dcm")
    first, second = expand_frames(header)
    # As pydicom prints the two functional groups; positions are the frames' own, all else is shared.
    assert (first.image_position_patient, second.image_position_patient) == (
        (99.5, -301.5, -159.0),
        (99.5, -301.5, -149.0),
    )
    for index, frame in enumerate((first, second)):
        assert frame.image_orientation_patient == (-1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
        assert (frame.pixel_spacing_mm, frame.slice_thickness_mm) == ((0.388672, 0.388672), 10.0)
        assert (frame.rescale_slope, frame.rescale_intercept, frame.rescale_type) == ((1.0,), (-1024.0,), "US")
        assert frame.image_type == ("DERIVED", "PRIMARY", "PERFUSION", "RCBF")
        assert frame.contrast_bolus_agent
        assert (frame.acquisition_number, frame.pixels.frame) == (1, index)


def test_no_real_file_leaks_a_warning_or_a_log_record(real_data, caplog):
    with caplog.at_level("DEBUG"), warnings.catch_warnings():
        warnings.simplefilter("error")
        for name in (RSNA, "rsna_slices", "compressed", "ge_tilt_variable_spacing"):
            read_study_files([real_data / name])
    assert caplog.records == []
