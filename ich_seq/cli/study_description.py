"""What a study is, in plain words: its series, which would be scored and why, its geometry, what was noticed."""

from collections.abc import Sequence
from pathlib import Path

from ich_seq.cli.descriptions import Description, Facts
from ich_seq.dicom import Series, StudyCandidates, read_study_files


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
