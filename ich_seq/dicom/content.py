"""What a series shows, as far as its header says: kernel, contrast, reformats, body part, age."""

import re
from collections import Counter
from collections.abc import Sequence

from ich_seq.dicom.codes import Code
from ich_seq.dicom.findings import Finding, finding
from ich_seq.dicom.header import SECONDARY_CAPTURES, SliceHeader
from ich_seq.dicom.syntaxes import TRANSFER_SYNTAXES

_PROJECTION = re.compile(
    r"\b(MIP|MIN ?IP|MAX ?IP|MPVR|PROJECTION|VRT|SSD|CPR|CURVED|DOSE|SCREEN|IODINE|MATERIAL|ZEFF|EFFECTIVE"
    r"|PERFUSION|RCBF|RCBV|CBF|CBV|MTT|TTP|TMAX|TDR|MAXIMUM|MINIMUM|SUBTRACT\w*|STD DEVIATION|(VOLUME|SURFACE) REND\w*)\b"
)
_MULTI_ENERGY = re.compile(
    r"\b(VMI|VNC|MONOE?|MONO ?ENERGETIC|EFF ATOMIC NUM|ELECTRON DENSITY|MAT (SPECIFIC|REMOVED|FRACTIONAL|MODIFIED|VALUE BASED))\b"
)
_REFORMAT = re.compile(r"\b(MPR|REFORMATTED|RESAMPLED)\b")
_SHARP = re.compile(r"BONE|EDGE|LUNG|SHARP|ULTRA|INNEREAR|^(Y[A-E]|[DEL])$")
_SIEMENS = re.compile(r"[HBJTUQ][A-Z]?(\d{2})[A-Z]?")
_TOSHIBA = re.compile(r"FC(\d{2})")
_BEFORE_CONTRAST = re.compile(r"\b(PRE|NON|NO|WITHOUT|W/O|WO|UNENHANCED|NATIVE|OHNE|SANS)\b")
_WITH_BOTH = re.compile(r"(\bAND|&|\+)\s*W(ITH)?\b")
_CONTRAST = re.compile(r"\b(CTA|CTV|CECT|ANGIO\w*|CONTRAST|VENOGRA\w*|ARTERIAL|VENOUS)\b|\bC\+|\+C\b")
_OTHER_BODY = re.compile(
    r"\b(CHEST|THORAX|ABDOMEN|PELVIS|LUNG|HEART|CARDIAC|LIVER|KIDNEY|KNEE|HIP|FOOT|HAND|SHOULDER|LSPINE|TSPINE)\b"
)
_ADULT_YEARS = 18.0


def is_sharp_kernel(kernel: str) -> bool:
    """Whether a convolution kernel is made for bone or lung; False for one that is not known.

    GE and others name it in words; Siemens numbers sharpness (50 and above are sharp), Canon marks FC30 to FC39 and
    FC80 up; Philips has letters (UA, UB, UC are head kernels).
    """
    name = kernel.strip().upper()
    if _SHARP.search(name):
        return True
    if siemens := _SIEMENS.match(name):
        return int(siemens.group(1)) >= 50
    if toshiba := _TOSHIBA.match(name):
        return 30 <= int(toshiba.group(1)) < 40 or int(toshiba.group(1)) >= 80
    return False


def has_contrast(header: SliceHeader) -> bool:
    """Whether ContrastBolusAgent or SeriesDescription says that contrast was given ("pre contrast" says the opposite)."""
    description = header.series_description.upper().replace("_", " ")
    if _BEFORE_CONTRAST.search(description) and not _WITH_BOTH.search(description):
        return False
    return header.contrast_bolus_agent or _CONTRAST.search(description) is not None


def is_lossy(header: SliceHeader) -> bool:
    """Whether the pixels are compressed with loss, or were, as the header says."""
    return TRANSFER_SYNTAXES[header.pixels.transfer_syntax_uid].lossy or header.hints.lossy


def main_image_type(headers: Sequence[SliceHeader]) -> tuple[str, ...]:
    """The ImageType that most slices have; of equally common ones the last in the alphabet: ORIGINAL rather than DERIVED."""
    counts = Counter(header.image_type for header in headers)
    return max(counts, key=lambda image_type: (counts[image_type], image_type))


def is_projection(headers: Sequence[SliceHeader]) -> bool:
    """Whether ImageType names a projection, a curved reformat or a parametric map."""
    return _PROJECTION.search(_kind(headers)) is not None


def is_multi_energy(headers: Sequence[SliceHeader]) -> bool:
    """Whether ImageType names an image computed from several energies, whose values are not those of a plain CT.

    Source: DICOM PS3.3 C.8.15.2 (multi-energy CT, Supplement 188): the fourth value.
    """
    return _MULTI_ENERGY.search(_kind(headers)) is not None


def is_reformat(headers: Sequence[SliceHeader]) -> bool:
    """Whether ImageType names a planar reformat."""
    return _REFORMAT.search(_kind(headers)) is not None


def content_findings(headers: Sequence[SliceHeader]) -> list[Finding]:
    """Warnings and notes that follow from the headers of one series alone."""
    first = headers[0]
    codes: list[Code] = [code for code, holds in _content_rules(headers) if holds]
    found = [finding(code) for code in codes]
    if (first.rows, first.columns) != (512, 512):
        found.append(finding(Code.N_MATRIX, f"{first.rows} x {first.columns}"))
    spacing = first.pixel_spacing_mm
    if spacing is not None and abs(spacing[0] - spacing[1]) > 0.005 * spacing[0]:
        found.append(finding(Code.N_ANISOTROPIC, f"{spacing[0]:.3f} x {spacing[1]:.3f} mm"))
    if any(is_lossy(header) for header in headers):
        ratios = [header.hints.lossy_ratio for header in headers if header.hints.lossy_ratio is not None]
        found.append(finding(Code.N_LOSSY, f"{max(ratios):.3g} to 1" if ratios else ""))
    notes = {code for header in headers for code in header.notes}
    return found + [finding(code) for code in sorted(notes, key=lambda code: code.value)]


def _content_rules(headers: Sequence[SliceHeader]) -> list[tuple[Code, bool]]:
    lossy = any(is_lossy(header) for header in headers)
    coarse = any(header.pixels.bits_allocated == 8 for header in headers)
    ages = [header.patient_age_years for header in headers if header.patient_age_years is not None]
    other_body = any(_OTHER_BODY.search(header.body_part_examined) for header in headers)
    return [
        (Code.W_BONE_KERNEL, any(is_sharp_kernel(header.convolution_kernel) for header in headers)),
        (Code.W_CONTRAST, any(has_contrast(header) for header in headers)),
        (Code.W_DERIVED_AXIAL, is_reformat(headers)),
        (Code.W_SC, any(header.sop_class_uid in SECONDARY_CAPTURES for header in headers)),
        (Code.W_PAEDIATRIC, bool(ages) and min(ages) < _ADULT_YEARS),
        (Code.W_MAYBE_NOT_HEAD, other_body),
        (Code.W_LOSSY_8BIT, coarse and lossy),
        (Code.W_8BIT, coarse and not lossy),
        (Code.N_MONOCHROME1, any(h.pixels.photometric_interpretation == "MONOCHROME1" for h in headers)),
    ]


def _kind(headers: Sequence[SliceHeader]) -> str:
    """ImageType from its third value on, as words."""
    return " ".join(main_image_type(headers)[2:]).replace("_", " ")
