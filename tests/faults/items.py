"""Faults of the folder itself: what lies in it besides the slices (catalogue, section A)."""

import os
import shutil
import zipfile
import zlib
from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

from .fault import fault
from .good import GoodSeries, as_it_is, no_object, save

_OBJECTS = {
    "sr": ("1.2.840.10008.5.1.4.1.1.88.33", "SR"),
    "rtstruct": ("1.2.840.10008.5.1.4.1.1.481.3", "RTSTRUCT"),
    "pr": ("1.2.840.10008.5.1.4.1.1.11.1", "PR"),
}


@fault(1, "D-NOT-DICOM")
def other_files(good: GoodSeries, out: Path) -> None:
    good.copy(out)
    (out / ".DS_Store").write_bytes(b"\0\0\0\1Bud1" + bytes(1000))
    (out / "report.pdf").write_bytes(b"%PDF-1.4 " + b"x" * 500)
    (out / "empty.dcm").touch()


@fault(1, "E-NO-DICOM")
def no_dicom_at_all(good: GoodSeries, out: Path) -> None:
    (out / "readme.txt").write_text(f"{len(good)} slices are elsewhere")


@fault(1, "D-NOT-DICOM", "W-SLICE-GAP")
def a_slice_of_no_bytes(good: GoodSeries, out: Path) -> None:
    good.copy(out)
    (out / good.paths[good.middle].name).write_bytes(b"")


@fault(2, "D-DICOMDIR")
def dicomdir(good: GoodSeries, out: Path) -> None:
    good.copy(out)
    directory = no_object(good.load(0))
    record = Dataset()
    with as_it_is():
        record.DirectoryRecordType, record.ReferencedFileID = "IMAGE", ["..", "..", "etc", "passwd"]
        directory.FileSetID, directory.DirectoryRecordSequence = "CD", [record]
    directory.SOPClassUID, directory.SOPInstanceUID = "1.2.840.10008.1.3.10", generate_uid(entropy_srcs=["cd"])
    save(directory, out / "DICOMDIR")


@fault(3, "D-NOT-REGULAR")
def a_link_out_of_the_folder(good: GoodSeries, out: Path) -> None:
    good.copy(out)
    (out / "link.dcm").symlink_to(good.paths[good.middle])


@fault(3, "D-NOT-REGULAR")
def a_pipe(good: GoodSeries, out: Path) -> None:
    good.copy(out)
    os.mkfifo(out / "pipe.dcm")


@fault(4, "D-NESTED-ARCHIVE")
def a_zip_among_the_files(good: GoodSeries, out: Path) -> None:
    good.copy(out)
    with zipfile.ZipFile(out / "more.zip", "w") as archive:
        archive.write(good.paths[0], "slice.dcm")


@fault(6, "W-PREAMBLE-EXECUTABLE")
def a_preamble_that_runs(good: GoodSeries, out: Path) -> None:
    good.copy(out)
    path = out / good.paths[good.middle].name
    path.write_bytes(b"MZ\x90\x00" + b"\3" * 124 + path.read_bytes()[128:])


@fault(8, "D-NOT-CT-IMAGE")
def other_objects_of_the_study(good: GoodSeries, out: Path) -> None:
    good.copy(out)
    for name, (sop_class, modality) in _OBJECTS.items():
        other = no_object(good.load(0))
        other.SOPClassUID, other.Modality = sop_class, modality
        other.SOPInstanceUID, other.SeriesInstanceUID = (generate_uid(entropy_srcs=[name, kind]) for kind in "ab")
        save(other, out / f"{name}.dcm")


@fault(8, "D-NOT-CT-IMAGE")
def a_dose_page(good: GoodSeries, out: Path) -> None:
    def change(dataset: Dataset) -> None:
        dataset.SOPClassUID, dataset.ImageType = SecondaryCaptureImageStorage, ["DERIVED", "SECONDARY", "DOSE_INFO"]

    good.copy(out)
    good.add(out, change, "dose.dcm")


@fault(9, "E-NO-CT")
def secondary_captures_only(good: GoodSeries, out: Path) -> None:
    good.edit(out, lambda dataset: setattr(dataset, "SOPClassUID", SecondaryCaptureImageStorage))


@fault(17, "D-UNREADABLE", "W-SLICE-GAP")
def a_header_that_cannot_be_parsed(good: GoodSeries, out: Path) -> None:
    """An element of the file meta information claims 2 GB."""
    good.copy(out)
    path = out / good.paths[good.middle].name
    raw = path.read_bytes()
    version = raw.index(b"\x02\x00\x01\x00OB") + 8
    path.write_bytes(raw[:version] + b"\xff\xff\xff\x7f" + raw[version + 4 :])


@fault(17, "D-HEADER-LIMIT", "W-SLICE-GAP")
def a_header_nested_beyond_reason(good: GoodSeries, out: Path) -> None:
    """Two hundred sequences, each inside the one before, as bytes: pydicom cannot write them."""
    good.copy(out)
    path = out / good.paths[good.middle].name
    raw = path.read_bytes()
    start = 144 + int.from_bytes(raw[140:144], "little")
    opened = b"\x08\x00\x40\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff"
    closed = b"\xfe\xff\x0d\xe0\0\0\0\0\xfe\xff\xdd\xe0\0\0\0\0"
    path.write_bytes(raw[:start] + opened * 200 + closed * 200 + raw[start:])


@fault(75, "D-INFLATE-LIMIT", "W-SLICE-GAP")
def a_deflated_bomb(good: GoodSeries, out: Path) -> None:
    """A slice whose 30 kB inflate to 32 MiB."""
    dataset = good.load(good.middle)
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    dataset.PixelData = b"\0\0"
    good.copy(out)
    path = out / good.paths[good.middle].name
    with as_it_is():
        dataset.save_as(path, enforce_file_format=True)
    raw = path.read_bytes()
    start = 144 + int.from_bytes(raw[140:144], "little")
    machine = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    plain = zlib.decompress(raw[start:], -zlib.MAX_WBITS)
    path.write_bytes(raw[:start] + machine.compress(plain + bytes(1 << 25)) + machine.flush())


@fault(18, "D-LOCALIZER")
def a_localizer_among_the_slices(good: GoodSeries, out: Path) -> None:
    def change(dataset: Dataset) -> None:
        dataset.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
        dataset.ImageOrientationPatient = ["1", "0", "0", "0", "0", "-1"]

    good.copy(out)
    good.add(out, change, "scout.dcm")


@fault(18, "E-NO-CT")
def localizers_only(good: GoodSeries, out: Path) -> None:
    good.edit(out, lambda dataset: setattr(dataset, "ImageType", ["ORIGINAL", "PRIMARY", "LOCALIZER"]), {0, 1})
    for path in good.paths[2:]:
        (out / path.name).unlink()


@fault(56, "D-NOT-GRAYSCALE")
def a_screenshot_in_colour(good: GoodSeries, out: Path) -> None:
    def change(dataset: Dataset) -> None:
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation, dataset.PlanarConfiguration = 3, "RGB", 0
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 8, 8, 7, 0
        dataset.PixelData = bytes(3 * dataset.Rows * dataset.Columns)

    good.copy(out)
    good.add(out, change, "screen.dcm")


@fault(42, "W-SLICE-GAP")
def a_slice_in_another_folder_only(good: GoodSeries, out: Path) -> None:
    """Sub-folders are read, so nothing would be missing; here one slice was not copied from its own."""
    for index, path in enumerate(good.paths):
        if index != good.middle:
            (out / f"{index % 3}").mkdir(exist_ok=True)
            shutil.copyfile(path, out / f"{index % 3}" / path.name)
