"""Several images at one place: acquisitions, time points, frames of reference."""

import numpy as np
import pytest
from dicom_factory import make_series, ramp_hu, set_pixels
from dicom_findings import codes_in, message_of, refusal_code_in, series_in

from ich_seq.dicom import AS_IT_IS, ReadOptions
from ich_seq.dicom.hints import seconds_of
from ich_seq.volume import Volume

FIRST = ReadOptions(first_time_point=True)
PLACES = 12
STEP_MM = 10.0


def scan(folder, number, slices=PLACES, shift_mm=0.0, lowest=0, **values):
    """A scan of 12 places, 10 mm apart, under the series and study of the factory; HU are 5 more for each `number`."""

    def edit(dataset, index):
        dataset.SOPInstanceUID = f"1.2.{number}.{index + 1}"
        dataset.ImagePositionPatient = [-100.0, -110.0, 50.0 + STEP_MM * (index + lowest) + shift_mm]
        dataset.InstanceNumber = 100 * number + index
        set_pixels(dataset, ramp_hu(index + lowest) + 5 * number)
        for keyword, value in values.items():
            setattr(dataset, keyword, value(index) if callable(value) else value)

    for path in make_series(folder / str(number), slices, edit, spacing_mm=STEP_MM):
        path.rename(folder / f"{number}_{path.name}")


def number_read(folder, options=AS_IT_IS):
    """Which scan was chosen, from the HU of its first voxel."""
    series = series_in(folder, options)
    lowest = round((series.positions_mm[0] - 50) / STEP_MM)
    return int(Volume(series)[0][0, 0] - ramp_hu(lowest)[0, 0]) / 5


def clock(start_s):
    """A time for each slice, a second apart, from 09:00:00 plus `start_s`."""
    return lambda index: f"09{(start_s + index) // 60:02d}{(start_s + index) % 60:02d}.5"


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ({"AcquisitionNumber": 1}, {"AcquisitionNumber": 2}),
        ({"AcquisitionTime": "090000"}, {"AcquisitionTime": "090500"}),
        ({"ContentTime": clock(0)}, {"ContentTime": clock(300)}),
    ],
    ids=["number", "acquisition time", "content time of each slice"],
)
def test_of_two_whole_acquisitions_the_first_is_taken_with_a_warning(tmp_path, one, two):
    scan(tmp_path, 1, **two)
    scan(tmp_path, 2, **one)
    assert codes_in(tmp_path) == {"W-MULTI-ACQUISITION"}
    assert number_read(tmp_path) == 2
    assert message_of(series_in(tmp_path).findings, "W-MULTI-ACQUISITION").endswith("12 of 24 slices")


def test_of_two_acquisitions_the_fuller_is_taken_though_it_came_later(tmp_path):
    scan(tmp_path, 1, slices=PLACES - 3, AcquisitionNumber=1)
    scan(tmp_path, 2, AcquisitionNumber=2)
    assert codes_in(tmp_path) == {"W-MULTI-ACQUISITION"}
    assert number_read(tmp_path) == 2


@pytest.mark.parametrize("gap", [False, True], ids=["each half of the head", "a gap in each"])
def test_where_no_acquisition_is_whole_the_series_is_refused(tmp_path, gap):
    """Two scans of nine places share the middle six; or both cover all twelve, each without its fifth slice."""
    scan(tmp_path, 1, slices=PLACES if gap else 9, AcquisitionNumber=1)
    scan(tmp_path, 2, slices=PLACES if gap else 9, lowest=0 if gap else 3, AcquisitionNumber=2)
    if gap:
        for path in tmp_path.glob("*_4.dcm"):
            path.unlink()
    assert refusal_code_in(tmp_path) == "E-CONFLICTING-SLICES"


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ({"AcquisitionNumber": 1}, {"AcquisitionNumber": 2}),
        ({"ContentTime": clock(0)}, {"ContentTime": clock(300)}),
        ({"AcquisitionNumber": 1, "SliceThickness": ""}, {"AcquisitionNumber": 2, "SliceThickness": ""}),
    ],
    ids=["number", "time", "number, thickness unknown"],
)
def test_two_whole_acquisitions_that_lie_in_each_other_are_not_one_fine_series(tmp_path, one, two):
    scan(tmp_path, 1, **one)
    scan(tmp_path, 2, shift_mm=3.0, **two)
    assert codes_in(tmp_path) == {"W-MULTI-ACQUISITION"}
    assert series_in(tmp_path).spacing_mm == pytest.approx(STEP_MM)
    assert number_read(tmp_path) == 1


