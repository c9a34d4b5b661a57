"""Scores studies: files to series, slices through stage one as they are read, the scan through stage two."""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from ich_seq.dicom import AS_IT_IS, ReadOptions
from ich_seq.dicom.resample import square_pixels
from ich_seq.errors import IchSeqError, InputRefusedError
from ich_seq.labels import LABEL_NAMES
from ich_seq.model.ensemble import read_model_info
from ich_seq.model.runtime import FASTEST, Compute, Runtime
from ich_seq.study.assemble import ScanProbabilities, assemble
from ich_seq.study.chunks import CHUNK_SLICES, Chunk, in_chunks, one_ahead, refuse_alone
from ich_seq.study.inputs import DicomStudy, Inputs, NiftiFile, Scan, find_studies
from ich_seq.study.model import StudyModel, load_model, reach_of, read_chunk, use_of
from ich_seq.study.refusal import read_through, refusal_of
from ich_seq.study.result import StudyResult
from ich_seq.study.thin import as_the_model_knows
from ich_seq.volume import Slice


@dataclass(frozen=True, slots=True)
class ScoredStudy:
    """A result and the scan that it speaks of, whose slices can still be read; `studies` were found in all."""

    result: StudyResult
    volume: Scan
    studies: int


@dataclass(frozen=True, slots=True)
class FailedStudy:
    """A study that was not scored, and why; `studies` were found in all. A NIfTI file that cannot be read is called `nifti`."""

    study_instance_uid: str
    error: IchSeqError
    studies: int


def score_study(
    path: str | Path | Sequence[str | Path],
    model: str | Path | StudyModel,
    *,
    series_uid: str | None = None,
    options: ReadOptions = AS_IT_IS,
    device: str = "auto",
    runtime: Runtime = "auto",
) -> StudyResult:
    """The scores of the one study in a folder, a zip, a file, or a list of them: DICOM, or a NIfTI volume in HU.

    Args:
        path: what to score; file names and order do not matter.
        model: the folder of a model bundle, or a model that is loaded already.
        series_uid: SeriesInstanceUID to score; None chooses the axial soft-tissue head series.
        options: what to let pass, each with a warning in the result; `allow_incomplete` marks the status as well.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        runtime: `auto`, `openvino` or `torch`; `score_studies` takes the precision as well.

    Raises:
        InputRefusedError: nothing that can be scored, or several studies (see `score_studies`).
        ModelError: the bundle cannot be used.
        UsageError: no such device, runtime or precision here.
    """
    paths = [path] if isinstance(path, str | Path) else path
    scoring = _Scoring(model, options, Compute(device, runtime=runtime, precision="auto"))
    inputs = scoring.read(paths, series_uid)
    if len(inputs.studies) > 1:
        raise InputRefusedError(
            f"{len(inputs.studies)} studies; give one, name one of its series, or use score_studies"
        )
    outcome = scoring.outcome(inputs.studies[0], inputs)
    if isinstance(outcome, FailedStudy):
        raise outcome.error
    return outcome.result


def score_studies(
    paths: Sequence[str | Path],
    model: str | Path | StudyModel,
    *,
    series_uid: str | None = None,
    options: ReadOptions = AS_IT_IS,
    compute: Compute = FASTEST,
    on_slices: Callable[[int, int], None] = lambda done, total: None,
) -> Iterator[ScoredStudy | FailedStudy]:
    """Each study in what was given, scored or with the reason why not: DICOM in order of StudyInstanceUID, then NIfTI as given.

    The model is loaded when the first study is to be scored, and once. `on_slices` hears how many slices of the current study have
    been read. Other arguments as `score_study`.

    Raises:
        InputRefusedError: nothing that can be scored in any study.
        ModelError: the bundle cannot be used.
        UsageError: no such device.
    """
    scoring = _Scoring(model, options, compute, on_slices)
    inputs = scoring.read(paths, series_uid)
    for study in inputs.studies:
        yield scoring.outcome(study, inputs)


