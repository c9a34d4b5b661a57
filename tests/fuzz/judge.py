"""Whether what was read from a mutant is what its bytes say: HU, place, order, identity; or a refusal; or a flag."""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from fuzz.compare import count, differing, every_way, turned, wrapped
from fuzz.facts import UNKNOWN, UNREAD, Facts, Known, facts_of, hu_of, known_of, pixels_of
from fuzz.mutate import Mutant
from fuzz.seeds import Seed
from ich_seq.dicom import Inventory, Severity, StudyCandidates, read_study_files
from ich_seq.errors import IchSeqError
from ich_seq.volume import Volume

CT = ("1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.2.1", "1.2.840.10008.5.1.4.1.1.2.2")
_HU_FLAGS = {"N-MODALITY-LUT", "N-SHIFTED-BITS", "W-NO-RESCALE", "W-ASSUMED-INTERCEPT", "W-SPACING-OUTLIER"}
_PLACE_FLAGS = {"W-NO-POSITION", "W-NO-ORIENTATION"}


@dataclass(frozen=True)
class Verdict:
    """What became of a mutant: refused, flagged, read as its bytes say (`as stated`) or as before (`same`); code; faults."""

    outcome: str
    code: str
    wrong: tuple[str, ...]


@lru_cache(maxsize=120)
def before(seed: Seed, file: int) -> tuple[Known, tuple[Facts, ...]]:
    """What is known of one good file, and its facts; its stored values are those that it was made from."""
    stored = [one.stored for one in seed.slices if one.file == file] or pixels_of(seed.files[file])
    known = known_of(seed.files[file], stored)
    return known, tuple(facts_of(seed.files[file], known, bool(stored)) or ())


def read_and_judge(mutant: Mutant, folder: Path) -> Verdict:
    """Writes the files of a mutant into `folder`, reads them through the public door and judges what comes out.

    Raises:
        Exception: whatever reading raises that is not one of our errors.
    """
    paths = [folder / f"{place}.dcm" for place in range(len(mutant.files))]
    for path, raw in zip(paths, mutant.files, strict=True):
        path.write_bytes(raw)
    try:
        inventory = read_study_files([folder] if len(paths) > 1 else paths)
    except IchSeqError as error:
        return Verdict("refused", _code(error), tuple(_unclean(error, folder)))
    readings = [_read(study) for study in inventory.studies if study.chosen is not None]
    refusals = [study.refusal for study in inventory.studies if study.refusal is not None]
    wrong = [fault for error in refusals for fault in _unclean(error, folder)]
    expected = _Expected(mutant)
    for reading in readings:
        wrong += reading.faults(expected)
    wrong += _unaccounted(mutant, inventory, readings)
    if not any(reading.slices for reading in readings):
        return Verdict("refused", _code(refusals[0]) if refusals else "", tuple(wrong))
    codes = _codes(inventory, readings) - _usual(mutant.seed, tuple(sorted(set(mutant.slots))))
    if codes:
        return Verdict("flagged", min(codes), tuple(wrong))
    return Verdict("same" if expected.unchanged(readings) else "as stated", "", tuple(wrong))


def _code(error: IchSeqError) -> str:
    return str(getattr(error, "code", type(error).__name__))


def _unclean(error: IchSeqError, folder: Path) -> Iterator[str]:
    """Messages are for a terminal: one line, nothing that a header could steer it with."""
    if not str(error).replace(str(folder), "").isprintable():
        yield f"the message is not printable: {str(error)!r}"


