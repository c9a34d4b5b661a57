import logging
import os
import warnings
import zipfile
from pathlib import Path

import pytest
from dicom_factory import generate_study_uid, make_series, make_slice, write

from ich_seq.dicom import read_ct_header, read_header, read_study_files
from ich_seq.errors import ArchiveError, NoCtError, NoDicomError, PixelsUnreadableError, SeriesRefusedError
from ich_seq.study.inputs import find_studies
from ich_seq.volume import Volume


def zip_of(folder, target, compression=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(target, "w", compression) as archive:
        for path in sorted(folder.rglob("*")):
            archive.write(path, path.relative_to(folder))
    return target


def dropped(folder):
    return {item.code.value: item for item in read_study_files([folder]).dropped}


def test_folder_zip_and_list_of_files_give_one_digest(tmp_path):
    paths = make_series(tmp_path / "series", 6)
    zipped = zip_of(tmp_path / "series", tmp_path / "series.zip")
    digests = set()
    for given in ([tmp_path / "series"], [zipped], paths, list(reversed(paths))):
        (study,) = read_study_files(given).studies
        assert study.chosen is not None
        digests.add(Volume(study.chosen).pixel_digest())
    assert len(digests) == 1


def test_the_order_of_directory_entries_does_not_matter(tmp_path):
    make_series(tmp_path / "z" / "deep", 3)
    (tmp_path / "a").mkdir()
    moved = sorted((tmp_path / "z" / "deep").iterdir())[0]
    moved.rename(tmp_path / "a" / "first.dcm")
    (study,) = read_study_files([tmp_path]).studies
    assert study.chosen is not None
    assert len(study.chosen) == 3


def test_several_studies_come_in_order_of_their_uid(tmp_path):
    for seed in "cab":
        make_series(tmp_path / seed, 3, uid_seed=seed)
    studies = [study.study_instance_uid for study in read_study_files([tmp_path]).studies]
    assert studies == sorted(generate_study_uid(seed) for seed in "abc")


def test_files_that_are_no_ct_images_are_listed_with_their_names(tmp_path):
    make_series(tmp_path, 6)
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "empty").touch()
    report = make_slice(0, uid_seed="sr")
    report.SOPClassUID, report.Modality = "1.2.840.10008.5.1.4.1.1.88.22", "SR"
    write(report, tmp_path / "report.dcm")
    dose = make_slice(1, uid_seed="dose")
    dose.SOPClassUID = "1.2.840.10008.5.1.4.1.1.7"  # secondary capture that calls itself CT
    write(dose, tmp_path / "dose.dcm")
    scout = make_slice(2, uid_seed="scout")
    scout.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    write(scout, tmp_path / "scout.dcm")
    found = dropped(tmp_path)
    assert found["D-NOT-DICOM"].files == ("empty", "notes.txt")
    assert found["D-NOT-CT-IMAGE"].files == ("dose.dcm", "report.dcm")
    assert found["D-LOCALIZER"].files == ("scout.dcm",)


def test_at_most_ten_names_are_listed_of_all_that_are_counted(tmp_path):
    make_series(tmp_path, 3)
    for number in range(30):
        (tmp_path / f"{number:02d}.txt").write_text("x")
    finding = dropped(tmp_path)["D-NOT-DICOM"]
    assert (finding.count, len(finding.files)) == (30, 10)
    assert finding.line().endswith("and 20 more)")


def test_links_and_pipes_in_a_folder_are_not_opened(tmp_path):
    make_series(tmp_path / "series", 3)
    (tmp_path / "elsewhere").write_text("secret")
    (tmp_path / "series" / "link.dcm").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "series" / "folder").symlink_to(tmp_path)
    os.mkfifo(tmp_path / "series" / "pipe")
    assert dropped(tmp_path / "series")["D-NOT-REGULAR"].files == ("folder", "link.dcm", "pipe")


def test_a_link_that_the_user_names_is_followed(tmp_path):
    (path,) = make_series(tmp_path / "series", 1)
    (tmp_path / "link.dcm").symlink_to(path)
    assert read_study_files([tmp_path / "link.dcm"]).studies[0].chosen is not None


