"""What is found in a study does not depend on the names of files, their order, or InstanceNumber."""

import shutil

import pytest
from dicom_factory import make_series, make_slice, ramp_hu, set_pixels, write
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from ich_seq.dicom import read_study_files
from ich_seq.volume import Volume

SLICES = 6
UNTOLD = {"N-INSTANCE-ORDER"}  # the one finding that speaks of InstanceNumber
STUDY = "1.2.3.99"


def clean(_dataset, _index):
    """Nothing changed."""


def two_acquisitions(dataset, index):
    """Even files repeat the place of the odd ones before them, in a second acquisition."""
    dataset.AcquisitionNumber = 1 + index % 2
    dataset.ImagePositionPatient = [-100, -110, 50 + 20 * (index // 2)]


def two_stacks(dataset, index):
    """The upper half is turned by ten degrees."""
    if index >= SLICES // 2:
        dataset.ImageOrientationPatient = [1, 0, 0, 0, 0.984807753, -0.173648178]


def two_series(dataset, index):
    """Every second slice is of an equal series: three slices, 40 mm apart."""
    dataset.SeriesInstanceUID = f"1.2.3.{1 + index % 2}"
    dataset.SliceThickness = "40"


def half_projections(dataset, index):
    """Every second image is a projection."""
    if index % 2:
        dataset.ImageType = ["DERIVED", "SECONDARY", "MIP"]


def no_position_in_one(dataset, index):
    """The third slice does not say where it lies."""
    if index == 2:
        del dataset.ImagePositionPatient


def with_a_copy(paths, folder):
    """The first file again, and the second slice again under another identifier."""
    shutil.copy(paths[0], folder / "copy")
    again = make_slice(1, spacing_mm=20.0)
    again.SOPInstanceUID, again.StudyInstanceUID = "1.2.3.4", STUDY
    write(again, folder / "again")


def with_a_conflict(_paths, folder):
    """Another image at the place of the second slice."""
    other = make_slice(1, spacing_mm=20.0)
    other.SOPInstanceUID, other.StudyInstanceUID = "1.2.3.4", STUDY
    set_pixels(other, ramp_hu(1) + 1)
    write(other, folder / "other")


def told(folder):
    """Everything that reading says of a folder, file names apart."""
    inventory = read_study_files([folder])
    studies = []
    for study in inventory.studies:
        series = study.chosen
        found = [] if series is None else [(str(f), f.count) for f in series.findings if f.code.value not in UNTOLD]
        read = None if series is None else (series.positions_mm, series.gaps, Volume(series).pixel_digest())
        reasons = [(c.series_instance_uid, c.chosen, c.reason) for c in study.candidates]
        studies.append((study.study_instance_uid, reasons, str(study.refusal), found, read))
    return studies, [(str(item), item.count) for item in inventory.dropped]


ANY_NUMBERS = st.lists(st.integers(-5, 2**31 - 1) | st.none(), min_size=SLICES, max_size=SLICES)
IN_ORDER = st.just(list(range(1, SLICES + 1)))
"""Where images are left out, numbers that leap tell that slices are missing."""


@pytest.mark.parametrize(
    ("edit", "add"),
    [
        (clean, None),
        (clean, with_a_copy),
        (clean, with_a_conflict),
        (two_acquisitions, None),
        (two_stacks, None),
        (two_series, None),
        (half_projections, None),
        (no_position_in_one, None),
    ],
    ids=lambda value: getattr(value, "__name__", "alone"),
)
def test_what_is_told_does_not_depend_on_names_order_or_instance_numbers(tmp_path, edit, add):
    counter = iter(range(10**6))

    def made(numbers):
        """The series with these InstanceNumbers in a new folder."""
        folder = tmp_path / f"made{next(counter)}"

        def numbered(dataset, index):
            dataset.StudyInstanceUID = STUDY
            dataset.InstanceNumber = numbers[index]
            edit(dataset, index)

        paths = make_series(folder, SLICES, numbered, spacing_mm=20.0)
        if add is not None:
            add(paths, folder)
        return folder

    expected = told(made(range(1, SLICES + 1)))

    # Not shrunk: each example writes a series.
    @settings(max_examples=5, deadline=None, derandomize=True, database=None, phases=[Phase.generate])
    @given(
        numbers=IN_ORDER if edit is half_projections else ANY_NUMBERS,
        data=st.data(),
    )
    def renamed_and_renumbered(numbers, data):
        folder = made(numbers)
        names = sorted(folder.iterdir())
        order = data.draw(st.permutations(range(len(names))))
        (folder / "deep").mkdir()
        for place, name in zip(order, names, strict=True):
            name.rename(folder / ("deep" if place % 3 == 0 else ".") / f"IM{place:02d}")
        assert told(folder) == expected
        shutil.rmtree(folder)

    renamed_and_renumbered()
