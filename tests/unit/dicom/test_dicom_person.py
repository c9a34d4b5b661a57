"""Whom a header names: decoded, one line, inert; expected values by hand from DICOM PS3.5 section 6.2."""

import pytest
from dicom_factory import make_series

from ich_seq.dicom import read_header
from ich_seq.dicom.person import Patient, read_patient
from ich_seq.errors import PixelsUnreadableError


def patient_of(tmp_path, **elements):
    """What is read of a file with these elements, given as bytes or text."""

    def edit(dataset, index):
        for keyword, value in elements.items():
            setattr(dataset, keyword, value)

    (path,) = make_series(tmp_path, slices=1, edit=edit)
    return read_patient(read_header(path))


def test_name_id_and_dates_are_read_as_a_person_writes_them(tmp_path):
    found = patient_of(
        tmp_path,
        SpecificCharacterSet="ISO_IR 100",
        PatientName="Döe^Jäne^M^Dr",
        PatientID=" 12-3 ",
        PatientBirthDate="19500102",
        StudyDate="20240203",
    )
    assert found == Patient("Döe, Jäne M Dr", "12-3", "1950-01-02", "2024-02-03")
    assert "ne" not in repr(found)


def test_groups_of_a_name_stand_beside_each_other(tmp_path):
    found = patient_of(tmp_path, SpecificCharacterSet="ISO_IR 192", PatientName="Yamada^Tarou=山田^太郎")
    assert found.name == "Yamada, Tarou / 山田, 太郎"


def test_code_extensions_are_decoded(tmp_path):
    """The name of PS3.5 annex H.3.1: ASCII and JIS X 0208, told apart by escape sequences."""
    sets = ["", "ISO 2022 IR 87"]
    name = "Yamada^Tarou=山田^太郎"
    assert patient_of(tmp_path, SpecificCharacterSet=sets, PatientName=name).name == "Yamada, Tarou / 山田, 太郎"


@pytest.mark.parametrize("charset", ["NONSENSE", "ISO_IR 192", ""])
def test_bytes_that_do_not_fit_their_character_set_are_replaced(tmp_path, charset):
    (path,) = make_series(tmp_path, slices=1)
    content = path.read_bytes().replace(b"Test^Phantom", b"Te\xe9t^\xff\xfehant")
    path.write_bytes(content)
    name = read_patient(read_header(path)).name
    assert name.startswith("Te")
    assert name.isprintable()
    assert "hant" in name


def test_what_does_not_show_or_turns_text_around_is_taken_out(tmp_path):
    found = patient_of(
        tmp_path,
        SpecificCharacterSet="ISO_IR 192",
        PatientName="A\u202eB\u2066^\x1b[2JC\x07",
        PatientID="x" * 500,
        PatientBirthDate="not a date\x1b[31m",
    )
    assert found.name.isprintable()
    assert "\u202e" not in found.name
    assert len(found.patient_id) == 192
    assert found.birth_date.isprintable()


def test_a_header_that_names_nobody_gives_nothing(tmp_path):
    def nobody(dataset, index):
        for keyword in ("PatientName", "PatientID", "PatientBirthDate"):
            delattr(dataset, keyword)

    (path,) = make_series(tmp_path, slices=1, edit=nobody)
    assert read_patient(read_header(path)) == Patient("", "", "", "")


def test_a_file_that_is_gone_is_said_in_one_line(tmp_path):
    (path,) = make_series(tmp_path, slices=1)
    header = read_header(path)
    path.unlink()
    with pytest.raises(PixelsUnreadableError, match="cannot be opened any more"):
        read_patient(header)