@pytest.mark.parametrize(
    "values",
    [
        {"AcquisitionNumber": lambda i: 1 + i // 3},
        {"AcquisitionNumber": lambda i: i},
        {"AcquisitionTime": clock(0), "ContentTime": clock(7)},
        {"AcquisitionNumber": lambda i: 1 + i % 2, "AcquisitionTime": lambda i: f"0900{i % 2}0"},
        {"AcquisitionNumber": lambda i: 1 + i % 2, "SliceThickness": ""},
    ],
    ids=["blocks", "one a slice", "times", "odd after even", "odd after even, thickness unknown"],
)
def test_one_scan_in_several_turns_of_the_tube_is_one_scan(tmp_path, values):
    scan(tmp_path, 1, **values)
    assert codes_in(tmp_path) == set()
    assert len(series_in(tmp_path)) == PLACES


@pytest.mark.parametrize(
    ("one", "two", "three"),
    [
        ({"TemporalPositionIdentifier": 1}, {"TemporalPositionIdentifier": 2}, {"TemporalPositionIdentifier": 3}),
        ({"AcquisitionTime": "090001.1"}, {"AcquisitionTime": "090001.2"}, {"AcquisitionTime": "0901"}),
        ({"ContentTime": clock(0)}, {"ContentTime": clock(20)}, {"ContentTime": clock(40)}),
    ],
    ids=["temporal position", "acquisition time", "content time"],
)
def test_the_first_of_three_time_points_is_taken_on_request(tmp_path, one, two, three):
    for number, values in ((1, three), (2, one), (3, two)):
        scan(tmp_path, number, **values)
    assert codes_in(tmp_path, FIRST) == {"W-FIRST-TIME-POINT"}
    assert number_read(tmp_path, FIRST) == 2


def test_perfusion_at_one_place_is_no_volume_unless_its_first_image_is_asked_for(tmp_path):
    def one_place(dataset, index):
        dataset.ImagePositionPatient = [-100.0, -110.0, 50.0]
        dataset.ContentTime = f"0900{59 - index:02d}"

    make_series(tmp_path, 6, one_place)
    assert refusal_code_in(tmp_path) == "E-NO-VOLUME"
    assert codes_in(tmp_path, FIRST) == {"W-FIRST-TIME-POINT", "W-SINGLE-SLICE"}
    np.testing.assert_array_equal(Volume(series_in(tmp_path, FIRST))[0], ramp_hu(5))  # the earliest was written last


@pytest.mark.parametrize("time", [None, "090000", "noon"], ids=["absent", "all equal", "garbage"])
def test_without_times_there_is_no_first_time_point(tmp_path, time):
    def one_place(dataset, index):
        dataset.ImagePositionPatient = [-100.0, -110.0, 50.0]
        if time is not None:
            dataset.add_new("ContentTime", "LO", time)

    make_series(tmp_path, 6, one_place)
    assert refusal_code_in(tmp_path, FIRST) == "E-NO-VOLUME"


def test_to_ask_for_the_first_time_point_changes_nothing_where_there_is_one(tmp_path):
    scan(tmp_path, 1)
    assert codes_in(tmp_path, FIRST) == set()
    assert len(series_in(tmp_path, FIRST)) == PLACES


def test_a_slice_without_a_frame_of_reference_contradicts_nothing(tmp_path):
    scan(tmp_path, 1, FrameOfReferenceUID=lambda i: "" if i == 5 else "1.2.3")
    assert codes_in(tmp_path) == set()


def test_one_slice_of_another_frame_of_reference_refuses_in_the_middle_and_warns_at_the_end(tmp_path):
    scan(tmp_path / "middle", 1, FrameOfReferenceUID=lambda i: f"1.2.{i == 5:d}")
    scan(tmp_path / "end", 1, FrameOfReferenceUID=lambda i: f"1.2.{i == 11:d}")
    assert refusal_code_in(tmp_path / "middle") == "E-FRAME-OF-REFERENCE"
    assert codes_in(tmp_path / "end") == {"W-FRAME-OF-REFERENCE"}


@pytest.mark.parametrize(
    ("time", "seconds"),
    [
        ("000000", 0.0),
        ("09", 32400.0),
        ("0930", 34200.0),
        ("093015.25", 34215.25),
        ("09:30:15", 34215.0),
        ("300000", None),
        ("096100", None),
        ("0930155", None),
        ("-10000", None),
        ("", None),
    ],
)
def test_times_are_seconds_since_midnight_or_nothing(time, seconds):
    assert seconds_of(time) == seconds


@pytest.mark.parametrize(
    ("shift_mm", "values"),
    [
        (2.5, {"InstanceNumber": lambda index: index + 1}),
        (1.0, {"InstanceNumber": ""}),
        (1.0, {"InstanceNumber": "", "SliceThickness": ""}),
    ],
    ids=["numbers stand twice", "steps take turns", "thickness unknown"],
)
def test_two_scans_in_each_other_under_one_acquisition_number_are_told_apart(tmp_path, shift_mm, values):
    """Slices 5 mm apart, and as many of another head between them, as an export makes that gives both one series UID."""
    for number in (1, 2):

        def edit(dataset, index, number=number):
            dataset.SOPInstanceUID = f"1.2.{number}.{index + 1}"
            dataset.ImagePositionPatient = [-100.0, -110.0, 50.0 + 5 * index + shift_mm * (number - 1)]
            for keyword, value in values.items():
                setattr(dataset, keyword, value(index) if callable(value) else value)

        make_series(tmp_path / str(number), 24, edit)
    assert codes_in(tmp_path) == {"W-MULTI-ACQUISITION"}
    assert series_in(tmp_path).positions_mm == tuple(50.0 + 5 * index for index in range(24))


@pytest.mark.parametrize("thickness", ["5", ""])
def test_pairs_of_slices_whose_couch_is_not_exact_are_one_scan(tmp_path, thickness):
    """Steps of 4.7 and 5.3 mm take turns: each half alone would have steps of 10 mm."""

    def edit(dataset, index):
        dataset.ImagePositionPatient = [-100.0, -110.0, 50.0 + 5 * index + 0.3 * (index % 2)]
        dataset.SliceThickness = thickness

    make_series(tmp_path, 24, edit)
    assert codes_in(tmp_path) == {"N-VARIABLE-SPACING"}
