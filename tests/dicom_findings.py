"""What reading says of a folder, in the few words that tests compare."""

from collections.abc import Sequence
from pathlib import Path

from ich_seq.dicom import AS_IT_IS, Finding, ReadOptions, Series, StudyCandidates, read_study_files
from ich_seq.errors import SeriesRefusedError

SMALL = {"N-MATRIX"}  # the factory's slices are 64 x 80


def study_in(folder: Path, options: ReadOptions = AS_IT_IS) -> StudyCandidates:
    """The one study in a folder."""
    (study,) = read_study_files([folder], options=options).studies
    return study


def series_in(folder: Path, options: ReadOptions = AS_IT_IS) -> Series:
    """The series that is chosen in the one study of a folder."""
    study = study_in(folder, options)
    assert study.chosen is not None, study.refusal
    return study.chosen


def codes_in(folder: Path, options: ReadOptions = AS_IT_IS) -> set[str]:
    """The codes of the chosen series, without the one that each small series has."""
    return {item.code.value for item in series_in(folder, options).findings} - SMALL


def refusal_code_in(folder: Path, options: ReadOptions = AS_IT_IS) -> str:
    """The code by which the one study of a folder is refused."""
    refusal = study_in(folder, options).refusal
    assert isinstance(refusal, SeriesRefusedError)
    return refusal.code


def message_of(found: Sequence[Finding], code: str) -> str:
    """The message of the one finding with this code."""
    (message,) = [item.message for item in found if item.code.value == code]
    return message