def test_a_dicomdir_is_never_followed(tmp_path):
    make_series(tmp_path, 3)
    directory = make_slice(0)
    directory.SOPClassUID = "1.2.840.10008.1.3.10"
    write(directory, tmp_path / "DICOMDIR")
    assert dropped(tmp_path)["D-DICOMDIR"].files == ("DICOMDIR",)


def test_an_archive_inside_an_archive_is_left_out(tmp_path):
    make_series(tmp_path / "series", 3)
    zip_of(tmp_path / "series", tmp_path / "series" / "inner.zip")
    zipped = zip_of(tmp_path / "series", tmp_path / "outer.zip")
    assert dropped(zipped)["D-NESTED-ARCHIVE"].files == ("inner.zip",)


def test_where_all_is_an_archive_the_way_out_is_to_unpack_it(tmp_path):
    make_series(tmp_path / "series", 3)
    (tmp_path / "download").mkdir()
    zip_of(tmp_path / "series", tmp_path / "download" / "study.zip")
    with pytest.raises(NoDicomError, match=r"D-NESTED-ARCHIVE: .*\(study\.zip\)\. Unpack it and point there"):
        read_study_files([tmp_path / "download"])


@pytest.fixture
def deep(tmp_path, monkeypatch):
    """A folder with three slices and, 1200 folders down, one of another study; taken away again, since pytest cannot."""
    make_series(tmp_path / "deep", 3)
    monkeypatch.chdir(tmp_path / "deep")
    for _ in range(1200):
        os.mkdir("a")
        os.chdir("a")
    make_series(Path(), 1, uid_seed="b")
    inside = os.open(".", os.O_RDONLY)
    monkeypatch.chdir(tmp_path)
    yield tmp_path / "deep"
    os.chdir(inside)
    os.close(inside)
    for file in os.listdir():
        os.unlink(file)
    for _ in range(1200):
        os.chdir("..")
        os.rmdir("a")


def test_a_tree_deeper_than_pythons_stack_is_read(deep):
    assert len(find_studies([deep]).studies) == 2


def test_names_in_a_zip_never_become_paths(tmp_path):
    (path,) = make_series(tmp_path / "series", 1)
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as archive:
        archive.writestr("../../evil.dcm", path.read_bytes())
        link = zipfile.ZipInfo("link.dcm")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    before = sorted(tmp_path.rglob("*"))
    inventory = read_study_files([tmp_path / "evil.zip"])
    assert sorted(tmp_path.rglob("*")) == before
    assert [item.code.value for item in inventory.dropped] == ["D-NOT-REGULAR"]
    assert inventory.studies[0].chosen is not None


def test_two_members_of_one_name_are_both_read(tmp_path):
    first, second = make_series(tmp_path / "series", 2)
    with zipfile.ZipFile(tmp_path / "same.zip", "w") as archive:
        archive.writestr("IM1", first.read_bytes())
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("IM1", second.read_bytes())
    chosen = read_study_files([tmp_path / "same.zip"]).studies[0].chosen
    assert chosen is not None
    assert len(chosen) == 2


def test_a_cut_zip_is_refused(tmp_path):
    make_series(tmp_path / "series", 3)
    zipped = zip_of(tmp_path / "series", tmp_path / "series.zip")
    zipped.write_bytes(zipped.read_bytes()[:-200])
    with pytest.raises(ArchiveError, match=r"series\.zip: E-ZIP-DAMAGED: a damaged zip") as caught:
        read_study_files([zipped])
    assert caught.value.code == "E-ZIP-DAMAGED"  # pyright: ignore[reportAttributeAccessIssue]


def test_a_zip_with_a_flipped_bit_is_refused(tmp_path):
    make_series(tmp_path / "series", 3)
    zipped = zip_of(tmp_path / "series", tmp_path / "series.zip", zipfile.ZIP_STORED)
    raw = bytearray(zipped.read_bytes())
    raw[5000] ^= 0x10
    zipped.write_bytes(raw)
    with pytest.raises(ArchiveError, match="damaged"):
        read_study_files([zipped])


