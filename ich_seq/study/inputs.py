"""What there is to score: studies in DICOM and volumes in NIfTI, both as a `Scan`, each opened when its turn comes."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from ich_seq.dicom import AS_IT_IS, Candidate, Finding, ReadOptions, StudyCandidates, read_study_files
from ich_seq.errors import IchSeqError, InputRefusedError
from ich_seq.nifti import NiftiVolume, is_nifti
from ich_seq.study.result import SourceFormat
from ich_seq.volume import Slice, SliceStack, Volume

_BESIDE_NIFTI = frozenset({".json", ".txt", ".csv", ".tsv", ".md", ".bval", ".bvec"})
_ONLY_VOLUME = "the only volume of its file; NIfTI does not say whether it is axial soft tissue without contrast"


@runtime_checkable
class Scan(Protocol):
    """What scoring needs of a head scan: slices in HU from feet to head, where they lie, their names, and what was noticed.

    `Volume` (DICOM) and `NiftiVolume` are scans; their docstrings say what each property holds.
    """

    @property
    def source_format(self) -> SourceFormat: ...  # noqa: D102
    @property
    def study_instance_uid(self) -> str: ...  # noqa: D102
    @property
    def series_instance_uid(self) -> str: ...  # noqa: D102
    @property
    def sop_instance_uids(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def positions_mm(self) -> tuple[float, ...]: ...  # noqa: D102
    @property
    def image_positions_patient(self) -> tuple[tuple[float, float, float], ...]: ...  # noqa: D102
    @property
    def pixel_spacing_mm(self) -> tuple[float, float]: ...  # noqa: D102
    @property
    def stack(self) -> SliceStack: ...  # noqa: D102
    @property
    def findings(self) -> list[Finding]: ...  # noqa: D102
    @property
    def refusal(self) -> IchSeqError | None: ...  # noqa: D102
    @property
    def left_out(self) -> frozenset[int]: ...  # noqa: D102

    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> Slice: ...

    def read(self) -> Iterator[tuple[int, Slice]]:
        """Index and HU of every slice that can be read, each once."""
        ...

    def settled(self) -> "Scan":
        """The scan without the slices that `read` lost."""
        ...

    def pixel_digest(self) -> str:
        """SHA-256 (hex) over HU and geometry."""
        ...


@dataclass(frozen=True, slots=True)
class OpenedScan:
    """A scan, and the series of its study with the reason why one was chosen."""

    scan: Scan
    candidates: Sequence[Candidate]


@dataclass(frozen=True, slots=True)
class DicomStudy:
    """One study whose headers are read."""

    found: StudyCandidates

    @property
    def name(self) -> str:
        """StudyInstanceUID."""
        return self.found.study_instance_uid

    def open(self) -> OpenedScan:
        """The chosen series. Raises the study's own refusal where none can be scored."""
        if self.found.chosen is None:
            raise self.found.refusal or ValueError(f"study {self.name} has neither a chosen series nor a refusal")
        return OpenedScan(Volume(self.found.chosen), self.found.candidates)


@dataclass(frozen=True, slots=True)
class NiftiFile:
    """One NIfTI volume, not opened yet."""

    path: Path

    @property
    def name(self) -> str:
        """What it is called until it has been read: by its format alone, since file names may say who the patient is."""
        return "nifti"

    def open(self) -> OpenedScan:
        """The volume, read once. Raises PixelsUnreadableError where it cannot be read."""
        volume = NiftiVolume(self.path)
        only = Candidate(volume.series_instance_uid, "", len(volume), volume.refusal is None, _ONLY_VOLUME)
        return OpenedScan(volume, [only])


@dataclass(frozen=True, slots=True)
class Inputs:
    """The studies, DICOM in order of StudyInstanceUID and then NIfTI as given, and the files that belong to none of them."""

    studies: Sequence[DicomStudy | NiftiFile]
    dropped: Sequence[Finding]


def find_studies(paths: Sequence[Path], series_uid: str | None = None, options: ReadOptions = AS_IT_IS) -> Inputs:
    """What there is to score in folders, zips and files.

    A NIfTI file that is named is a study of its own, and so is a folder that holds one NIfTI file and no other (text and JSON beside
    it do not count). Everything else is read as DICOM; NIfTI files in a folder with DICOM are left out and counted among `dropped`.

    Raises:
        InputRefusedError: several NIfTI files in a folder, which may be scans or masks; a series named where all is NIfTI.
        NoDicomError, NoCtError, ArchiveError: as `read_study_files`.
    """
    volumes = {path: volume for path in paths if (volume := nifti_in(path)) is not None}
    others = [path for path in paths if path not in volumes]
    if volumes and series_uid is not None:
        raise InputRefusedError(f"{next(iter(volumes))}: NIfTI has no series UID to choose by; leave --series out")
    files = [NiftiFile(volume) for volume in volumes.values()]
    if not others and files:
        return Inputs(files, [])
    inventory = read_study_files(others, series_uid, options)
    return Inputs([*(DicomStudy(study) for study in inventory.studies), *files], inventory.dropped)


def nifti_in(path: Path) -> Path | None:
    """The NIfTI file that a path is, or that is all there is in a folder; None where DICOM is to be looked for.

    Raises:
        InputRefusedError: a folder with several NIfTI files and nothing else.
    """
    if not path.is_dir():
        return path if is_nifti(path) and path.exists() else None
    found = []
    for file in _files_below(path):
        if is_nifti(file) and file.is_file():
            found.append(file)
        elif file.suffix.lower() not in _BESIDE_NIFTI and not file.name.startswith("."):
            return None
    if len(found) > 1:
        raise InputRefusedError(
            f"{path}: {len(found)} NIfTI volumes, and nothing says which are scans and which masks; name the files to score"
        )
    return found[0] if found else None


def _files_below(top: Path) -> Iterator[Path]:
    """Every file of a tree, however deep: `os.walk` of Python 3.11 calls itself. A folder that cannot be listed is passed over."""
    folders = [top]
    while folders:
        try:
            with os.scandir(folders.pop()) as found:
                entries = list(found)
        except OSError:
            continue
        folders += [Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False)]
        yield from (Path(entry.path) for entry in entries if not entry.is_dir())
