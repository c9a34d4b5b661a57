"""What a study or a NIfTI volume is, in plain words: its series, which would be scored and why, its geometry, what was noticed."""

from collections.abc import Sequence
from pathlib import Path

from ich_seq.cli.descriptions import Description, Facts
from ich_seq.dicom import Series, StudyCandidates, read_study_files
from ich_seq.nifti import NiftiVolume


def of_study(path: Path) -> Description:
    """One or several studies: their series, the one that would be scored and why, its geometry, and what was noticed.

    Raises:
        InputRefusedError: no CT there.
    """
    inventory = read_study_files([path])
    facts: Facts = {}
    for number, study in enumerate(inventory.studies, start=1):
        name = "study" if len(inventory.studies) == 1 else f"study {number}"
        facts[name] = study.study_instance_uid
        facts |= {key if name == "study" else f"{number}: {key}": value for key, value in _study_facts(study).items()}
    if inventory.dropped:
        facts["not used"] = [found.line() for found in inventory.dropped]
    count = len(inventory.studies)
    series = sum(len(study.candidates) for study in inventory.studies)
    what = "one CT study" if count == 1 else f"{count} CT studies"
    return Description("study", f"{what} with {series} CT series", facts)


def of_nifti(path: Path) -> Description:
    """One NIfTI volume: its geometry by its affine, its values, what was noticed, and whether it would be scored.

    Raises:
        PixelsUnreadableError: not NIfTI, damaged, not one volume, or a value is not finite.
    """
    volume = NiftiVolume(path)
    stack, values = volume.stack, volume.values
    row_mm, column_mm = volume.pixel_spacing_mm
    facts: Facts = {
        "stored": volume.scan.stored_as,
        "geometry": f"{len(volume)} axial slices of {stack.rows} x {stack.columns}, {stack.spacing_mm:.2f} mm apart, "
        f"{stack.coverage_mm:.1f} mm covered, gantry tilt {stack.tilt_deg:.1f} degrees; pixels of {row_mm:.2f} x {column_mm:.2f} mm",
        "feet": f"voxel at the right front {_millimetres(volume.image_positions_patient[0])} (LPS, mm)",
        "head": f"voxel at the right front {_millimetres(volume.image_positions_patient[-1])} (LPS, mm)",
        "values": f"{values.lowest:.6g} to {values.highest:.6g}",
        "name": f"{volume.study_instance_uid}, made from its content: NIfTI holds no identity",
        "findings": [found.line() for found in volume.findings],
    }
    if volume.refusal is not None:
        facts["refused"] = str(volume.refusal)
    what = "would be scored, with a warning" if volume.refusal is None else "would not be scored"
    return Description("nifti", f"one NIfTI volume of {len(volume)} slices, which {what}", facts)


def _study_facts(study: StudyCandidates) -> Facts:
    listed = [
        f"{candidate.series_instance_uid}: {candidate.slices} slices, {'chosen' if candidate.chosen else 'not chosen'}: "
        f"{candidate.reason}"
        for candidate in study.candidates
    ]
    facts: Facts = {"series": listed} if listed else {}
    if study.chosen is not None:
        facts |= _series_facts(study.chosen)
    if study.refusal is not None:
        facts["refused"] = str(study.refusal)
    return facts


def _series_facts(series: Series) -> Facts:
    first, last = series.headers[0], series.headers[-1]
    many = len(series) > 1
    apart = f"{series.spacing_mm:.2f} mm apart, {series.coverage_mm:.1f} mm covered, " if many else ""
    size = f"{len(series)} slice{'s' if many else ''} of {first.rows} x {first.columns}"
    geometry = f"{size}, {apart}gantry tilt {series.tilt_deg:.1f} degrees"
    facts: Facts = {
        "geometry": geometry,
        "feet": f"{first.sop_instance_uid}, ImagePositionPatient {_millimetres(first.image_position_patient)}",
        "head": f"{last.sop_instance_uid}, ImagePositionPatient {_millimetres(last.image_position_patient)}",
    }
    if series.gaps:
        facts["gaps"] = [f"{gap:.1f} mm after {after:.1f} mm" for after, gap in series.gaps]
    facts["findings"] = [found.line() for found in series.findings] or ["none"]
    return facts


def _millimetres(position: Sequence[float] | None) -> str:
    return "unknown" if position is None else " ".join(f"{value:.1f}" for value in position)