class _Expected:
    """What each file of a mutant says, by pydicom; as it was before where pydicom cannot tell."""

    def __init__(self, mutant: Mutant) -> None:
        self.mutant = mutant
        self._facts: dict[int, list[Facts]] = {}

    def of(self, header: Any) -> Facts | None:
        place, frame = int(header.name.removesuffix(".dcm")), header.pixels.frame
        if place not in self._facts:
            self._facts[place] = self._read(place)
        facts = self._facts[place]
        return facts[frame] if frame < len(facts) else None

    def _read(self, place: int) -> list[Facts]:
        mutant, slot = self.mutant, self.mutant.slots[place]
        known, good = before(mutant.seed, slot)
        if mutant.files[place] is mutant.seed.files[slot]:
            return list(good)
        kept = mutant.pixels_kept[place]
        found = facts_of(mutant.files[place], known, kept)
        if mutant.changes[place] > 1:  # pydicom cannot tell, and one of the changes may be one that is rightly read
            return [UNKNOWN] * 64 if found is None else found
        was = good if kept else [replace(facts, stored=None) for facts in good]
        if found is None:
            return list(was)
        return [facts.or_else(was[i]) if i < len(was) else facts for i, facts in enumerate(found)]

    def unchanged(self, readings: "Sequence[Reading]") -> bool:
        """Whether every slice has the HU and the place that it had before the mutation."""
        mutant = self.mutant
        for reading in readings:
            for header, hu in reading.slices:
                place = int(header.name.removesuffix(".dcm"))
                _, good = before(mutant.seed, mutant.slots[place])
                was = good[header.pixels.frame] if header.pixels.frame < len(good) else None
                if was is None or header.image_position_patient != was.position:
                    return False
                expected = hu_of(was)
                if (
                    expected is None
                    or expected.shape != hu.shape
                    or differing(hu, expected, was, mutant.seed.tolerance).any()
                ):
                    return False
        return True


@dataclass
class Reading:
    """One study as it was read: its volume, and the slices that could be decoded with their headers, feet to head."""

    volume: Volume
    slices: list[tuple[Any, np.ndarray]]
    codes: set[str]

    def faults(self, expected: _Expected) -> list[str]:
        """Every way in which this reading says other than its files."""
        facts = [expected.of(header) for header, _ in self.slices]
        if any(one is None for one in facts):
            return ["a frame that the file does not have"]
        sure = [one for one in facts if one is not None]
        wrong = []
        for (header, hu), one in zip(self.slices, sure, strict=True):
            wrong += [
                f"{header.name}/{header.pixels.frame}: {fault}"
                for fault in self._slice_faults(header, hu, one, expected)
            ]
        return wrong + self._order_faults(sure) + _identity_faults(sure)

    def _slice_faults(self, header: Any, hu: np.ndarray, facts: Facts, expected: _Expected) -> Iterator[str]:
        if not np.isfinite(hu).all():
            yield "HU that are not finite"
        if not self.codes & _HU_FLAGS:
            yield from self._hu_faults(hu, facts, expected.mutant.seed.tolerance)
        pairs = [
            ("position", header.image_position_patient, facts.position),
            ("spacing", header.pixel_spacing_mm, facts.spacing),
        ]
        pairs.append(("orientation", header.image_orientation_patient, facts.orientation))
        for name, ours, theirs in pairs:
            excused = self.codes & (_PLACE_FLAGS if name != "spacing" else {"W-NO-SPACING"})
            if ours != theirs and not excused and theirs is not UNREAD:
                yield f"{name} {ours}, but the file says {theirs}"
        yield from _kind_faults(facts)

    def _hu_faults(self, hu: np.ndarray, facts: Facts, tolerance: float) -> Iterator[str]:
        if facts.stored is None or any(v is UNREAD for v in (facts.stored, facts.slope, facts.intercept)):
            return
        stated = hu_of(facts)
        if stated is None:
            yield f"HU, though the file says slope {facts.slope} and intercept {facts.intercept}"
            return
        ways = turned(stated, facts.orientation) if "W-ORIENTATION" not in self.codes else every_way(stated)
        fitting = [way for way in ways if way.shape == hu.shape]
        if not fitting:
            yield f"an image of {hu.shape}, but the file says {stated.shape}"
            return
        counts = [int(differing(hu, way, facts, tolerance).sum()) for way in fitting]
        if min(counts) and not ("W-WRAPPED-12BIT" in self.codes and wrapped(hu, facts)):
            yield f"HU differ in {min(counts)} pixels"

    def _order_faults(self, facts: Sequence[Facts]) -> list[str]:
        """Slices that do not ascend along the normal by their files' positions, or lie elsewhere than said."""
        placed = [one for one in facts if count(one.position, 3) and count(one.orientation, 6)]
        if len(placed) < len(facts) or not facts or self.codes & _PLACE_FLAGS:
            return []
        row, column = np.array(facts[0].orientation[:3]), np.array(facts[0].orientation[3:])
        normal = np.cross(row, column)
        normal = normal / np.linalg.norm(normal) * (1 if normal[2] >= 0 else -1)
        places = [float(np.dot(one.position, normal)) for one in facts]
        wrong = []
        if any(b <= a for a, b in pairwise(places)):
            wrong.append(f"slices at {places} mm, in this order")
        largest = max(1.0, *(abs(place) for place in places))
        stated = self.volume.positions_mm
        if len(stated) == len(places) and not np.allclose(stated, places, rtol=0, atol=1e-3 * largest):
            wrong.append(f"slices at {stated} mm, but the files say {places}")
        if any(b - a > 20.5 for a, b in pairwise(places)) and not self.codes & {"W-SLICE-GAP", "E-INCOMPLETE"}:
            wrong.append(f"a gap that nobody mentions: {places}")
        return wrong