class _Scoring:
    """Studies through both stages, with one model that is loaded when it is first needed."""

    def __init__(
        self,
        model: str | Path | StudyModel,
        options: ReadOptions,
        compute: Compute,
        on_slices: Callable[[int, int], None] = lambda done, total: None,
    ) -> None:
        self._model = model
        self._options = options
        self._compute = compute
        self._on_slices = on_slices
        self._read_headers_s = 0.0
        if not isinstance(model, StudyModel):
            read_model_info(Path(model))

    def read(self, paths: Sequence[str | Path], series_uid: str | None) -> Inputs:
        """The studies that there are; raises as `find_studies`."""
        started = time.perf_counter()
        inputs = find_studies([Path(path) for path in paths], series_uid, self._options)
        self._read_headers_s = time.perf_counter() - started
        return inputs

    def outcome(self, study: DicomStudy | NiftiFile, inputs: Inputs) -> ScoredStudy | FailedStudy:
        """One study scored, or why it is not; a bundle that cannot be used raises, since no study can be scored with it."""
        seconds = {"read_headers": self._read_headers_s, "load_model": 0.0, "read_pixels": 0.0, "stage_one": 0.0}
        name = study.name
        try:
            with _timed(seconds, "read_pixels"):
                opened = study.open()
            name = opened.scan.study_instance_uid
            self._refuse_from_headers(opened.scan)
        except IchSeqError as error:
            return FailedStudy(name, error, len(inputs.studies))
        with _timed(seconds, "load_model"):
            model = self._loaded()
        try:
            probabilities, settled = self._both_stages(model, as_the_model_knows(opened.scan), seconds)
            result = assemble(settled, probabilities, use_of(model), opened.candidates, inputs.dropped, seconds)
        except IchSeqError as error:
            return FailedStudy(name, error, len(inputs.studies))
        return ScoredStudy(result, settled, len(inputs.studies))

    def _loaded(self) -> StudyModel:
        if not isinstance(self._model, StudyModel):
            self._model = load_model(Path(self._model), self._compute)
        return self._model

    def _refuse(self, scan: Scan) -> None:
        refusal = refusal_of(scan, self._options)
        if refusal is not None:
            raise refusal

    def _refuse_from_headers(self, scan: Scan) -> None:
        """What headers refuse, before a model is loaded; under `strict` every slice is read first, so that no code goes unnamed."""
        if refusal_of(scan, self._options) is not None:
            self._refuse(read_through(scan) if self._options.strict else scan)

    def _both_stages(
        self, model: StudyModel, volume: Scan, seconds: dict[str, float]
    ) -> tuple[ScanProbabilities, Scan]:
        stage_one, reduced, places = self._stage_one(model, volume, seconds)
        settled = volume.settled()
        self._refuse(settled)
        refuse_alone(len(settled), reach_of(model))
        kept = np.isin(places, list(volume.left_out), invert=True)
        stage_one, reduced = stage_one[kept], reduced[kept]
        if reach_of(model) and not kept.all():
            # What is left out was a neighbour: once more, as if its file were absent.
            stage_one, reduced, _ = self._stage_one(model, settled, seconds)
        with _timed(seconds, "stage_two"):
            stage_two = model.refine(reduced, stage_one)
        return ScanProbabilities(stage_one, stage_two), settled

    def _stage_one(
        self, model: StudyModel, volume: Scan, seconds: dict[str, float]
    ) -> tuple[Float32[np.ndarray, "s l"], Float32[np.ndarray, "s k"], list[int]]:
        """Of every slice that can be decoded, feet to head, its probabilities, what stage two reads, and its index."""
        prob, reduced, places = [], [], []
        for chunk in one_ahead(self._chunks(volume, reach_of(model), seconds)):
            places += chunk.indices
            with _timed(seconds, "stage_one"):
                chunk_prob, chunk_reduced = read_chunk(model, chunk)
            prob.append(chunk_prob)
            reduced.append(chunk_reduced)
        if not places:  # what is to be said of that, the settled scan says
            return np.zeros((0, len(LABEL_NAMES)), np.float32), np.zeros((0, 0), np.float32), []
        return np.concatenate(prob), np.concatenate(reduced), places

    def _chunks(self, volume: Scan, reach: int, seconds: dict[str, float]) -> Iterator[Chunk]:
        """The slices that can be decoded, feet to head, in chunks of `CHUNK_SLICES`, with square pixels.

        They are read while stage one computes, so the seconds of the two overlap.
        """
        chunks = in_chunks(self._square(volume), CHUNK_SLICES, reach)
        while True:
            with _timed(seconds, "read_pixels"):
                chunk = next(chunks, None)
            if chunk is None:
                return
            yield chunk

    def _square(self, volume: Scan) -> Iterator[tuple[int, Slice]]:
        for index, hu in volume.read():
            self._on_slices(index + 1, len(volume))
            yield index, square_pixels(hu, volume.pixel_spacing_mm)


@contextlib.contextmanager
def _timed(seconds: dict[str, float], phase: str) -> Iterator[None]:
    """Adds the seconds that the block takes to a phase."""
    started = time.perf_counter()
    try:
        yield
    finally:
        seconds[phase] = seconds.get(phase, 0.0) + time.perf_counter() - started
