"""Everything that was found in what the user pointed at: studies, their series, and what was left out."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ich_seq.dicom.checks import check_is_ct, check_slice
from ich_seq.dicom.choose import Candidate, StudyCandidates, choose_series
from ich_seq.dicom.codes import Code
from ich_seq.dicom.elements import FileFaultError
from ich_seq.dicom.findings import Finding, finding, gather
from ich_seq.dicom.frames import expand_frames
from ich_seq.dicom.header import SliceHeader, parse_header
from ich_seq.dicom.options import AS_IT_IS, ReadOptions
from ich_seq.dicom.patient import one_patient, several_patients
from ich_seq.dicom.series import build_series
from ich_seq.dicom.sources import list_sources, no_dicom
from ich_seq.errors import InputRefusedError, NoCtError, SeriesRefusedError

_BROKEN = frozenset({Code.D_UNREADABLE, Code.D_TRUNCATED, Code.D_INFLATE_LIMIT, Code.D_HEADER_LIMIT})
_NOT_DICOM = frozenset({Code.D_NOT_DICOM, Code.D_NOT_REGULAR, Code.D_NESTED_ARCHIVE, Code.D_FILE_SIZE})


@dataclass(frozen=True, slots=True)
class Inventory:
    """The studies, in order of StudyInstanceUID, and the files that belong to none of their series.

    Files dropped from a series are among that series' own findings.
    """

    studies: list[StudyCandidates]
    dropped: list[Finding]


_SeriesKey = tuple[str, str]


class _Sorting:
    """Headers and dropped files by study and series, as they are read."""

    def __init__(self, options: ReadOptions) -> None:
        self.options = options
        self.headers: dict[_SeriesKey, list[SliceHeader]] = defaultdict(list)
        self.dropped_ct: dict[_SeriesKey, list[Finding]] = defaultdict(list)
        self.dropped: list[Finding] = []

    def add(self, header: SliceHeader) -> None:
        """One header to its series, or to what is dropped."""
        key = (header.study_instance_uid, header.series_instance_uid)
        try:
            check_is_ct(header, self.options)
        except FileFaultError as fault:
            self.dropped.append(finding(fault.code, fault.detail, [header.name]))
            return
        try:
            for frame in expand_frames(header):
                check_slice(frame)
                self.headers[key].append(frame)
        except FileFaultError as fault:
            self.dropped_ct[key].append(finding(fault.code, fault.detail, [header.name]))

    def series_keys(self) -> list[_SeriesKey]:
        """Every series that has a CT file, usable or not, in order."""
        return sorted({*self.headers, *self.dropped_ct})


def read_study_files(
    paths: Sequence[Path], series_uid: str | None = None, options: ReadOptions = AS_IT_IS
) -> Inventory:
    """The studies in folders, zips and files, their series ordered and judged.

    Headers are read, pixels only where two files claim one identifier or one place. The result does not depend on the
    names or the order of files. `series_uid` names the series to take in the study that has it; `options` are what the user lets pass.

    Raises:
        NoDicomError: a path does not exist, or there is no DICOM file.
        NoCtError: DICOM, but no CT image.
        ArchiveError: a zip that is damaged, encrypted or beyond the limits.
        InputRefusedError: no series has `series_uid`.
    """
    sorting = _Sorting(options)
    for header in _headers(paths, sorting.dropped):
        sorting.add(header)
    keys = sorting.series_keys()
    if not keys:
        raise _nothing_to_score(paths, sorting.dropped)
    if series_uid is not None and series_uid not in {key[1] for key in keys}:
        raise InputRefusedError(f"no CT series with the UID {series_uid}; there are {_listed(key[1] for key in keys)}")
    studies = sorted({key[0] for key in keys})
    wanted = [study for study in studies if series_uid is None or (study, series_uid) in keys]
    candidates = [_study(study, sorting, series_uid) for study in wanted]
    return Inventory(candidates, gather(sorting.dropped))


def _listed(uids: Iterable[str]) -> str:
    """The first ten of the series' UIDs, for the terminal."""
    every = sorted({uid for uid in uids if uid})
    return ", ".join(every[:10]) + (f" and {len(every) - 10} more" if len(every) > 10 else "")


