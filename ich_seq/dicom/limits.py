"""Every limit of reading, in one table: how much of a file, an archive or a series is believed before it is refused."""

from dataclasses import dataclass

MIB = 1024 * 1024
GIB = 1024 * MIB


@dataclass(frozen=True, slots=True)
class Limits:
    """What is accepted at most (or at least); sizes in bytes, lengths in mm, angles in degrees."""

    file_bytes: int = 600 * MIB
    """Largest file, archive member or inflated data set."""
    archive_members: int = 20_000
    """Most members of one zip."""
    archive_bytes: int = 8 * GIB
    """Most bytes that one zip may unpack to."""
    volume_bytes: int = 2 * GIB
    """Most bytes of one NIfTI volume, inflated: it is held in memory."""
    inflate_ratio: int = 200
    """Most bytes out for each byte in, once `inflate_ratio_from` bytes have come out."""
    inflate_ratio_from: int = 10 * MIB
    """Size below which the ratio is not looked at: an empty slice compresses very well."""
    meta_bytes: int = MIB
    """Largest value in the file meta information."""
    slice_bytes: int = 64 * MIB
    """Most bytes of one decoded slice."""
    encapsulated_bytes: int = 128 * MIB
    """Most bytes of one compressed pixel element."""
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
    names_listed: int = 10
    """Most file names kept in one finding."""
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
    missing_share: float = 0.10
    """Largest share of slices that may be missing."""
    acquisition_share: float = 0.8
    """Least share of a stack's length that an acquisition among others covers to be a scan of its own."""
    in_plane_shift_mm: float = 1.0
    """Largest in-plane deviation from the line through the slice origins."""
    pixel_spacing: float = 0.005
    """Relative tolerance of equal pixel spacings."""
    coverage_min_mm: float = 90.0
    """Least coverage of a whole head."""
    coverage_max_mm: float = 300.0
    """Most coverage of a head alone."""
    few_slices: int = 5
    """Fewer slices than this are worth a warning."""


LIMITS = Limits()
"""The limits in force. Source: the catalogue of ingestion cases; each was checked against the real series at hand."""
