"""Zips beyond what is read, archives inside archives, and what stands in front of a file."""

import random
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from dicom_factory import make_series

from ich_seq.dicom import read_slice_hu, read_study_files, sources
from ich_seq.errors import ArchiveError, NoDicomError
from ich_seq.volume import Volume


def zip_of(folder, target, compression=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(target, "w", compression) as archive:
        for path in sorted(folder.rglob("*")):
            archive.write(path, path.relative_to(folder))
    return target


def dropped(folder):
    return {item.code.value: item for item in read_study_files([folder]).dropped}


@pytest.mark.parametrize(
    ("start", "code"),
    [
        (b"MZ\x90\x00", "W-PREAMBLE-EXECUTABLE"),
        (b"\x7fELF\x02", "W-PREAMBLE-EXECUTABLE"),
        (b"\xcf\xfa\xed\xfe", "W-PREAMBLE-EXECUTABLE"),
        (b"\xfe\xed\xfa\xce", "W-PREAMBLE-EXECUTABLE"),
        (b"\xca\xfe\xba\xbe", "W-PREAMBLE-EXECUTABLE"),
        (b"#!/bin/sh\n", "W-PREAMBLE-EXECUTABLE"),
        (b"II*\0", "N-PREAMBLE-NONZERO"),
        (b"%PDF-1.7", "N-PREAMBLE-NONZERO"),
        (b"\0\0written by", "N-PREAMBLE-NONZERO"),
    ],
)
def test_a_preamble_is_never_read_and_what_it_would_be_elsewhere_is_said(tmp_path, start, code):
    paths = make_series(tmp_path, 3)
    paths[1].write_bytes(start.ljust(128, b"\0") + paths[1].read_bytes()[128:])
    chosen = read_study_files([tmp_path]).studies[0].chosen
    assert chosen is not None
    assert {item.code.value for item in chosen.findings if "PREAMBLE" in item.code.value} == {code}


def test_a_large_member_is_not_inflated_to_see_that_it_is_no_dicom(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("noise", random.Random(0).randbytes(1024 * 1024) * 4)
    raw = (tmp_path / "a.zip").read_bytes()
    (tmp_path / "a.zip").write_bytes(raw[:2_000_000] + b"\0" * 4096 + raw[2_004_096:])  # nobody gets as far as this
    with pytest.raises(NoDicomError, match="the file is not DICOM"):
        read_study_files([tmp_path / "a.zip"])


def test_a_member_too_large_for_memory_is_read_where_it_is_needed(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "LIMITS", replace(sources.LIMITS, slice_bytes=4096))
    for compression in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        paths = make_series(tmp_path / f"series{compression}", 3)
        zipped = zip_of(tmp_path / f"series{compression}", tmp_path / f"{compression}.zip", compression)
        chosen = read_study_files([zipped]).studies[0].chosen
        assert chosen is not None
        for path, (_, hu) in zip(paths, Volume(chosen).read(), strict=True):
            np.testing.assert_array_equal(hu, read_slice_hu(path))


def test_members_that_are_not_stored_or_deflated_are_refused(tmp_path):
    for number, method in enumerate((zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)):
        make_series(tmp_path / "series", 1)
        zipped = zip_of(tmp_path / "series", tmp_path / f"{number}.zip", method)
        with pytest.raises(ArchiveError, match=f"{number}.zip: compression method") as caught:
            read_study_files([zipped])
        assert caught.value.code == "E-ZIP-LIMIT"  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize("flag", [0x40, 0x2000])
def test_strongly_encrypted_zips_are_refused_as_encrypted(tmp_path, flag):
    make_series(tmp_path / "series", 1)
    zipped = zip_of(tmp_path / "series", tmp_path / "series.zip")
    raw = bytearray(zipped.read_bytes())
    at = raw.index(b"PK\x01\x02") + 8
    raw[at : at + 2] = flag.to_bytes(2, "little")
    zipped.write_bytes(raw)
    with pytest.raises(ArchiveError, match="encrypted"):
        read_study_files([zipped])


@pytest.mark.parametrize("start", [b"PK\x03\x04", b"7z\xbc\xaf\x27\x1c", b"Rar!\x1a\x07\0", b"\xfd7zXZ\0", b"BZh9"])
def test_archives_inside_a_folder_are_left_out_by_name(tmp_path, start):
    make_series(tmp_path, 3)
    (tmp_path / "more").write_bytes(start + bytes(500))
    assert dropped(tmp_path)["D-NESTED-ARCHIVE"].files == ("more",)