def _headers(paths: Sequence[Path], dropped: list[Finding]) -> Iterator[SliceHeader]:
    for source in list_sources(paths, dropped):
        try:
            yield parse_header(source)
        except FileFaultError as fault:
            dropped.append(finding(fault.code, fault.detail, [source.name]))


def _study(study_uid: str, sorting: _Sorting, series_uid: str | None) -> StudyCandidates:
    keys = [key for key in sorting.series_keys() if key[0] == study_uid]
    patients = [header.patient_digests for key in keys for header in sorting.headers.get(key, [])]
    several = series_uid is None and bool(patients) and several_patients(patients)
    all_series = []
    unusable: dict[str, list[Finding]] = {}
    for key in keys:
        headers = sorting.headers.get(key, [])
        if not headers:
            unusable[key[1]] = gather(sorting.dropped_ct[key])
            continue
        found = list(sorting.dropped_ct.get(key, []))
        if any(other[1] == key[1] and other[0] != key[0] for other in sorting.series_keys() if key[1]):
            found.append(finding(Code.W_SERIES_UID_REUSED))
        if several and one_patient([header.patient_digests for header in headers]):
            found.append(finding(Code.W_SEVERAL_PATIENTS))
        all_series.append(build_series(headers, found, sorting.options))
    every = [item for found in unusable.values() for item in found]
    if not all_series or series_uid in unusable:
        refused = list(unusable[series_uid]) if series_uid in unusable else gather(every)
        return StudyCandidates(study_uid, None, _candidates_of(unusable), _all_dropped(refused), refused)
    sorting.dropped.extend(every)
    study = choose_series(all_series, series_uid)
    candidates = sorted([*study.candidates, *_candidates_of(unusable)], key=lambda item: item.series_instance_uid)
    return replace(study, candidates=candidates)


def _candidates_of(unusable: Mapping[str, Sequence[Finding]]) -> list[Candidate]:
    """The series of which no file can be used, each with the reasons."""
    return [
        Candidate(uid, "", 0, False, "no slice can be used: " + ", ".join(f"{item} [{item.count}]" for item in found))
        for uid, found in sorted(unusable.items())
    ]


def _all_dropped(found: Sequence[Finding]) -> SeriesRefusedError:
    """Why a study whose CT files are all unusable is refused: each reason with one file and the count."""
    reasons = "; ".join(f"{item.line()} [{item.count}]" if item.count > 1 else item.line() for item in found)
    remedy = found[0].code.remedy if found else ""
    return SeriesRefusedError(f"no CT slice can be used: {reasons}. {remedy}", code=Code.E_NO_SLICE_LEFT.value)


def _nothing_to_score(paths: Sequence[Path], dropped: Sequence[Finding]) -> InputRefusedError:
    where = str(paths[0]) if len(paths) == 1 else f"{len(paths)} paths"
    found = gather(dropped)
    count = sum(item.count for item in found)
    if count == 0:
        return no_dicom(where, "no file at all; point at the folder or zip that holds the CT slices")
    broken = [item for item in found if item.code in _BROKEN]
    if broken and all(item.code in _NOT_DICOM or item in broken for item in found):
        return no_dicom(where, f"no readable DICOM file: {broken[0].line()}. {broken[0].code.remedy}")
    if all(item.code is Code.D_NESTED_ARCHIVE for item in found):
        return no_dicom(where, f"nothing but {found[0].line()}. {found[0].code.remedy}")
    if all(item.code in _NOT_DICOM for item in found):
        which = "the file is not DICOM" if count == 1 else f"none of {count} files is DICOM"
        return no_dicom(where, f"{which}; point at the folder or zip that holds the CT slices, or name a NIfTI file")
    code = Code.E_NO_CT.value
    what = f"DICOM, but no CT image among {count} files; point at the axial CT series"
    return NoCtError(f"{where}: {code}: {what}", code=code)
