"""A NIfTI volume as scoring wants it: judged before anything is computed, named by its content, no DICOM header made up for it."""

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, overload

import numpy as np

from ich_seq.dicom.codes import Code, Severity
from ich_seq.dicom.findings import Finding, finding, gather
from ich_seq.dicom.geometry import angle_deg
from ich_seq.dicom.limits import LIMITS
from ich_seq.dicom.pixels import AIR_HU, undeclared_padding_hu
from ich_seq.dicom.plausibility import HuCounts, count_hu, judge
from ich_seq.dicom.series import extent_findings, incomplete_error
from ich_seq.dicom.spacing import Spacing, analyse_spacing
from ich_seq.dicom.verdict import refusal_by
from ich_seq.errors import IchSeqError, SeriesRefusedError
from ich_seq.nifti.scan import NiftiScan
from ich_seq.volume import Slice, SliceStack

NAME_PREFIX = "nifti-"
"""What stands where DICOM has UIDs begins so: no UID does, since those are digits and full stops."""

_LEAST_SPAN_HU = 256.0
_AIR_HU = -500.0
_COARSER = 1.5
_DIGEST_MM = 3


@dataclass(frozen=True, slots=True)
class Values:
    """The smallest and the largest value of a volume, the slices that have one value only, and the classes of HU of each."""

    lowest: float
    highest: float
    empty: tuple[int, ...]
    counts: tuple[HuCounts, ...]


