"""Markers in every place of a header, a zip and a file name that could name a person, and a search for them in what was written."""

import json
import zipfile
from pathlib import Path

import h5py
import pandas as pd
from pyarrow import parquet
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

MARKER = "zqphi"
"""Part of every text planted in a header or a zip comment; upper and lower case count."""
NAME_MARKER = "zqfile"
"""Part of every planted file name."""
DATE, TIME = "18570214", "045913.271828"
DATES_WRITTEN = (DATE, "1857-02-14", "045913.27")

_TEXTS = (
    *("PatientName", "PatientID", "OtherPatientNames", "PatientBirthName", "PatientMotherBirthName", "PatientAddress"),
    *("PatientTelephoneNumbers", "MilitaryRank", "EthnicGroup", "Occupation", "PatientComments", "MedicalAlerts"),
    *("AdditionalPatientHistory", "PatientReligiousPreference", "InstitutionName", "InstitutionAddress", "StationName"),
    *("InstitutionalDepartmentName", "ReferringPhysicianName", "PerformingPhysicianName", "OperatorsName"),
    *("NameOfPhysiciansReadingStudy", "RequestingPhysician", "AccessionNumber", "StudyID", "StudyDescription"),
    *("SeriesDescription", "ProtocolName", "ImageComments", "RequestedProcedureDescription", "Manufacturer"),
    *("ManufacturerModelName", "DeviceSerialNumber", "ContrastBolusAgent", "BodyPartExamined", "ConvolutionKernel"),
    *("PatientSex", "ScanOptions", "SoftwareVersions", "AdmissionID"),
)
_DATES = ("PatientBirthDate", "StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate")
_TIMES = ("StudyTime", "PatientBirthTime", "AcquisitionTime")
FIELDS = len(_TEXTS) + len(_DATES) + len(_TIMES) + 5
"""So many elements are planted: with ImageType, two private ones, and one in each of two sequences."""


def plant(dataset: Dataset, index: int, patient: int = 0) -> None:
    """Writes a marker into every one of FIELDS; each patient has markers of their own."""
    for number, keyword in enumerate(_TEXTS):
        setattr(dataset, keyword, f"{MARKER}{number}p{patient}")
    for keyword in _DATES:
        setattr(dataset, keyword, DATE)
    for keyword in _TIMES:
        setattr(dataset, keyword, TIME)
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL", f"{MARKER}T"]
    for group in (0x0009, 0x0029):
        block = dataset.private_block(group, "PLANTED", create=True)
        block.add_new(0x01, "LO", f"{MARKER}private")
    inside = Dataset()
    inside.PatientID = f"{MARKER}inside"
    dataset.OtherPatientIDsSequence = Sequence([inside])
    inside = Dataset()
    inside.RequestedProcedureDescription = f"{MARKER}inside"
    dataset.RequestAttributesSequence = Sequence([inside])


def planted_names(paths: list[Path]) -> list[Path]:
    """The files renamed to names that carry NAME_MARKER."""
    return [path.rename(path.with_name(f"{NAME_MARKER} {number}.dcm")) for number, path in enumerate(paths)]


def planted_zip(folder: Path, path: Path) -> Path:
    """The files below a folder as a zip whose comments and members' names and comments are planted."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.comment = f"{MARKER} comment".encode()
        for file in sorted(folder.rglob("*.dcm")):
            member = zipfile.ZipInfo(f"{NAME_MARKER} folder/{file.name}")
            member.comment = f"{MARKER} member".encode()
            archive.writestr(member, file.read_bytes())
    return path


def found_in(text: str, *, names: bool = True) -> list[str]:
    """Which markers a text holds; `names` counts those of file names as well."""
    lower = text.lower()
    sought = (MARKER, *DATES_WRITTEN, *((NAME_MARKER,) if names else ()))
    return [marker for marker in sought if marker in lower]


def leaks_below(folder: Path) -> list[str]:
    """Every file below a folder that holds a marker, in its name, in its bytes, or in its unpacked values.

    Of a table of slices the column `path` is let pass: it is how training finds the images.
    """
    leaks = []
    for path in sorted(folder.rglob("*")):
        found = found_in(path.relative_to(folder).as_posix())
        if path.is_file():
            found += found_in(_text_of(path))
        leaks += [f"{path.relative_to(folder)}: {marker}" for marker in found]
    return leaks


def _text_of(path: Path) -> str:
    if path.suffix == ".parquet":
        table = pd.read_parquet(path).drop(columns="path")
        return table.to_csv() + str(parquet.read_schema(path).metadata)
    if path.suffix == ".h5":
        return path.read_bytes().decode("latin-1") + _values_of(path)
    return path.read_bytes().decode("latin-1")


def _values_of(path: Path) -> str:
    texts: list[str] = []

    def visit(name: str, item: h5py.HLObject) -> None:
        texts.append(name + json.dumps({key: str(value) for key, value in item.attrs.items()}))
        if isinstance(item, h5py.Dataset) and item.dtype.kind in "OS":
            texts.append(str(item[()]))

    with h5py.File(path, "r") as file:
        file.visititems(visit)
    return "".join(texts)