def _read(study: StudyCandidates) -> Reading:
    volume = Volume(study.chosen)  # pyright: ignore[reportArgumentType]
    decoded = dict(volume.read())
    slices = [(volume.series.headers[index], hu) for index, hu in decoded.items()]
    codes = {item.code.value for item in volume.findings}
    try:
        volume = volume.settled()
    except IchSeqError:
        return Reading(volume, [], codes)
    return Reading(volume, slices, codes | {item.code.value for item in volume.findings})


def _kind_faults(facts: Facts) -> Iterator[str]:
    """What is used though the file says that it is no CT slice in HU."""
    sop_class, modality, photometric, samples, image_type = facts.kind
    if sop_class not in (None, UNREAD, *CT):
        yield f"used, though its class is {sop_class}"
    if modality not in (None, UNREAD, "CT"):
        yield f"used, though its modality is {modality!r}"
    if photometric not in (None, UNREAD, "MONOCHROME1", "MONOCHROME2") or samples not in (None, UNREAD, "1"):
        yield f"used, though it is {photometric!r} with {samples} samples"
    if image_type not in (None, UNREAD) and "LOCALIZER" in image_type.upper():
        yield "used, though it is a localizer"
    if facts.rescale_type not in (None, UNREAD) and str(facts.rescale_type).strip(" \0").upper() not in ("", "HU"):
        yield f"used, though its values are {facts.rescale_type!r}"


def _identity_faults(facts: Sequence[Facts]) -> list[str]:
    """Two patients, two studies or two series in one volume."""
    told = [one.patient for one in facts if UNREAD not in one.patient]
    of_each = [{str(value) for value in values if value} for values in zip(*told, strict=True)]  # absent says nothing
    patients = max((len(values) for values in of_each), default=1)
    series = len({one.identity[:2] for one in facts if UNREAD not in one.identity})
    return [f"{many} {what} in one volume" for what, many in (("patients", patients), ("series", series)) if many > 1]


def _unaccounted(mutant: Mutant, inventory: Inventory, readings: Sequence[Reading]) -> list[str]:
    """Files of which nobody says where they went."""
    if any(study.refusal is not None and study.chosen is None for study in inventory.studies):
        return []
    named = {header.name for reading in readings for header, _ in reading.slices}
    for found in [*inventory.dropped, *(item for reading in readings for item in reading.volume.findings)]:
        named.update(found.files)
    others = any(not candidate.chosen for study in inventory.studies for candidate in study.candidates)
    missing = {f"{place}.dcm" for place in range(len(mutant.files))} - named
    return [f"{sorted(missing)} left out without a word"] if missing and not others else []


@lru_cache(maxsize=2000)
def _usual(seed: Seed, files: tuple[int, ...]) -> frozenset[str]:
    """The codes that these files have before anything is changed."""
    with tempfile.TemporaryDirectory() as folder:
        for file in files:
            (Path(folder) / f"{file}.dcm").write_bytes(seed.files[file])
        try:
            inventory = read_study_files([Path(folder)])
        except IchSeqError:
            return frozenset()
        return frozenset(_codes(inventory, [_read(study) for study in inventory.studies if study.chosen is not None]))


def _codes(inventory: Inventory, readings: Sequence[Reading]) -> set[str]:
    """Every code of weight W and above that was said."""
    heavy = {item.code.value for item in inventory.dropped if item.severity is not Severity.NOTE}
    for reading in readings:
        heavy |= {code for code in reading.codes if not code.startswith("N-")}
    return heavy
