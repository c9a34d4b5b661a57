"""Every limit of reading, in one table: how much of a file, an archive or a series is believed before it is refused."""

from dataclasses import dataclass

MIB = 1024 * 1024
GIB = 1024 * MIB


@dataclass(frozen=True, slots=True)
class Limits:
    """What is accepted at most (or at least); sizes in bytes, lengths in mm, angles in degrees."""

    file_bytes: int = 600 * MIB
    """Largest file or archive member."""
    archive_members: int = 20_000
    """Most members of one zip."""
    directory_bytes: int = 64 * MIB
    """Largest central directory of a zip."""
    archive_bytes: int = 8 * GIB
    """Most bytes that one zip may unpack to."""
    archive_ratio: int = 30
    """Most bytes out of a whole zip for each byte in, once it unpacks to more than `archive_ratio_from` bytes."""
    archive_ratio_from: int = GIB
    """Size below which a whole zip's ratio is not looked at."""
    volume_bytes: int = 2 * GIB
    """Most bytes of one NIfTI volume, inflated: it is held in memory."""
    inflate_ratio: int = 200
    """Most bytes out for each byte in, once `inflate_ratio_from` bytes have come out."""
    inflate_ratio_from: int = 10 * MIB
    """Size below which the ratio is not looked at: an empty slice compresses very well."""
    inflated_bytes: int = 96 * MIB
    """Most bytes of an inflated data set, which is held in memory: the largest slice and a header."""
    header_elements: int = 100_000
    """Most elements and items that are walked in one header; a sequence that is stepped over counts once."""
    header_depth: int = 64
    """Most levels of sequences in one header."""
    group_elements: int = 1000
    """Most elements of the file meta information, and of the group of the pixel data."""
    meta_bytes: int = MIB
    """Largest value that is read of a header or of the file meta information."""
    slice_bytes: int = 64 * MIB
    """Most bytes of one decoded slice."""
    encapsulated_bytes: int = 128 * MIB
    """Most bytes of one compressed pixel element."""
    fragments: int = 100_000
    """Most fragments of one compressed pixel element."""
    tiles: int = 4096
    """Most tiles of one JPEG 2000 stream."""
    decoder_bytes: int = 2 * GIB
    """Most memory (address space) of a process that decodes compressed pixels."""
    decoder_seconds: int = 20
    """Longest time for one compressed frame; then its decoder is killed."""
    decoder_start_seconds: int = 60
    """Longest time for a decoding process to start."""
    frames: int = 10_000
    """Most frames of one file."""
    trailing_pixel_bytes: int = 1024
    """Bytes that native pixel data may have too many: padding."""
    matrix_min: int = 64
    """Fewest rows or columns of a CT slice."""
    matrix_max: int = 4096
    """Most rows or columns of a CT slice."""
    slices: int = 3000
    """Most slices of one series."""
    intercept_hu: float = 32768.0
    """Largest rescale intercept, either way."""
    slope: float = 100.0
    """Largest rescale slope; it must be positive."""
    hu_step: float = 0.30
    """Largest distance of the HU of neighbouring slices (`plausibility.rescale_outliers`)."""
    hu_step_other_rescale: float = 0.15
    """The same where the two slices make HU of stored values in different ways."""
    least_body: float = 0.01
    """Least share of an image that is not air, to be judged by what it consists of."""
    names_listed: int = 10
    """Most file names kept in one finding."""
    coordinate_mm: float = 10_000.0
    """Largest coordinate of a slice, either way: no scanner is larger."""
    orthonormal: float = 1e-3
    """Tolerance of ImageOrientationPatient's lengths and dot product."""
    orientation_deg: float = 1.0
    """Largest angle between two slices of one stack."""
    axial_deg: float = 45.0
    """Largest angle between the slice normal and the patient's long axis."""
    rotation_deg: float = 20.0
    """Largest in-plane rotation that counts as aligned with the patient's axes."""
    tilt_deg: float = 0.5
    """Smallest gantry tilt that is worth a note."""
    same_position_mm: float = 0.1
    """Slices closer than this share a position."""
    spacing_tolerance: float = 0.02
    """Relative tolerance of equal spacings; at least `same_position_mm`."""
    gap_ratio: float = 1.5
    """A step above this many expected spacings is a gap."""
    gap_mm: float = 20.0
    """Largest distance between neighbours."""
    rounding_mm: float = 1e-3
    """What projections of decimal strings onto the normal may be off: a step this little above a limit is at the limit."""
    missing_share: float = 0.10
    """Largest share of slices that may be missing."""
    in_plane_shift_mm: float = 1.0
    """Largest in-plane deviation from the line through the slice origins."""
    in_plane_lost_mm: float = 50.0
    """In-plane deviation above which a position is taken for none, such as the 0\\0\\0 of a writer that knows none."""
    pixel_spacing: float = 0.005
    """Relative tolerance of equal pixel spacings."""
    coverage_min_mm: float = 90.0
    """Least coverage of a whole head."""
    coverage_max_mm: float = 300.0
    """Most coverage of a head alone."""
    coverage_usual_mm: float = 120.0
    """Coverage below which numbers that do not begin with 1 count as a sign that slices are missing at an end."""
    assumed_field_mm: float = 250.0
    """Width of the field of view where no slice states PixelSpacing: usual for head CT, 0.49 mm a pixel at 512."""
    localizers: int = 2
    """Most upright images among axial ones that are taken as localizers."""
    few_slices: int = 5
    """Fewer slices than this are worth a warning."""


LIMITS = Limits()
"""The limits in force. Source: the catalogue of ingestion cases; each was checked against the real series at hand."""
