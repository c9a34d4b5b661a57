"""What a study or a NIfTI volume is, in plain words: its series, which would be scored and why, its geometry, what was noticed."""

from collections.abc import Sequence
from pathlib import Path

from ich_seq.cli.descriptions import Description, Facts
from ich_seq.dicom import Candidate, Series, StudyCandidates, read_study_files
from ich_seq.nifti import NiftiVolume
from ich_seq.study.result import CandidateSummary, SeriesSummary
from ich_seq.volume import SliceStack, Volume

Stack = SliceStack | SeriesSummary


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
        "geometry": f"{geometry_words(len(volume), stack)}; pixels of {row_mm:.2f} x {column_mm:.2f} mm",
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


def geometry_words(slices: int, stack: Stack) -> str:
    """Count, size and geometry of the slices in one line."""
    apart = f"{stack.spacing_mm:.2f} mm apart, {stack.coverage_mm:.1f} mm covered, " if slices > 1 else ""
    size = f"{slices} slice{'s' if slices > 1 else ''} of {stack.rows} x {stack.columns}"
    return f"{size}, {apart}gantry tilt {stack.tilt_deg:.1f} degrees"


def gap_words(after_mm: float, gap_mm: float) -> str:
    """Where slices are missing."""
    return f"{gap_mm:.1f} mm after {after_mm:.1f} mm"


def series_lines(candidates: Sequence[Candidate | CandidateSummary]) -> list[str]:
    """The series of a study, the chosen one first, and why each was chosen or not."""
    return [
        f"{each.series_instance_uid}: {each.slices} slices, {'chosen' if each.chosen else 'not chosen'}: {each.reason}"
        for each in sorted(candidates, key=lambda each: not each.chosen)
    ]


def _study_facts(study: StudyCandidates) -> Facts:
    facts: Facts = {"series": series_lines(study.candidates)} if study.candidates else {}
    if study.chosen is not None:
        facts |= _series_facts(study.chosen)
    if study.refusal is not None:
        facts["refused"] = str(study.refusal)
    if study.findings:
        facts["findings"] = [found.line() for found in study.findings]
    return facts


def _series_facts(series: Series) -> Facts:
    first, last = series.headers[0], series.headers[-1]
    facts: Facts = {
        "geometry": geometry_words(len(series), Volume(series).stack),
        "feet": f"{first.sop_instance_uid}, ImagePositionPatient {_millimetres(first.image_position_patient)}",
        "head": f"{last.sop_instance_uid}, ImagePositionPatient {_millimetres(last.image_position_patient)}",
    }
    if series.gaps:
        facts["gaps"] = [gap_words(after, gap) for after, gap in series.gaps]
    facts["findings"] = [found.line() for found in series.findings] or ["none"]
    return facts


def _millimetres(position: Sequence[float] | None) -> str:
    return "unknown" if position is None else " ".join(f"{value:.1f}" for value in position)
