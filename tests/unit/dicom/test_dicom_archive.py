"""Zips that Python's reader trips over, or unpacks without bound, are refused or read. Each was found by the fuzzer."""

import zipfile

import pytest
from dicom_factory import make_series

from ich_seq.dicom import read_study_files
from ich_seq.errors import ArchiveError


def zipped(folder, paths, method=zipfile.ZIP_STORED):
    target = folder / "a.zip"
    with zipfile.ZipFile(target, "w", method) as archive:
        for path in paths:
            archive.write(path, path.name)
    return target


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_member_whose_unpacking_cannot_be_bounded_is_refused_before_it_is_read(tmp_path, method, monkeypatch):
    target = zipped(tmp_path, make_series(tmp_path / "series", 2), method)
    monkeypatch.setattr(zipfile.ZipFile, "open", None)
    with pytest.raises(ArchiveError, match=rf"a\.zip: compression method {method}") as caught:
        read_study_files([target])
    assert caught.value.code == "E-ZIP-LIMIT"  # pyright: ignore[reportAttributeAccessIssue]


def test_a_member_without_a_name_is_a_file_like_any_other(tmp_path):
    paths = make_series(tmp_path / "series", 3)
    target = zipped(tmp_path, paths)
    name = paths[0].name.encode()
    raw = target.read_bytes().replace(name, b"\0" + name[1:])  # Python cuts a name at its first zero byte
    target.write_bytes(raw)
    chosen = read_study_files([target]).studies[0].chosen
    assert chosen is not None
    assert len(chosen) == 3