class NiftiVolume(Sequence):  # as Volume: its type parameter is left out, so that run-time checkers read no slice
    """The slices of a NIfTI volume in HU, feet to head, turned as `Volume` turns them, with what is known of it.

    Every slice is read once when it is opened: for its digest, and because values that are not HU must be refused before they are
    scored. Its names are `nifti-` and 16 digits of the digest, a slice's with `#` and its place in the file from 0. `refusal` says why
    it must not be scored; an `IncompleteSeriesError` (steps wider than a gap may be) may be overridden.
    """

    source_format: Literal["nifti"] = "nifti"

    def __init__(self, path: Path) -> None:
        """Opens and judges a volume.

        Raises:
            PixelsUnreadableError: as `NiftiScan`, or a value is not finite.
        """
        self.scan = NiftiScan(path)
        self._spacing = _spacing(self.scan)
        self.refusal: IchSeqError | None = _geometry_refusal(self.scan, self._spacing)
        self.values, self._digest = self._look()
        self.refusal = self.refusal or _value_refusal(self.scan, self.values)
        if self.refusal is None and self._spacing.refused:
            self.refusal = incomplete_error(self._spacing)

    def __len__(self) -> int:
        return len(self.scan)

    @overload
    def __getitem__(self, index: int) -> Slice: ...
    @overload
    def __getitem__(self, index: slice) -> list[Slice]: ...
    def __getitem__(self, index: int | slice) -> Slice | list[Slice]:
        """One slice (or a list of them) in HU. Raises as `NiftiScan`."""
        if isinstance(index, slice):
            return [self.scan[i] for i in range(*index.indices(len(self)))]
        return self.scan[index]

    def read(self) -> Iterator[tuple[int, Slice]]:
        """Index and HU of every slice, feet to head."""
        for index in range(len(self)):
            yield index, self.scan[index]

    @property
    def left_out(self) -> frozenset[int]:
        """No slice: one file has one rescale."""
        return frozenset()

    def settled(self) -> "NiftiVolume":
        """This volume: a file whose slices cannot all be read was refused when it was opened."""
        return self

    @property
    def study_instance_uid(self) -> str:
        """No UID: `nifti-` and the first 16 digits of `pixel_digest`."""
        return f"{NAME_PREFIX}{self._digest[:16]}"

    @property
    def series_instance_uid(self) -> str:
        """As `study_instance_uid`."""
        return self.study_instance_uid

    @property
    def sop_instance_uids(self) -> tuple[str, ...]:
        """The volume's name, `#`, and the slice's place along its axis in the file, from 0."""
        return tuple(f"{self.study_instance_uid}#{place}" for place in self.scan.stored)

    @property
    def findings(self) -> list[Finding]:
        """What was noticed; first of all that nothing vouches for a NIfTI file."""
        found = [finding(Code.W_NIFTI), *_geometry_findings(self.scan, self.stack)]
        found += extent_findings(self.positions_mm, self._spacing)
        if self._spacing.refused:
            found.append(finding(Code.E_INCOMPLETE, f"slices are {self._spacing.spacing_mm:.1f} mm apart"))
        if self.values.lowest > _AIR_HU:
            found.append(finding(Code.W_NO_AIR, f"the lowest is {self.values.lowest:.0f}"))
        elif (verdict := judge(self.values.counts)) is not None:
            found.append(verdict)
        found += [finding(Code.W_EMPTY_SLICE, positions_mm=[self.positions_mm[index]]) for index in self.values.empty]
        return gather(found)

    @property
    def positions_mm(self) -> tuple[float, ...]:
        """Position of each slice along the normal in mm, ascending from feet to head."""
        return self.scan.positions_mm

    @property
    def pixel_spacing_mm(self) -> tuple[float, float]:
        """Distance between rows and between columns of the slices as they are returned."""
        return self.scan.pixel_spacing_mm

    @property
    def image_positions_patient(self) -> tuple[tuple[float, float, float], ...]:
        """Centre of the first voxel of each slice as it is returned, LPS in mm."""
        first, step = self.scan.affine[:3, 3], self.scan.affine[:3, 2]
        return tuple(_point(first + step * index) for index in range(len(self)))

    @property
    def stack(self) -> SliceStack:
        """Size and geometry of the slices."""
        rows, columns = self.scan.shape
        positions = self.positions_mm
        step = self.scan.affine[:3, 2]
        return SliceStack(
            rows=rows,
            columns=columns,
            spacing_mm=self._spacing.spacing_mm,
            coverage_mm=positions[-1] - positions[0] + self._spacing.spacing_mm,
            tilt_deg=angle_deg(self.scan.normal, step / np.linalg.norm(step)),
            gaps=tuple((gap.after_mm, gap.gap_mm) for gap in self._spacing.gaps),
        )

    def pixel_digest(self) -> str:
        """SHA-256 (hex) over HU and geometry of all slices in order, positions to 0.001 mm.

        The same scan stored along other axes has the same digest; the DICOM series that it was made from has another.
        """
        return self._digest

    def _look(self) -> tuple[Values, str]:
        total = hashlib.sha256(b"nifti")
        geometry = np.round(self.scan.affine, _DIGEST_MM) + 0.0  # no negative zero
        total.update(geometry.astype("<f8").tobytes())
        lowest, highest, empty, counts = math.inf, -math.inf, [], []
        for index, hu in self.read():
            low, high = float(hu.min()), float(hu.max())
            lowest, highest = min(lowest, low), max(highest, high)
            counts.append(_counts(hu))
            if low == high:
                empty.append(index)
            total.update(np.ascontiguousarray(hu, dtype="<f4").data)
        return Values(lowest, highest, tuple(empty), tuple(counts)), total.hexdigest()


def _counts(hu: Slice) -> HuCounts:
    """The classes of HU of one slice, what its corners show to be padding left out."""
    below = undeclared_padding_hu(hu, lossy=False)
    if below is None:
        return count_hu(hu, 0)
    padding = hu <= np.float32(below)
    return count_hu(np.where(padding, np.float32(AIR_HU), hu), int(np.count_nonzero(padding)))


def _spacing(scan: NiftiScan) -> Spacing:
    return analyse_spacing(scan.positions_mm, [None] * len(scan))


