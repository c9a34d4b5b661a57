"""What a row says of patient and scanner: groups, and nothing that names anyone."""

from pathlib import Path

import pytest
from dicom_factory import make_series

from ich_seq.manifest.header_rows import age_group_of, maker_of
from ich_seq.manifest.headers import read_headers


@pytest.mark.parametrize(
    ("years", "group"),
    [
        (None, ""),
        (0.5, "0 to 9"),
        (9.99, "0 to 9"),
        (10.0, "10 to 19"),
        (69.9, "60 to 69"),
        (90.0, "90 or more"),
        (103.0, "90 or more"),
    ],
)
def test_an_age_is_a_decade(years: float | None, group: str) -> None:
    assert age_group_of(years) == group


@pytest.mark.parametrize(
    ("text", "maker"),
    [
        ("GE MEDICAL SYSTEMS", "GE"),
        ("Siemens Healthineers", "SIEMENS"),
        ("", ""),
        ("<b>", "OTHER"),
        ("  --  ", ""),
        ("SMITH JOHN", "OTHER"),
        ("Philips Medical Systems", "PHILIPS"),
    ],
)
def test_a_maker_is_a_known_word_or_other(text: str, maker: str) -> None:
    assert maker_of(text) == maker


def test_rows_have_them_where_the_header_does(tmp_path: Path) -> None:
    def edit(dataset, index):
        if index:
            dataset.PatientAge, dataset.PatientSex, dataset.Manufacturer = "067Y", "F", "Philips"

    files = make_series(tmp_path, slices=2, edit=edit)
    table = read_headers(tmp_path, sorted(file.name for file in files), jobs=1).table.sort_values(
        "position_mm", ignore_index=True
    )
    known = table[table["sex"] == "F"].iloc[0]
    assert (known["age_group"], known["manufacturer"]) == ("60 to 69", "PHILIPS")
    other = table[table["sex"] != "F"].iloc[0]
    assert other["age_group"] == ""
    assert table["tilt_deg"].tolist() == [0.0, 0.0]


def test_a_tilted_gantry_is_an_angle_to_the_axial_plane(tmp_path: Path) -> None:
    def tilt(dataset, index):
        del index
        dataset.ImageOrientationPatient = [1, 0, 0, 0, 0.9659258, -0.258819]  # 15 degrees about the left-right axis

    files = make_series(tmp_path, slices=2, edit=tilt)
    table = read_headers(tmp_path, sorted(file.name for file in files), jobs=1).table
    assert table["tilt_deg"].tolist() == pytest.approx([15.0, 15.0], abs=0.01)  # rounded to hundredths
