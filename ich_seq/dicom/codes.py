"""Every code that reading images or labels can answer with: severity, one sentence, and what to do about it."""

from enum import Enum


class Severity(Enum):
    """How much a finding matters: the letter before its code."""

    REFUSED = "E"
    DROPPED = "D"
    WARNING = "W"
    NOTE = "N"


class Code(Enum):
    """One rule of reading; `value` is the code, `text` says what was found, `remedy` what to do.

    The letter in front is the severity: E refuses the series (or the archive), D drops one file, W accepts with a
    warning that stands beside the scores, N is a note.
    """

    text: str
    remedy: str

    def __new__(cls, code: str, text: str, remedy: str) -> "Code":
        """A member whose value is the code alone."""
        member = object.__new__(cls)
        member._value_ = code
        member.text = text
        member.remedy = remedy
        return member

    @property
    def severity(self) -> Severity:
        """Refused, dropped, warning or note, from the code's first letter."""
        return Severity(self.value[0])

    # Files
    D_NOT_DICOM = ("D-NOT-DICOM", "Not a DICOM file.", "Nothing, unless it should be one.")
    D_DICOMDIR = ("D-DICOMDIR", "A DICOMDIR, which is never followed.", "Nothing: the files themselves are read.")
    D_NOT_REGULAR = ("D-NOT-REGULAR", "A link, pipe, socket or device.", "Copy the file itself into the folder.")
    D_NESTED_ARCHIVE = ("D-NESTED-ARCHIVE", "An archive inside what was given.", "Unpack it and point there.")
    D_FILE_SIZE = ("D-FILE-SIZE", "A file above the size limit.", "Check that it is a CT image.")
    D_INFLATE_LIMIT = ("D-INFLATE-LIMIT", "Deflated data beyond the limit.", "Export again, not deflated.")
    D_UNREADABLE = ("D-UNREADABLE", "A DICOM file that cannot be parsed or decoded.", "Export it again.")
    D_NOT_CT_IMAGE = ("D-NOT-CT-IMAGE", "DICOM, but not a CT image.", "Nothing, unless it should be one.")
    D_LOCALIZER = ("D-LOCALIZER", "A localizer (scout) image.", "Nothing.")
    D_DERIVED = ("D-DERIVED", "A projection or a map among original slices.", "Nothing.")
    D_NO_PIXELS = ("D-NO-PIXELS", "A CT image without pixel data.", "Export it again.")
    D_TRUNCATED = ("D-TRUNCATED", "Pixel data that end too early.", "Copy or export the file again.")
    D_PIXEL_LENGTH = ("D-PIXEL-LENGTH", "Pixel data whose length contradicts the header.", "Export it again.")
    D_TRANSFER_SYNTAX = ("D-TRANSFER-SYNTAX", "A transfer syntax that is not read.", "Export uncompressed.")
    D_CODESTREAM = ("D-CODESTREAM", "Compressed pixels that contradict the header.", "Export it again.")
    D_NOT_GRAYSCALE = ("D-NOT-GRAYSCALE", "A colour image.", "Export the CT slices, not screenshots.")
    D_BITS = ("D-BITS", "A pixel format that CT does not use.", "Export it again.")
    D_MATRIX = ("D-MATRIX", "Rows or columns outside what is read.", "Export the original slices.")
    D_DIMENSION_LIMIT = ("D-DIMENSION-LIMIT", "Dimensions beyond the limit.", "Check where the file comes from.")
    D_BAD_RESCALE = ("D-BAD-RESCALE", "A rescale slope or intercept that is no usable number.", "Export it again.")
    D_NO_RESCALE = ("D-NO-RESCALE", "No rescale in some slices of a series.", "Export the series again.")
    D_BAD_GEOMETRY = ("D-BAD-GEOMETRY", "A position or orientation that is no usable number.", "Export it again.")
    D_NO_POSITION = ("D-NO-POSITION", "No position in some slices of a series.", "Export the series again.")
    D_MULTIFRAME = ("D-MULTIFRAME", "Several frames without usable functional groups.", "Export single slices.")
    D_HEADER_LIMIT = ("D-HEADER-LIMIT", "A header with more elements or levels than are read.", "Export it again.")
    D_DECODER_DIED = (
        "D-DECODER-DIED",
        "The decoder of compressed pixels died or took too long.",
        "Export uncompressed, or check where the file comes from.",
    )
    D_MATRIX_OUTLIER = ("D-MATRIX-OUTLIER", "A matrix that differs from the rest.", "Export the series again.")

    # Archives
    E_ZIP_LIMIT = ("E-ZIP-LIMIT", "A zip beyond the limits.", "Unpack it by hand and check it.")
    E_ZIP_ENCRYPTED = ("E-ZIP-ENCRYPTED", "An encrypted zip.", "Unpack it with its password.")
    E_ZIP_DAMAGED = ("E-ZIP-DAMAGED", "A damaged zip.", "Copy or make the zip again.")

    # What was pointed at
    E_NO_DICOM = ("E-NO-DICOM", "No DICOM file.", "Point at the folder or zip that holds the CT slices.")
    E_NO_CT = ("E-NO-CT", "DICOM, but no CT image.", "Point at the axial CT series.")

    # Series
    E_NO_SERIES_UID = (
        "E-NO-SERIES-UID",
        "No SeriesInstanceUID.",
        "Export the series again, or take the files as one series (--assume-one-series).",
    )
    E_UID_COLLISION = ("E-UID-COLLISION", "One SOPInstanceUID, different pixels.", "Keep the right files only.")
    E_MIXED_PATIENTS = ("E-MIXED-PATIENTS", "Two patients in one series.", "Separate them.")
    E_NOT_AXIAL = ("E-NOT-AXIAL", "Not an axial series.", "Choose an axial series.")
    E_DERIVED = ("E-DERIVED", "Derived images: a projection or a map.", "Choose the original slices.")
    E_NOT_HU = ("E-NOT-HU", "Pixel values that are not HU.", "Choose the original CT slices.")
    E_HU_IMPLAUSIBLE = (
        "E-HU-IMPLAUSIBLE",
        "The values are not those of a head in HU: a wrong intercept or sign, inverted or swapped bytes, or no head.",
        "Look at the images; export the original slices.",
    )
    E_NOT_HEAD = (
        "E-NOT-HEAD",
        "The header names another body part, and the values are not those of a head.",
        "Choose the head series.",
    )
    E_NO_RESCALE = ("E-NO-RESCALE", "No rescale slope and intercept, so HU are unknown.", "Export the original.")
    E_NO_GEOMETRY = (
        "E-NO-GEOMETRY",
        "No position or orientation that can be used.",
        "Export the original slices, or order them by InstanceNumber (--trust-instance-number).",
    )
    E_NO_VOLUME = (
        "E-NO-VOLUME",
        "All slices at one position.",
        "Choose a series that covers the head, or take the first time point (--temporal first).",
    )
    E_CONFLICTING_SLICES = ("E-CONFLICTING-SLICES", "Different images at one position.", "Separate them.")
    E_FRAME_OF_REFERENCE = ("E-FRAME-OF-REFERENCE", "Two scans in one series.", "Separate them.")
    E_TOO_MANY_SLICES = ("E-TOO-MANY-SLICES", "More slices than are read.", "Choose another series.")
    E_INCOMPLETE = ("E-INCOMPLETE", "Too much of the series is missing.", "Export it again, or allow incomplete.")
    E_NO_SLICE_LEFT = ("E-NO-SLICE-LEFT", "No slice of the series can be used.", "See what was dropped and why.")

    # Labels of training data
    E_LABEL_CONFLICT = ("E-LABEL-CONFLICT", "Labels that contradict each other.", "Correct the rows that are named.")
    E_LABEL_INCOMPLETE = ("E-LABEL-INCOMPLETE", "Labels that are missing or unreadable.", "Complete the rows named.")
    E_LABEL_INCONSISTENT = (
        "E-LABEL-INCONSISTENT",
        "An `any` that is not the OR of the five subtypes.",
        "Correct the rows that are named.",
    )
    E_LABEL_WITHOUT_IMAGE = ("E-LABEL-WITHOUT-IMAGE", "Labels whose image is not there.", "Add the images.")
    E_IMAGE_WITHOUT_LABEL = ("E-IMAGE-WITHOUT-LABEL", "Images that nothing asks for.", "Take them out, or list them.")
    E_LEAK = ("E-LEAK", "One patient or series in more than one split.", "Split by patient again.")

    # Warnings beside the scores
    W_SLICE_GAP = ("W-SLICE-GAP", "Slices are missing.", "Export the series again.")
    W_SHORT_COVERAGE = (
        "W-SHORT-COVERAGE",
        "The series covers less than a head, or ends too early.",
        "Check that it is whole.",
    )
    W_COVERAGE = ("W-COVERAGE", "The series covers more than a head.", "Read the scores with care.")
    W_SINGLE_SLICE = ("W-SINGLE-SLICE", "One slice only: there is no sequence.", "Score the whole series.")
    W_FEW_SLICES = ("W-FEW-SLICES", "Very few slices.", "Score the whole series.")
    W_ORIENTATION = ("W-ORIENTATION", "The image is rotated in its plane.", "Read the scores with care.")
    W_ORIENTATION_SPLIT = ("W-ORIENTATION-SPLIT", "Several orientations; the largest stack is used.", "Check.")
    W_POSITION_OUTLIER = ("W-POSITION-OUTLIER", "A slice is shifted in its plane.", "Check that slice.")
    W_SPACING_OUTLIER = (
        "W-SPACING-OUTLIER",
        "Pixel spacing differs within the series; such slices were resampled.",
        "Check them.",
    )
    W_FRAME_OF_REFERENCE = ("W-FRAME-OF-REFERENCE", "Two frames of reference that abut.", "Check the seam.")
    W_MULTI_ACQUISITION = ("W-MULTI-ACQUISITION", "Several acquisitions; one is used.", "Check that it is right.")
    W_DERIVED_AXIAL = ("W-DERIVED-AXIAL", "An axial reformat, not the original slices.", "Prefer the original.")
    W_BONE_KERNEL = ("W-BONE-KERNEL", "A sharp kernel, made for bone.", "Prefer a soft-tissue series.")
    W_CONTRAST = ("W-CONTRAST", "Contrast was given: vessels look like blood.", "Use the series before contrast.")
    W_MAYBE_NOT_HEAD = ("W-MAYBE-NOT-HEAD", "The header names another body part.", "Check that it is a head.")
    W_PAEDIATRIC = ("W-PAEDIATRIC", "A child: outside the training data.", "Read the scores with care.")
    W_SERIES_AMBIGUOUS = ("W-SERIES-AMBIGUOUS", "Two series are equally good.", "Name one with --series.")
    W_SEVERAL_PATIENTS = (
        "W-SEVERAL-PATIENTS",
        "The series of this study name several patients; one series is used.",
        "Separate the patients, or name a series with --series.",
    )
    W_SERIES_UID_REUSED = ("W-SERIES-UID-REUSED", "One series UID in two studies.", "Check de-identification.")
    W_SC = ("W-SC", "A secondary capture, read as CT on request.", "Prefer the original slices.")
    W_NO_POSITION = (
        "W-NO-POSITION",
        "No ImagePositionPatient: slices lie where SliceLocation or, on request, InstanceNumber says.",
        "Prefer the original slices.",
    )
    W_NO_ORIENTATION = (
        "W-NO-ORIENTATION",
        "No ImageOrientationPatient: slices are taken as axial, as their positions or ImageType say.",
        "Prefer the original slices.",
    )
    W_NO_SPACING = (
        "W-NO-SPACING",
        "No PixelSpacing: that of the other slices is taken, or a field of view of 250 mm (0.49 mm a pixel at 512).",
        "Prefer the original slices.",
    )
    W_ASSUMED_SERIES = ("W-ASSUMED-SERIES", "No SeriesInstanceUID: read as one series on request.", "Check.")
    W_FIRST_TIME_POINT = ("W-FIRST-TIME-POINT", "Several time points; the first is used, on request.", "Check.")
    W_NO_RESCALE = (
        "W-NO-RESCALE",
        "No rescale slope and intercept; the values are those of a head in HU as they are.",
        "Check the HU.",
    )
    W_ASSUMED_INTERCEPT = ("W-ASSUMED-INTERCEPT", "No rescale; an intercept was assumed on request.", "Check the HU.")
    W_RESCALE_OUTLIER = (
        "W-RESCALE-OUTLIER",
        "The values of some slices do not fit the others: their rescale is doubted, and they are left out.",
        "Export the series again.",
    )
    W_HU_IMPLAUSIBLE = (
        "W-HU-IMPLAUSIBLE",
        "The share of air, soft tissue or bone is unusual for a head.",
        "Look at the images.",
    )
    W_TS_MISLABELLED = (
        "W-TS-MISLABELLED",
        "The pixel data are not in the transfer syntax that the header states; they were read as what they are.",
        "Check the exporting system.",
    )
    W_PREAMBLE_EXECUTABLE = (
        "W-PREAMBLE-EXECUTABLE",
        "The preamble of a file makes it a program as well; it was read as DICOM only.",
        "Check where the file comes from.",
    )
    W_8BIT = ("W-8BIT", "8-bit pixels: HU are coarse.", "Prefer the original slices.")
    W_LOSSY_8BIT = ("W-LOSSY-8BIT", "8-bit JPEG pixels: HU are coarse and lossy.", "Prefer the original slices.")
    W_WRAPPED_12BIT = ("W-WRAPPED-12BIT", "Air was stored as 3096: values were unwrapped.", "Check the HU.")
    W_EMPTY_SLICE = ("W-EMPTY-SLICE", "A slice of one value only.", "Check that slice.")
    W_PADDING_VALUE = ("W-PADDING-VALUE", "The padding value lies among tissue; it is not applied.", "Check.")
    W_NIFTI = (
        "W-NIFTI",
        "A NIfTI volume: no identity, no word on kernel, contrast or missing slices; HU and orientation are taken as stored.",
        "Prefer the DICOM files.",
    )
    W_NO_AIR = (
        "W-NO-AIR",
        "No value as low as air: HU were clipped, or the background was removed.",
        "Prefer the original.",
    )

    # Notes
    N_NO_PREAMBLE = ("N-NO-PREAMBLE", "DICOM without preamble.", "Nothing.")
    N_PREAMBLE_NONZERO = ("N-PREAMBLE-NONZERO", "The preamble of a file is not empty; it is not read.", "Nothing.")
    N_TS_ASSUMED = ("N-TS-ASSUMED", "No transfer syntax stated; it was recognised from the data.", "Nothing.")
    N_DUPLICATE_FILE = ("N-DUPLICATE-FILE", "The same image twice; used once.", "Nothing.")
    N_DUPLICATE_SLICE = ("N-DUPLICATE-SLICE", "The same pixels twice at one position; used once.", "Nothing.")
    N_UID_NONSTANDARD = ("N-UID-NONSTANDARD", "Identifiers that are not valid UIDs.", "Nothing.")
    N_INSTANCE_ORDER = ("N-INSTANCE-ORDER", "InstanceNumber disagrees with position; position wins.", "Nothing.")
    N_GANTRY_TILT = ("N-GANTRY-TILT", "The gantry was tilted.", "Nothing.")
    N_OBLIQUE = ("N-OBLIQUE", "The stack is oblique to the patient's axes.", "Nothing.")
    N_VARIABLE_SPACING = ("N-VARIABLE-SPACING", "Slice spacing varies by protocol.", "Nothing.")
    N_REORIENTED = ("N-REORIENTED", "Images were flipped so that image right is patient left.", "Nothing.")
    N_ANISOTROPIC = ("N-ANISOTROPIC", "Pixels are not square, and were resampled for the model.", "Nothing.")
    N_MATRIX = ("N-MATRIX", "The matrix is not 512 x 512.", "Nothing.")
    N_PADDING = ("N-PADDING", "Padding outside the field of view was read as -1024 HU.", "Nothing.")
    N_HIGH_BITS = ("N-HIGH-BITS", "Bits above BitsStored were masked.", "Nothing.")
    N_SHIFTED_BITS = (
        "N-SHIFTED-BITS",
        "Stored values lie above the lowest bits of their cells (HighBit); they were shifted.",
        "Nothing.",
    )
    N_MONOCHROME1 = ("N-MONOCHROME1", "MONOCHROME1: HU are not inverted.", "Nothing.")
    N_MODALITY_LUT = ("N-MODALITY-LUT", "HU come from a Modality LUT.", "Nothing.")
    N_THIN_SERIES = (
        "N-THIN-SERIES",
        "Thin slices were averaged to the thickness that the model knows.",
        "Nothing.",
    )
    N_LOSSY = ("N-LOSSY", "The pixels were compressed with loss.", "Nothing.")