def _geometry_refusal(scan: NiftiScan, spacing: Spacing) -> IchSeqError | None:
    rows, columns = scan.shape
    if not scan.oriented:
        return _refusal(
            scan, Code.E_NO_GEOMETRY, "sform_code and qform_code are 0", "set sform_code once the affine is right"
        )
    if scan.normal[2] < math.cos(math.radians(LIMITS.axial_deg)):
        return _refusal(
            scan, Code.E_NOT_AXIAL, "no axis of the file is within 45 degrees of feet to head", "resample it"
        )
    if not LIMITS.matrix_min <= min(rows, columns) <= max(rows, columns) <= LIMITS.matrix_max:
        detail = f"its axial slices have {rows} x {columns} pixels"
        return _refusal(scan, Code.D_MATRIX, detail, "give the axial acquisition at its own resolution")
    if len(scan) > LIMITS.slices:
        return _refusal(scan, Code.E_TOO_MANY_SLICES, f"{len(scan)}; at most {LIMITS.slices}", "give the head alone")
    return None


def _value_refusal(scan: NiftiScan, values: Values) -> IchSeqError | None:
    """A head in HU spans air and bone; grey values, shares, a mask and windowed images do not, stored values have no negative ones."""
    span = f"they go from {values.lowest:.6g} to {values.highest:.6g}"
    remedy = "convert the DICOM series again without window or normalisation"
    if values.highest - values.lowest < _LEAST_SPAN_HU:
        return _refusal(scan, Code.E_NOT_HU, f"{span}, where HU of a head span 1000 and more", remedy)
    if values.lowest >= 0:
        what = f"{span}, where HU of air are -1000"
        return _refusal(
            scan, Code.E_NOT_HU, what, f"{remedy}, or set scl_slope and scl_inter if these are stored values"
        )
    verdict = judge(values.counts) if values.lowest <= _AIR_HU else None
    if verdict is not None and verdict.severity is Severity.REFUSED:
        error = refusal_by(verdict)
        return SeriesRefusedError(f"{scan.path.name}: {error.message}", code=error.code)
    return None


def _refusal(scan: NiftiScan, code: Code, what: str, remedy: str) -> SeriesRefusedError:
    text = code.text.rstrip(".")
    return SeriesRefusedError(f"{scan.path.name}: {code.value}: {text}: {what}; {remedy}", code=code.value)


def _geometry_findings(scan: NiftiScan, stack: SliceStack) -> list[Finding]:
    found = []
    row_mm, column_mm = scan.pixel_spacing_mm
    if stack.tilt_deg > LIMITS.tilt_deg:
        found.append(finding(Code.N_GANTRY_TILT, f"{stack.tilt_deg:.1f} degrees"))
    elif (oblique := math.degrees(math.acos(min(1.0, float(scan.normal[2]))))) > LIMITS.tilt_deg:
        found.append(finding(Code.N_OBLIQUE, f"{oblique:.1f} degrees"))
    along_row = scan.affine[:3, 0] / column_mm
    if (turned := angle_deg(along_row, np.array([1.0, 0.0, 0.0]))) > LIMITS.rotation_deg:
        found.append(finding(Code.W_ORIENTATION, f"{turned:.0f} degrees"))
    if len(scan) > 1 and max(row_mm, column_mm) > _COARSER * stack.spacing_mm:
        found.append(finding(Code.W_DERIVED_AXIAL, f"pixels of {row_mm:.2f} x {column_mm:.2f} mm"))
    elif abs(row_mm - column_mm) > LIMITS.pixel_spacing * row_mm:
        found.append(finding(Code.N_ANISOTROPIC, f"{row_mm:.3f} x {column_mm:.3f} mm"))
    if (stack.rows, stack.columns) != (512, 512):
        found.append(finding(Code.N_MATRIX, f"{stack.rows} x {stack.columns}"))
    return found


def _point(position: np.ndarray) -> tuple[float, float, float]:
    x, y, z = (round(float(value), 6) for value in position)
    return x, y, z
