"""Files to series: header, pixels, order, gaps, tilt and the choice of the series to score."""

from ich_seq.dicom.checks import read_ct_header
from ich_seq.dicom.choose import Candidate, StudyCandidates
from ich_seq.dicom.codes import Code, Severity
from ich_seq.dicom.findings import Finding
from ich_seq.dicom.header import SliceHeader, read_header
from ich_seq.dicom.inventory import Inventory, read_study_files
from ich_seq.dicom.layout import PixelLayout
from ich_seq.dicom.options import AS_IT_IS, ReadOptions
from ich_seq.dicom.pixels import AIR_HU, read_slice_hu
from ich_seq.dicom.series import Series

__all__ = [
    "AIR_HU",
    "AS_IT_IS",
    "Candidate",
    "Code",
    "Finding",
    "Inventory",
    "PixelLayout",
    "ReadOptions",
    "Series",
    "Severity",
    "SliceHeader",
    "StudyCandidates",
    "read_ct_header",
    "read_header",
    "read_slice_hu",
    "read_study_files",
]