def test_an_encrypted_zip_is_refused(tmp_path):
    make_series(tmp_path / "series", 1)
    zipped = zip_of(tmp_path / "series", tmp_path / "series.zip")
    raw = bytearray(zipped.read_bytes())
    raw[raw.index(b"PK\x01\x02") + 8] |= 1  # the encryption flag of the central directory
    zipped.write_bytes(raw)
    with pytest.raises(ArchiveError, match="encrypted") as caught:
        read_study_files([zipped])
    assert caught.value.code == "E-ZIP-ENCRYPTED"  # pyright: ignore[reportAttributeAccessIssue]


def test_a_zip_bomb_is_refused_before_it_is_unpacked(tmp_path):
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", bytes(64 * 2**20))
    with pytest.raises(ArchiveError, match="beyond the limits") as caught:
        read_study_files([tmp_path / "bomb.zip"])
    assert caught.value.code == "E-ZIP-LIMIT"  # pyright: ignore[reportAttributeAccessIssue]


def test_a_file_that_only_claims_to_be_a_zip_is_refused(tmp_path):
    (tmp_path / "study.zip").write_text("not a zip at all")
    with pytest.raises(ArchiveError, match=r"study\.zip: E-ZIP-DAMAGED: a damaged zip"):
        read_study_files([tmp_path / "study.zip"])


def test_a_file_above_the_size_limit_is_not_read(tmp_path):
    make_series(tmp_path, 3)
    with (tmp_path / "huge.raw").open("wb") as huge:
        huge.truncate(601 * 2**20)  # sparse: takes no space
    assert dropped(tmp_path)["D-FILE-SIZE"].files == ("huge.raw",)


def test_a_path_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(NoDicomError, match=r"nowhere: E-NO-DICOM: no such file or folder"):
        read_study_files([tmp_path / "nowhere"])


def test_an_empty_folder_has_no_dicom(tmp_path):
    with pytest.raises(NoDicomError, match="E-NO-DICOM: no file at all") as caught:
        read_study_files([tmp_path])
    assert caught.value.code == "E-NO-DICOM"


def test_a_folder_of_other_files_has_no_dicom(tmp_path):
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(NoDicomError, match="E-NO-DICOM: the file is not DICOM"):
        read_study_files([tmp_path])


def test_dicom_without_ct_is_said_so(tmp_path):
    image = make_slice(0)
    image.SOPClassUID, image.Modality = "1.2.840.10008.5.1.4.1.1.4", "MR"
    write(image, tmp_path / "mr.dcm")
    with pytest.raises(NoCtError, match="E-NO-CT: DICOM, but no CT image among 1 files") as caught:
        read_study_files([tmp_path])
    assert caught.value.code == "E-NO-CT"


def test_a_truncated_file_alone_is_refused_by_name(tmp_path):
    (path,) = make_series(tmp_path, 1)
    path.write_bytes(path.read_bytes()[:-100])
    (study,) = read_study_files([path]).studies
    assert study.chosen is None
    assert isinstance(study.refusal, SeriesRefusedError)
    assert f"D-TRUNCATED: Pixel data that end too early: 10140 of 10240 bytes ({path.name})" in str(study.refusal)


def test_a_file_cut_in_its_header_is_refused(tmp_path):
    (path,) = make_series(tmp_path, 1)
    path.write_bytes(path.read_bytes()[:150])
    with pytest.raises((NoDicomError, NoCtError)):
        read_study_files([path])


def test_one_series_uid_in_two_studies_is_two_series(tmp_path):
    def reused(dataset, _index):
        dataset.SeriesInstanceUID = "1.2.3.4"

    make_series(tmp_path / "a", 3, reused)
    make_series(tmp_path / "b", 3, reused, uid_seed="b")
    studies = read_study_files([tmp_path]).studies
    assert len(studies) == 2
    for study in studies:
        assert study.chosen is not None
        assert "W-SERIES-UID-REUSED" in {item.code.value for item in study.chosen.findings}


