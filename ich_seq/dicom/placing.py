"""Where slices lie when their headers do not say it as they should: no position, no orientation, no pixel spacing."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np

from ich_seq.dicom.codes import Code
from ich_seq.dicom.findings import Finding, SeriesFaultError, finding
from ich_seq.dicom.geometry import normal_of, usual_slice
from ich_seq.dicom.header import SliceHeader
from ich_seq.dicom.limits import LIMITS
from ich_seq.dicom.options import ReadOptions

_AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def placed(headers: Sequence[SliceHeader], found: list[Finding], options: ReadOptions) -> list[SliceHeader]:
    """The slices with position, orientation and pixel spacing, each as in the file or, where no slice has one, by these rules.

    - ImagePositionPatient: SliceLocation, where every slice has its own and they run one way with InstanceNumber; else, only with
      `trust_instance_number`, InstanceNumber times SliceThickness. Both are taken to grow from the feet to the head.
    - ImageOrientationPatient: axial, head first and supine, where positions differ along the long axis alone or, positions unknown,
      where ImageType says AXIAL or InstanceNumber is trusted.
    - PixelSpacing: that of the other slices, else 250 mm for the width of the image. ImagerPixelSpacing is never read: in CT it
      speaks of the detector.

    A slice that lacks a position or orientation that others have is dropped. Each rule that was used is appended to `found`.

    Raises:
        SeriesFaultError: E-NO-GEOMETRY.
    """
    known = any(header.image_position_patient is not None for header in headers)
    slices = list(headers) if known else _with_positions(headers, found, options)
    if all(header.image_orientation_patient is None for header in slices):
        _refuse_other_than_axial(slices, known, options)
        found.append(finding(Code.W_NO_ORIENTATION))
        slices = [replace(header, image_orientation_patient=_AXIAL) for header in slices]
    lost = [header for header in slices if not _located(header)]
    if len(lost) == len(slices):
        raise SeriesFaultError(Code.E_NO_GEOMETRY)
    if lost:
        found.append(finding(Code.D_NO_POSITION, files=[header.name for header in lost]))
    return _with_spacing([header for header in slices if _located(header)], found)


def _located(header: SliceHeader) -> bool:
    return header.image_position_patient is not None and header.image_orientation_patient is not None


def _with_positions(headers: Sequence[SliceHeader], found: list[Finding], options: ReadOptions) -> list[SliceHeader]:
    """The slices along the normal at SliceLocation or, on request, by InstanceNumber. Raises SeriesFaultError where neither serves."""
    places, source = _by_slice_location(headers), "SliceLocation"
    if places is None and options.trust_instance_number:
        places, source = _by_instance_number(headers), "InstanceNumber"
    if places is None:
        raise SeriesFaultError(Code.E_NO_GEOMETRY, "ImagePositionPatient")
    found.append(finding(Code.W_NO_POSITION, f"taken from {source}"))
    usual = usual_slice(headers)
    normal = np.array([0.0, 0.0, 1.0]) if usual.image_orientation_patient is None else normal_of(usual)
    return [
        replace(header, image_position_patient=tuple(float(value) for value in normal * place))
        for header, place in zip(headers, places, strict=True)
    ]


def _by_slice_location(headers: Sequence[SliceHeader]) -> list[float] | None:
    """SliceLocation of each slice in mm; None where one lacks it, two share it, or InstanceNumber contradicts it."""
    places = [header.hints.slice_location_mm for header in headers]
    known = [place for place in places if place is not None]
    if len(known) < len(places) or any(b - a < LIMITS.same_position_mm for a, b in pairwise(sorted(known))):
        return None
    numbers = [header.instance_number for header in headers]
    counted = [number for number in numbers if number is not None]
    if len(set(counted)) == len(headers):
        along = [place for _, place in sorted(zip(counted, known, strict=True))]
        if along not in (sorted(along), sorted(along, reverse=True)):
            return None
    return known


def _by_instance_number(headers: Sequence[SliceHeader]) -> list[float] | None:
    """InstanceNumber times the usual SliceThickness (else SpacingBetweenSlices) in mm.

    None where a slice lacks its number, two share one, or one would lie beyond 10 m.
    """
    numbers = [header.instance_number for header in headers if header.instance_number is not None]
    thick = [header.slice_thickness_mm for header in headers if header.slice_thickness_mm is not None]
    apart = [spacing for header in headers if (spacing := header.hints.spacing_between_slices_mm) is not None]
    if len(set(numbers)) < len(headers) or not (thick or apart):
        return None
    step = float(np.median(thick or apart))
    places = [float(number) * step for number in numbers]
    return places if max(map(abs, places)) <= LIMITS.coordinate_mm else None


def _refuse_other_than_axial(slices: Sequence[SliceHeader], known: bool, options: ReadOptions) -> None:
    """Nothing where slices without orientation are axial, head first and supine, as far as can be told. Raises SeriesFaultError."""
    if any(header.hints.patient_position not in ("", "HFS") for header in slices):
        raise SeriesFaultError(Code.E_NO_GEOMETRY, "ImageOrientationPatient, and PatientPosition is not HFS")
    if known:
        origins = np.array([header.image_position_patient for header in slices if header.image_position_patient])
        spread = np.ptp(origins, axis=0)
        axial = bool((spread[:2] < LIMITS.same_position_mm).all() and spread[2] >= LIMITS.same_position_mm)
    else:
        axial = options.trust_instance_number or all("AXIAL" in header.image_type[2:] for header in slices)
    if not axial:
        raise SeriesFaultError(Code.E_NO_GEOMETRY, "ImageOrientationPatient")


def _with_spacing(slices: list[SliceHeader], found: list[Finding]) -> list[SliceHeader]:
    """The slices with the usual PixelSpacing where they state none."""
    without = [header for header in slices if header.pixel_spacing_mm is None]
    if not without:
        return slices
    known = [header.pixel_spacing_mm for header in slices if header.pixel_spacing_mm is not None]
    assumed = LIMITS.assumed_field_mm / max(slices[0].rows, slices[0].columns)
    row_mm, column_mm = (float(value) for value in np.median(known, axis=0)) if known else (assumed, assumed)
    what = f"{row_mm:.3f} x {column_mm:.3f} mm"
    found.append(finding(Code.W_NO_SPACING, what, files=[header.name for header in without]))
    return [
        replace(header, pixel_spacing_mm=(row_mm, column_mm)) if header.pixel_spacing_mm is None else header
        for header in slices
    ]
