"""Head scans in NIfTI, in HU: slices like a Volume's, without all that only DICOM says. nibabel is loaded when a file is read."""

from ich_seq.nifti.file import ENDINGS, is_nifti
from ich_seq.nifti.scan import NiftiScan, read_square_slice, read_stored_slice
from ich_seq.nifti.volume import NiftiVolume

__all__ = ["ENDINGS", "NiftiScan", "NiftiVolume", "is_nifti", "read_square_slice", "read_stored_slice"]
