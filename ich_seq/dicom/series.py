"""One series: its slices feet to head, with their geometry, what was noticed, and whether they may be read as one head scan."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float64

from ich_seq.dicom.arrange import arrange
from ich_seq.dicom.codes import Code
from ich_seq.dicom.content import content_findings
from ich_seq.dicom.findings import Finding, SeriesFaultError, finding, gather, holes_in
from ich_seq.dicom.geometry import (
    InPlane,
    in_plane_of,
    normal_of,
    position_of,
    shifted_slices,
    tilt_deg,
    usual_slice,
)
from ich_seq.dicom.header import SliceHeader, is_valid_uid
from ich_seq.dicom.limits import LIMITS
from ich_seq.dicom.options import AS_IT_IS, ReadOptions
from ich_seq.dicom.spacing import Gap, Spacing, analyse_spacing
from ich_seq.errors import IchSeqError, IncompleteSeriesError, SeriesRefusedError


@dataclass(frozen=True, slots=True)
class Series:
    """The slices of one series, feet to head.

    Lengths in mm along `normal` (a unit vector in LPS that points to the head); `positions_mm` ascend. `spacing_mm` is
    the median step that is no gap, 0 for one slice. `refusal` says why the series must not be scored; an
    `IncompleteSeriesError` may be overridden by the user, any other not, and then only `headers` and `findings` mean
    anything. `in_plane` is how each image is turned on reading.
    """

    headers: tuple[SliceHeader, ...]
    study_instance_uid: str
    series_instance_uid: str
    findings: list[Finding]
    normal: Float64[np.ndarray, "3"]
    positions_mm: tuple[float, ...]
    spacing_mm: float
    tilt_deg: float
    gaps: list[tuple[float, float]]
    in_plane: InPlane
    refusal: IchSeqError | None

    def __len__(self) -> int:
        return len(self.headers)

    @property
    def complete(self) -> bool:
        """Whether no slice is missing between the first and the last."""
        return not self.gaps and self.refusal is None

    @property
    def coverage_mm(self) -> float:
        """From the first slice to the last along the normal, plus one spacing."""
        if not self.positions_mm:
            return 0.0
        return self.positions_mm[-1] - self.positions_mm[0] + self.spacing_mm

    def without(self, indices: Sequence[int], found: Sequence[Finding]) -> "Series":
        """The series without some slices, all that follows from the others judged again; `found` says why they are gone."""
        gone = set(indices)
        kept = [header for index, header in enumerate(self.headers) if index not in gone]
        again = {Code.E_INCOMPLETE, *(item.code for item in _measured(list(self.headers), []).findings)}
        known = [item for item in self.findings if item.code not in again]
        if not kept:
            refused = _refused(list(self.headers), SeriesFaultError(Code.E_NO_SLICE_LEFT), [*known, *found])
            return replace(refused, headers=())
        return _measured(kept, [*known, *found])


def build_series(
    headers: Sequence[SliceHeader], dropped: Sequence[Finding] = (), options: ReadOptions = AS_IT_IS
) -> Series:
    """The series that these headers of one SeriesInstanceUID make; `dropped` are findings of files that were left out.

    Slices are ordered by ImagePositionPatient along the normal; InstanceNumber and file names are not read for order.
    Never raises for what is in the files: a series that must not be scored carries its `refusal`.

    Source: DICOM PS3.3 C.7.6.2.1.1.
    """
    found = list(dropped)
    if any(not is_valid_uid(uid) for header in headers for uid in _uids_of(header)):
        found.append(finding(Code.N_UID_NONSTANDARD))
    try:
        ordered = arrange(headers, found, options)
    except SeriesFaultError as fault:
        return _refused(list(headers), fault, found)
    return _measured(ordered, found)


def _uids_of(header: SliceHeader) -> tuple[str, str, str]:
    return header.study_instance_uid, header.series_instance_uid, header.sop_instance_uid


def _measured(headers: list[SliceHeader], found: list[Finding]) -> Series:
    """The series of ordered, consistent slices."""
    usual = usual_slice(headers)
    normal = normal_of(usual)
    positions = tuple(float(position_of(header) @ normal) for header in headers)
    thickness = [header.slice_thickness_mm for header in headers]
    spacing = analyse_spacing(positions, thickness, [header.instance_number for header in headers])
    in_plane = in_plane_of(usual)
    tilt = tilt_deg(headers, normal)
    lost = _lost_too_many(found, len(headers))
    found = [
        *found,
        *content_findings(headers),
        *_geometry_findings(headers, normal, tilt, in_plane),
        *extent_findings(positions, spacing, ends_missing(headers, positions, spacing)),
        *_spacing_findings(spacing, positions[0]),
    ]
    if lost and not spacing.refused:
        found.append(finding(Code.E_INCOMPLETE, lost))
    return Series(
        headers=tuple(headers),
        study_instance_uid=headers[0].study_instance_uid,
        series_instance_uid=headers[0].series_instance_uid,
        findings=gather(found),
        normal=normal,
        positions_mm=positions,
        spacing_mm=spacing.spacing_mm,
        tilt_deg=tilt,
        gaps=[(gap.after_mm, gap.gap_mm) for gap in spacing.gaps],
        in_plane=in_plane,
        refusal=incomplete_error(spacing) if spacing.refused else _lost_error(lost) if lost else None,
    )


def _refused(headers: list[SliceHeader], fault: SeriesFaultError, found: list[Finding]) -> Series:
    text = fault.code.text.rstrip(".")
    detail = f" ({fault.detail})" if fault.detail else ""
    error = SeriesRefusedError(f"{fault.code.value}: {text}{detail}. {fault.code.remedy}", code=fault.code.value)
    return Series(
        headers=tuple(headers),
        study_instance_uid=headers[0].study_instance_uid if headers else "",
        series_instance_uid=headers[0].series_instance_uid if headers else "",
        findings=gather([*found, finding(fault.code, fault.detail, fault.files)]),
        normal=np.array([0.0, 0.0, 1.0]),
        positions_mm=(),
        spacing_mm=0.0,
        tilt_deg=0.0,
        gaps=[],
        in_plane=InPlane(False, False, False, 0.0),
        refusal=error,
    )


def incomplete_error(spacing: Spacing) -> IncompleteSeriesError:
    """Why a stack with too much missing is refused: the widest gap where it is too wide, else the share of slices that is missing."""
    widest = max(spacing.gaps, key=lambda gap: gap.gap_mm)
    advice = "export the series again, or allow incomplete series (--allow-incomplete)"
    if widest.gap_mm > LIMITS.gap_mm:
        what = f"gap of {widest.gap_mm:.1f} mm after {widest.after_mm:.1f} mm; at most {LIMITS.gap_mm:.1f} mm may be missing"
    else:
        missing = sum(gap.missing for gap in spacing.gaps)
        what = (
            f"about {missing} of {missing + spacing.slices} slices are missing ({spacing.missing_share:.0%}); "
            f"at most {LIMITS.missing_share:.0%} may be"
        )
    return IncompleteSeriesError(
        f"{Code.E_INCOMPLETE.value}: {what}; {advice}",
        code=Code.E_INCOMPLETE.value,
        after_mm=widest.after_mm,
        gap_mm=widest.gap_mm,
        limit_mm=LIMITS.gap_mm,
        missing_share=spacing.missing_share,
    )


def _lost_too_many(found: Sequence[Finding], left: int) -> str:
    """How many slices cannot be used, where more than may be missing: at an end they leave no gap. Empty where they are few."""
    dropped = sum(item.count for item in holes_in(found))
    doubted = sum(item.count for item in found if item.code is Code.W_RESCALE_OUTLIER)
    total = dropped + doubted + left
    if dropped + doubted <= LIMITS.missing_share * total:
        return ""
    words = f"the values of {doubted} of {total} slices do not fit the others" if doubted else ""
    if dropped:
        words = f"{words}, and {dropped} cannot be read" if words else f"{dropped} of {total} slices cannot be used"
    return words


def _lost_error(words: str) -> IncompleteSeriesError:
    return IncompleteSeriesError(
        f"{Code.E_INCOMPLETE.value}: {words}; at most {LIMITS.missing_share:.0%} may be left out; export the series again, or allow "
        "incomplete series (--allow-incomplete)",
        code=Code.E_INCOMPLETE.value,
    )


def _spacing_findings(spacing: Spacing, first_mm: float) -> list[Finding]:
    found = []
    if spacing.refused:
        found.append(finding(Code.E_INCOMPLETE, f"{spacing.missing_share:.0%} of the slices"))
    if spacing.gaps:
        found.append(
            finding(
                Code.W_SLICE_GAP, _gap_text(spacing.gaps), positions_mm=[first_mm + g.after_mm for g in spacing.gaps]
            )
        )
    if spacing.variable:
        found.append(finding(Code.N_VARIABLE_SPACING))
    return found


def _gap_text(gaps: Sequence[Gap]) -> str:
    shown = ", ".join(f"{gap.gap_mm:.1f} mm after {gap.after_mm:.1f} mm" for gap in gaps[:3])
    return shown if len(gaps) <= 3 else f"{shown} and {len(gaps) - 3} more"


def _geometry_findings(
    headers: Sequence[SliceHeader], normal: Float64[np.ndarray, "3"], tilt: float, in_plane: InPlane
) -> list[Finding]:
    found = []
    if tilt > LIMITS.tilt_deg:
        found.append(finding(Code.N_GANTRY_TILT, f"{tilt:.1f} degrees"))
    elif (oblique := float(np.degrees(np.arccos(np.clip(normal[2], -1.0, 1.0))))) > LIMITS.tilt_deg:
        found.append(finding(Code.N_OBLIQUE, f"{oblique:.1f} degrees"))
    if not in_plane.identity:
        found.append(finding(Code.N_REORIENTED))
    if in_plane.rotation_deg > LIMITS.rotation_deg:
        found.append(finding(Code.W_ORIENTATION, f"{in_plane.rotation_deg:.0f} degrees"))
    shifted = shifted_slices(headers, normal)
    if shifted:
        places = [float(position_of(headers[i]) @ normal) for i in shifted]
        found.append(finding(Code.W_POSITION_OUTLIER, files=[headers[i].name for i in shifted], positions_mm=places))
    return found


def extent_findings(positions: Sequence[float], spacing: Spacing, missing: str = "") -> list[Finding]:
    """Warnings where a stack at these ascending positions in mm is no whole head: one slice, few, too short, too long.

    `missing` says what else tells that slices are missing at the ends.
    """
    coverage = positions[-1] - positions[0] + spacing.spacing_mm
    if len(positions) == 1:
        return [finding(Code.W_SINGLE_SLICE)]
    found = []
    if len(positions) < LIMITS.few_slices:
        found.append(finding(Code.W_FEW_SLICES, f"{len(positions)}"))
    if coverage < LIMITS.coverage_min_mm:
        found.append(finding(Code.W_SHORT_COVERAGE, f"{coverage:.0f} mm"))
    elif missing:
        found.append(finding(Code.W_SHORT_COVERAGE, missing))
    if coverage > LIMITS.coverage_max_mm:
        found.append(finding(Code.W_COVERAGE, f"{coverage:.0f} mm"))
    return found


def ends_missing(headers: Sequence[SliceHeader], positions: Sequence[float], spacing: Spacing) -> str:
    """What tells that slices are missing before the first or after the last, which no gap shows; empty where nothing does.

    ImagesInAcquisition that exceeds the slices here and in the gaps (twice as many are another reconstruction's), or InstanceNumber
    that counts from above 1 where less than 120 mm are covered.
    """
    there = len(headers) + sum(gap.missing for gap in spacing.gaps)
    stated = {header.acquisition_number: header.hints.images_in_acquisition for header in headers}
    expected = sum(count for count in stated.values() if count is not None)
    if None not in stated.values() and there < expected < 2 * there:
        return f"{there} of {expected} images of the acquisition"
    numbers = [header.instance_number for header in headers if header.instance_number is not None]
    counted = len(numbers) == len(headers) and max(numbers) - min(numbers) + 1 == there
    coverage = positions[-1] - positions[0] + spacing.spacing_mm
    if counted and min(numbers) > 1 and coverage < LIMITS.coverage_usual_mm:
        return f"{coverage:.0f} mm, and InstanceNumber begins with {min(numbers)}"
    return ""
