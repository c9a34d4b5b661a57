"""One head scan as a sequence of slices in HU, read from its files on demand."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, overload

import numpy as np
from jaxtyping import Float32, Float64

from ich_seq.dicom.checks import check_geometry
from ich_seq.dicom.codes import Code
from ich_seq.dicom.elements import FileFaultError
from ich_seq.dicom.findings import Finding, finding, gather
from ich_seq.dicom.geometry import InPlane, in_plane_of, position_of
from ich_seq.dicom.header import file_error, read_header
from ich_seq.dicom.pixels import DecodedSlice, decode_slice
from ich_seq.dicom.plane import SeriesGrid, spacing_of
from ich_seq.dicom.plausibility import HuCounts, count_hu
from ich_seq.dicom.series import Series
from ich_seq.dicom.verdict import outliers, with_verdict, without_outliers
from ich_seq.errors import IchSeqError

Slice = Float32[np.ndarray, "y x"]

WHOLE_FILE = -1
"""The slice index of a file that holds one slice only."""

_AS_STORED = InPlane(transpose=False, flip_rows=False, flip_columns=False, rotation_deg=0.0)


@dataclass(frozen=True, slots=True)
class SliceStack:
    """Size and geometry of a stack of slices; lengths in mm along the slice normal.

    `spacing_mm` is the median step that is no gap, 0 for one slice; `coverage_mm` from the first slice to the last, plus one spacing;
    `gaps` are (position of the slice below, distance to the next).
    """

    rows: int
    columns: int
    spacing_mm: float
    coverage_mm: float
    tilt_deg: float
    gaps: tuple[tuple[float, float], ...]


class Volume(Sequence):  # its type parameter is left out: run-time checkers would read slices to check it
    """The slices of a series in HU, feet to head.

    Each is turned so that columns run to the patient's left and rows to the back. Nothing is read before it is asked
    for and nothing is kept: memory does not grow with the number of slices. A slice whose pixels cannot be decoded
    raises `PixelsUnreadableError` on access; `read` leaves it out and goes on, and `settled` is then the volume
    without it and without slices whose values do not fit the others; its gaps are judged again, and whether its values
    are those of a head in HU. What reading notices (padding, masked bits, lost slices) is added to `findings`. A slice
    whose PixelSpacing is not the series' is resampled to it, where it lies in the patient.
    """

    source_format: Literal["dicom"] = "dicom"

    def __init__(self, series: Series) -> None:
        """A volume over a series; raises ValueError for a series without slices or geometry."""
        if not series.headers or not series.positions_mm:
            raise ValueError("a volume needs a series with slices and positions; see series.refusal")
        self.series = series
        self._grid = SeriesGrid(series.headers, series.in_plane)
        self.lost: dict[int, Finding] = {}
        self._padding: dict[int, int] = {}
        self._notes: dict[Code, set[int]] = {}
        self._digests: dict[int, bytes] = {}
        self._counts: dict[int, HuCounts] = {}

    def __len__(self) -> int:
        return len(self.series.headers)

    @overload
    def __getitem__(self, index: int) -> Slice: ...
    @overload
    def __getitem__(self, index: slice) -> list[Slice]: ...
    def __getitem__(self, index: int | slice) -> Slice | list[Slice]:
        """One slice (or a list of them) in HU.

        Raises:
            IndexError: no such slice.
            PixelsUnreadableError: its pixels cannot be decoded; names the file and the rule.
        """
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(f"slice {index} of {len(self)}")
        index %= len(self)
        try:
            return self._decode(index)
        except FileFaultError as fault:
            raise file_error(self.series.headers[index].name, fault) from fault

    def read(self) -> Iterator[tuple[int, Slice]]:
        """Index and HU of every slice that can be decoded, feet to head, each read once; the others are in `lost` afterwards."""
        for index in range(len(self)):
            try:
                hu = self._hashed(index)
            except FileFaultError as fault:
                name, place = self.series.headers[index].name, self.positions_mm[index]
                self.lost[index] = finding(fault.code, fault.detail, [name], [place])
            else:
                yield index, hu

    def settled(self) -> "Volume":
        """This volume without the slices that `read` lost and those in `left_out`; the same object where nothing is to be said.

        Its `refusal`, gaps and verdict on the values are those of what is left.
        """
        doubted = self.left_out
        kept = [index for index in range(len(self)) if index not in self.lost and index not in doubted]
        gone = len(kept) < len(self)
        series = without_outliers(self.series, self.lost, sorted(doubted)) if gone else self.series
        series = with_verdict(series, [self._counts[index] for index in kept if index in self._counts])
        if series is self.series:
            return self
        if not kept:
            raise series.refusal or ValueError("a series without slices must be refused")
        volume = Volume(series)
        renumbered = {old: new for new, old in enumerate(kept)}
        volume._padding = {renumbered[i]: count for i, count in self._padding.items() if i in renumbered}
        volume._digests = {renumbered[i]: digest for i, digest in self._digests.items() if i in renumbered}
        volume._counts = {renumbered[i]: counts for i, counts in self._counts.items() if i in renumbered}
        volume._notes = {code: {renumbered[i] for i in at if i in renumbered} for code, at in self._notes.items()}
        return volume

    def array(self) -> Float32[np.ndarray, "s y x"]:
        """All slices at once, in HU. Raises PixelsUnreadableError where one cannot be decoded."""
        return np.stack([self[index] for index in range(len(self))])

    @property
    def left_out(self) -> frozenset[int]:
        """Slices that `read` gave and `settled` leaves out, since their values do not fit the others; all must have been read."""
        empty = self._notes.get(Code.W_EMPTY_SLICE, set())
        return frozenset(outliers(self.series, {i: self._counts[i] for i in self._counts if i not in empty}))

    @property
    def refusal(self) -> IchSeqError | None:
        """Why this series must not be scored as it is; an IncompleteSeriesError may be overridden."""
        return self.series.refusal

    @property
    def positions_mm(self) -> tuple[float, ...]:
        """Position of each slice along the normal in mm, ascending from feet to head."""
        return self.series.positions_mm

    @property
    def study_instance_uid(self) -> str:
        """StudyInstanceUID."""
        return self.series.study_instance_uid

    @property
    def series_instance_uid(self) -> str:
        """SeriesInstanceUID."""
        return self.series.series_instance_uid

    @property
    def stack(self) -> SliceStack:
        """Size and geometry of the slices, as they are stored."""
        first, series = self.series.headers[0], self.series
        return SliceStack(
            first.rows, first.columns, series.spacing_mm, series.coverage_mm, series.tilt_deg, tuple(series.gaps)
        )

    @property
    def image_positions_patient(self) -> tuple[tuple[float, float, float], ...]:
        """ImagePositionPatient of each slice, LPS in mm. Raises ValueError where one is absent."""
        positions = [position_of(header).tolist() for header in self.series.headers]
        return tuple((x, y, z) for x, y, z in positions)

    @property
    def sop_instance_uids(self) -> tuple[str, ...]:
        """SOPInstanceUID of each slice; frames of one enhanced file share theirs."""
        return tuple(header.sop_instance_uid for header in self.series.headers)

    @property
    def padding_pixels(self) -> int:
        """Pixels read as -1024 HU because they were padding, in the slices read so far."""
        return sum(self._padding.values())

    @property
    def findings(self) -> list[Finding]:
        """What is known of the series and of the slices read so far."""
        found = [*self.series.findings, *self.lost.values()]
        padded = [count for count in self._padding.values() if count]
        if padded:
            found.append(finding(Code.N_PADDING, f"{sum(padded)} pixels in {_slices(len(padded))}"))
        found.extend(finding(code, _slices(len(at))) for code, at in self._notes.items() if at)
        return gather(found)

    @property
    def pixel_spacing_mm(self) -> tuple[float, float]:
        """Distance between rows and between columns of the slices as they are returned."""
        row_mm, column_mm = spacing_of(self._grid.usual)
        return (column_mm, row_mm) if self.series.in_plane.transpose else (row_mm, column_mm)

    @property
    def affine(self) -> Float64[np.ndarray, "4 4"]:
        """From (column x, row y, slice s) of the returned slices to LPS in mm, voxel centres.

        The slice step is the mean one: where spacing varies, `positions_mm` is exact and this is not.
        With a tilted gantry it is a shear.
        """
        matrix, last = np.eye(4), len(self) - 1
        first = self._grid.plane(0)
        matrix[:3, :2], matrix[:3, 3] = first.steps, first.origin
        if last:
            matrix[:3, 2] = (self._grid.plane(last).origin - first.origin) / last
        else:
            matrix[:3, 2] = self.series.normal
        return matrix

    def pixel_digest(self) -> str:
        """SHA-256 (hex) over HU and geometry of all slices in order: the identity of a scan for caches.

        Independent of file names, their order and the transfer syntax. Slices not read so far are read.

        Raises:
            PixelsUnreadableError: a slice cannot be decoded.
        """
        total = hashlib.sha256(np.array([len(self), *self.pixel_spacing_mm], dtype="<f8").tobytes())
        for index, header in enumerate(self.series.headers):
            if index not in self._digests:
                try:
                    self._hashed(index)
                except FileFaultError as fault:
                    raise file_error(header.name, fault) from fault
            total.update(self._digests[index])
            geometry = (*(header.image_position_patient or ()), *(header.image_orientation_patient or ()))
            total.update(np.array(geometry, dtype="<f8").tobytes())
        return total.hexdigest()

    def _decode(self, index: int) -> Slice:
        """One slice, turned; what was noticed is kept."""
        decoded: DecodedSlice = decode_slice(self.series.headers[index])
        self._padding[index] = decoded.padding_pixels
        for code in decoded.notes:
            self._notes.setdefault(code, set()).add(index)
        return self._grid.place(_turned(decoded.hu, self.series.in_plane), index)

    def _hashed(self, index: int) -> Slice:
        """One slice, turned, its digest and classes of HU kept: hashing takes longer than reading, so plain access does without."""
        hu = self._decode(index)
        self._counts[index] = count_hu(hu, self._padding[index])
        self._digests[index] = hashlib.sha256(np.ascontiguousarray(hu, dtype="<f4").data).digest()
        return hu


def read_display_slice(path: Path) -> Slice:
    """One single-frame CT file in HU, turned as `Volume` turns its slices, so that training sees what scoring will see.

    Raises:
        PixelsUnreadableError: the file is no CT slice, is truncated, or cannot be decoded; names the file and the rule.
    """
    return read_display_plane(path)[0]


def read_display_plane(path: Path) -> tuple[Slice, tuple[float, float] | None]:
    """As `read_display_slice`, with the distance between its rows and between its columns in mm; None where the file has none.

    Raises:
        PixelsUnreadableError: as `read_display_slice`, or a position, orientation or spacing that is no usable number.
    """
    header = read_header(path)
    try:
        check_geometry(header)
        hu = decode_slice(header).hu
    except FileFaultError as fault:
        raise file_error(path.name, fault) from fault
    turn = _AS_STORED if header.image_orientation_patient is None else in_plane_of(header)
    spacing = None if header.pixel_spacing_mm is None else spacing_of(header)
    if spacing is not None and turn.transpose:
        spacing = spacing[1], spacing[0]
    return _turned(hu, turn), spacing


def _slices(count: int) -> str:
    return f"{count} slice{'s' if count != 1 else ''}"


def _turned(hu: Float32[np.ndarray, "y x"], turn: InPlane) -> Float32[np.ndarray, "rows columns"]:
    """The slice in its usual display: transposed first, then flipped; contiguous."""
    if turn.identity:
        return hu
    if turn.transpose:
        hu = hu.T
    if turn.flip_rows:
        hu = hu[::-1]
    if turn.flip_columns:
        hu = hu[:, ::-1]
    return np.ascontiguousarray(hu)
