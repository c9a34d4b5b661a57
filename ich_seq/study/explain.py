"""Why a study's scores are what they are: maps of heat per slice and label on an absolute scale, and what each neighbour added."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor

from ich_seq.config import PreprocessConfig
from ich_seq.dicom.resample import square_pixels
from ich_seq.labels import LABEL_NAMES
from ich_seq.model.heat_scale import ONE, HeatScale, Stage
from ich_seq.model.torch_backend import TorchModel
from ich_seq.slices.place import Field, field_of
from ich_seq.study.gradcam import GradCam
from ich_seq.study.inputs import Scan
from ich_seq.study.result import StudyResult
from ich_seq.study.score import ScoredStudy
from ich_seq.volume import Slice

Verdict = Literal["drawn", "below the threshold", "no threshold", "no constant"]


@dataclass(frozen=True, slots=True)
class Neighbour:
    """The score that a slice would have, had the slice at `index` (0 at the feet) not been there."""

    index: int
    score_without: float


@dataclass(frozen=True, slots=True)
class Heat:
    """The map of one label on one slice.

    `cells` are the map's cells on the absolute scale: Grad-CAM times `score`, divided by the label's constant, which is 1; zeros where
    there is no constant. Nothing is drawn below `threshold`. `neighbours` are empty for stage one, which knows none, and where a
    network that reads neighbours has no scan without one.
    """

    label: str
    index: int
    score: float
    threshold: float | None
    verdict: Verdict
    cells: Float32[np.ndarray, "h w"]
    neighbours: tuple[Neighbour, ...] = ()


@dataclass(frozen=True, slots=True)
class Explanation:
    """The maps of a study: for each slice in `places`, feet to head, and each label in `labels` one of `heats`, by (slice, label).

    Of an ensemble `members` are its members' scales, and `scale` is that of their maps added up.
    """

    result: StudyResult
    volume: Scan
    stage: Stage
    places: tuple[int, ...]
    labels: tuple[str, ...]
    heats: dict[tuple[int, str], Heat]
    scale: HeatScale
    preprocess: PreprocessConfig
    members: tuple[HeatScale, ...] = ()

    def field(self, shape: tuple[int, int]) -> Field:
        """What the map covers of a slice with square pixels."""
        return field_of(*shape, self.preprocess)


@dataclass(frozen=True, slots=True)
class Asked:
    """What to explain: slices by their index, labels by name, the scores of stage `one` or `two`."""

    places: Sequence[int]
    labels: Sequence[str] = LABEL_NAMES
    stage: Stage = "two"


def explain_study(
    scored: ScoredStudy,
    model: TorchModel,
    scale: HeatScale,
    asked: Asked,
    on_slices: Callable[[int, int], None] = lambda done, total: None,
) -> Explanation:
    """The maps of a study that was scored with `model`, whose slices are read anew.

    Raises:
        PixelsUnreadableError: a slice cannot be read any more.
        ModelError: the classifier has no feature map with places.
    """
    volume, places = scored.volume, tuple(sorted(set(asked.places)))
    cam = GradCam(model.cnn, model.pca, model.lstm)

    def slices() -> Iterator[Slice]:
        for index in range(len(volume)):
            yield square_pixels(volume[index], volume.pixel_spacing_mm)
            on_slices(index + 1, len(volume))

    seen = cam.look(slices(), places)
    found = () if asked.stage == ONE else torch.sigmoid(cam.without_each(seen, places))
    without = dict(zip(places, found, strict=asked.stage != ONE))
    heats = {}
    for name in asked.labels:
        label = LABEL_NAMES.index(name)
        maps = cam.stage_one(seen, label) if asked.stage == ONE else cam.stage_two(seen, label)
        for place, cells in zip(places, maps.cpu().numpy(), strict=True):
            heat = _heat(scored.result, scale, asked.stage, (place, name), cells)
            heats[place, name] = heat if asked.stage == ONE else _with_neighbours(heat, without[place][:, label])
    return Explanation(
        scored.result, volume, asked.stage, places, tuple(asked.labels), heats, scale, model.info.preprocess
    )


def scaled(cells: Float32[np.ndarray, "*n h w"], score: float, constant: float | None) -> Float32[np.ndarray, "*n h w"]:
    """Maps on the absolute scale: times the score that they explain, by the label's constant; zeros without one."""
    if constant is None:
        return np.zeros_like(cells)
    return cells * np.float32(score / constant)


def _heat(
    result: StudyResult, scale: HeatScale, stage: Stage, key: tuple[int, str], cells: Float32[np.ndarray, "h w"]
) -> Heat:
    place, label = key
    row, known = result.slices[place], scale.find(stage, label)
    score = (row.stage_one if stage == ONE else row.stage_two).of(label)
    return Heat(
        label=label,
        index=place,
        score=score,
        threshold=known.threshold,
        verdict=verdict_of(score, known.threshold, known.constant),
        cells=scaled(cells, score, known.constant),
    )


def verdict_of(score: float, threshold: float | None, constant: float | None) -> Verdict:
    """Whether a map is drawn, or why not."""
    if constant is None:
        return "no constant"
    if threshold is None:
        return "no threshold"
    return "drawn" if score >= threshold else "below the threshold"


def _with_neighbours(heat: Heat, without: Float32[Tensor, " s"]) -> Heat:
    scores = enumerate(without.cpu().tolist())
    known = tuple(Neighbour(index, score) for index, score in scores if not math.isnan(score))
    return Heat(heat.label, heat.index, heat.score, heat.threshold, heat.verdict, heat.cells, known)