def test_dicom_without_preamble_is_read_with_a_note(tmp_path):
    (path,) = make_series(tmp_path, 1)
    path.write_bytes(path.read_bytes()[132:])
    (study,) = read_study_files([tmp_path]).studies
    assert study.chosen is not None
    assert "N-NO-PREAMBLE" in {item.code.value for item in study.chosen.findings}


@pytest.mark.parametrize(
    ("syntax", "uid"), [("explicit", b"1.2.840.10008.1.2.1\0"), ("implicit", b"1.2.840.10008.1.2\0")]
)
def test_a_missing_transfer_syntax_is_recognised_from_the_data(tmp_path, syntax, uid):
    (path,) = make_series(tmp_path, 1, syntax=syntax)
    raw = path.read_bytes()
    element = b"\x02\x00\x10\x00UI" + len(uid).to_bytes(2, "little") + uid
    assert element in raw
    path.write_bytes(raw.replace(element, b""))
    (study,) = read_study_files([tmp_path]).studies
    assert study.chosen is not None
    assert "N-TS-ASSUMED" in {item.code.value for item in study.chosen.findings}


def test_a_deflated_bomb_is_dropped_without_being_inflated(tmp_path):
    import zlib

    (path,) = make_series(tmp_path, 1, syntax="deflated")
    make_series(tmp_path, 3, uid_seed="good")
    raw = path.read_bytes()
    start = 132 + 12 + int.from_bytes(raw[140:144], "little")
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    path.write_bytes(raw[:start] + packer.compress(bytes(40 * 2**20)) + packer.flush())
    assert dropped(tmp_path)["D-INFLATE-LIMIT"].files == (path.name,)


def test_a_deeply_nested_sequence_is_dropped(tmp_path):
    make_series(tmp_path, 3, uid_seed="good")
    (path,) = make_series(tmp_path, 1)
    raw = path.read_bytes()
    start = 132 + 12 + int.from_bytes(raw[140:144], "little")
    level = b"\x08\x00\x40\x11SQ\0\0\xff\xff\xff\xff" + b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
    path.write_bytes(raw[:start] + level * 3000 + raw[start:])
    assert dropped(tmp_path)["D-HEADER-LIMIT"].files == (path.name,)


def test_read_header_names_the_file_that_it_refuses(tmp_path):
    (tmp_path / "a.txt").write_text("x" * 400)
    with pytest.raises(PixelsUnreadableError, match=r"a\.txt: D-NOT-DICOM") as caught:
        read_header(tmp_path / "a.txt")
    assert caught.value.code == "D-NOT-DICOM"


@pytest.mark.parametrize(("syntax", "cut"), [("explicit", 100), ("implicit", 100)])
def test_read_ct_header_refuses_what_could_not_be_scored(tmp_path, syntax, cut):
    (path,) = make_series(tmp_path, 1, syntax=syntax)
    assert read_ct_header(path).rows == 64
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(PixelsUnreadableError, match=f"{path.name}: D-TRUNCATED"):
        read_ct_header(path)


def test_reading_leaves_pydicoms_logger_and_the_warning_filters_as_they_were(tmp_path):
    make_series(tmp_path, 3, syntax="jpegls")
    before = list(warnings.filters)
    chosen = read_study_files([tmp_path]).studies[0].chosen
    assert chosen is not None
    list(Volume(chosen).read())
    assert warnings.filters == before
    assert not logging.getLogger("pydicom").disabled


def test_reading_leaks_nothing_through_warnings_or_logs(tmp_path, caplog):
    def marked(dataset, _index):
        dataset.add_new("StudyInstanceUID", "UI", "MARKER")
        dataset.add_new("InstanceNumber", "LO", "MARKER")
        dataset.add_new("SpecificCharacterSet", "CS", "MARKER")

    make_series(tmp_path, 3, marked)
    caplog.clear()
    with caplog.at_level("DEBUG"):
        (study,) = read_study_files([tmp_path]).studies
        assert study.chosen is not None
        list(Volume(study.chosen).read())
    assert "MARKER" not in caplog.text
