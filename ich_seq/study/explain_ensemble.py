"""Why an ensemble's scores are what they are: its members' maps, each on its own absolute scale, added up by their weights.

A member's map explains the member's own score and is scaled by the member's own constant; the ensemble's is their mean by the weights
of its combination, for a vote in equal parts, since the share of votes itself has no gradient. What a neighbour added is exact: the
members' scores without it, combined as their scores are.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float32

from ich_seq.config import PreprocessConfig
from ich_seq.dicom.resample import square_pixels
from ich_seq.errors import ModelError
from ich_seq.labels import LABEL_NAMES
from ich_seq.model.ensemble import EnsembleInfo
from ich_seq.model.heat_scale import ONE, TWO, HeatConstant, HeatScale, Stage
from ich_seq.model.torch_backend import TorchModel
from ich_seq.slices.place import Field, field_of, onto_slice
from ich_seq.study.ensemble import EnsembleModel, combined
from ich_seq.study.explain import Asked, Explanation, Heat, Neighbour, scaled, verdict_of
from ich_seq.study.gradcam import GradCam
from ich_seq.study.score import ScoredStudy
from ich_seq.thresholds import BALANCED, SLICE
from ich_seq.volume import Slice

GRID_CELLS = 32
"""Cells along a side of the grid on which maps of different cells are added up: finer than any member's map at 512 pixels."""
_WHOLE_SQUARE = PreprocessConfig()


@dataclass(frozen=True, slots=True)
class _MemberMaps:
    """Of one member: maps on its own scale [n, l, h, w], and scores without each other slice [n, s, 6], nan for the slice itself."""

    maps: Float32[np.ndarray, "n l h w"]
    without: Float32[np.ndarray, "n s 6"] | None
    preprocess: PreprocessConfig


def explain_ensemble(
    scored: ScoredStudy, model: EnsembleModel, scales: Sequence[HeatScale], asked: Asked
) -> Explanation:
    """The maps of a study that was scored with an ensemble, whose slices are read anew for each member.

    Raises:
        PixelsUnreadableError: a slice cannot be read any more.
        ModelError: a member has no feature map with places, or is not computed by torch; it is named.
    """
    places = tuple(sorted(set(asked.places)))
    asked = Asked(places, asked.labels, asked.stage)
    found, shapes = [], {}
    for number, (member, scale) in enumerate(zip(model.members, scales, strict=True), start=1):
        named = f"member {number:02d}, {member.info.name}"
        if not isinstance(member, TorchModel):
            raise ModelError(f"{named}: not computed by torch, so it has no gradient")
        try:
            found.append(_maps_of(member, scale, scored, asked, shapes))
        except ModelError as error:
            raise ModelError(f"{named}: {error.message}") from error
    together = _Together(scored, model.info, ensemble_scale(model.info, scales), asked, found, shapes)
    heats = {
        (place, label): together.heat(row, column)
        for column, label in enumerate(asked.labels)
        for row, place in enumerate(places)
    }
    return Explanation(
        result=scored.result,
        volume=scored.volume,
        stage=asked.stage,
        places=places,
        labels=tuple(asked.labels),
        heats=heats,
        scale=together.scale,
        preprocess=found[0].preprocess if together.on_one_grid else _WHOLE_SQUARE,
        members=tuple(scales),
    )


@dataclass(frozen=True)
class _Together:
    """The members' maps of what was asked, and what is needed to add them up; `shapes` are those of the slices, by index."""

    scored: ScoredStudy
    info: EnsembleInfo
    scale: HeatScale
    asked: Asked
    found: Sequence[_MemberMaps]
    shapes: dict[int, tuple[int, int]]

    @property
    def on_one_grid(self) -> bool:
        """Whether all maps have the same cells in the same places, so that they are added up as they are."""
        return len({(each.maps.shape[2:], _field_rule(each.preprocess)) for each in self.found}) == 1

    def heat(self, row: int, column: int) -> Heat:
        """Of the asked slice and label in these places."""
        place, label = self.asked.places[row], self.asked.labels[column]
        known, of = self.scale.find(self.asked.stage, label), self.scored.result.slices[place]
        score = (of.stage_one if self.asked.stage == ONE else of.stage_two).of(label)
        cells = self._cells(row, column)
        return Heat(
            label=label,
            index=place,
            score=score,
            threshold=known.threshold,
            verdict=verdict_of(score, known.threshold, known.constant),
            cells=cells if known.constant is not None else np.zeros_like(cells),
            neighbours=self._neighbours(row, LABEL_NAMES.index(label)),
        )

    def _cells(self, row: int, column: int) -> Float32[np.ndarray, "h w"]:
        maps = [each.maps[row, column] for each in self.found]
        if not self.on_one_grid:
            on = self.shapes[self.asked.places[row]]
            maps = [onto_grid(cells, each.preprocess, on) for cells, each in zip(maps, self.found, strict=True)]
        shares = _weights(self.info, self.asked.stage)[:, LABEL_NAMES.index(self.asked.labels[column])]
        return np.einsum("m,mhw->hw", shares, np.stack(maps)).astype(np.float32)

    def _neighbours(self, row: int, label: int) -> tuple[Neighbour, ...]:
        """What the members say without each other slice, combined as by stage two; none for stage one."""
        said = [each.without[row] for each in self.found if each.without is not None]
        if not said:
            return ()
        others = [index for index in range(len(said[0])) if not any(np.isnan(each[index]).any() for each in said)]
        scores = combined(self.info.stage_two, [each[others] for each in said])[:, label]
        return tuple(Neighbour(index, float(score)) for index, score in zip(others, scores, strict=True))


def onto_grid(
    cells: Float32[np.ndarray, "h w"], preprocess: PreprocessConfig, shape: tuple[int, int]
) -> Float32[np.ndarray, "g g"]:
    """A member's map at the centres of the cells of one grid over the square about a slice of that shape; 0 outside the map."""
    own, whole = field_of(*shape, preprocess), field_of(*shape, _WHOLE_SQUARE)
    step = whole.height / GRID_CELLS
    on_grid = Field((own.top - whole.top) / step, (own.left - whole.left) / step, own.height / step, own.width / step)
    return onto_slice(cells, on_grid, (GRID_CELLS, GRID_CELLS))


def ensemble_scale(info: EnsembleInfo, scales: Sequence[HeatScale]) -> HeatScale:
    """The scale of the combined maps: 1, as each member's is, and the ensemble's own thresholds.

    A label has no scale where a member that counts for it has none.
    """
    constants = []
    for stage in (ONE, TWO):
        weights = _weights(info, stage)
        for column, label in enumerate(LABEL_NAMES):
            known = [scale.find(stage, label) for scale in scales]
            counts = [each for each, share in zip(known, weights[:, column], strict=True) if share > 0]
            constants.append(
                HeatConstant(
                    stage=stage,
                    label=label,
                    constant=1.0 if all(each.constant is not None for each in counts) else None,
                    threshold=_threshold(info, stage, column),
                    positives=min(each.positives for each in known),
                )
            )
    least = min(scales, key=lambda scale: scale.slices)
    return least.model_copy(update={"model_digest": info.digest(), "constants": tuple(constants)})


def _weights(info: EnsembleInfo, stage: Stage) -> np.ndarray:
    """Of each member and label."""
    return np.array((info.stage_one if stage == ONE else info.stage_two).weights)


def _threshold(info: EnsembleInfo, stage: Stage, label: int) -> float | None:
    if stage == ONE:
        return info.slice_thresholds_one[label]
    shipped = None if info.thresholds is None else info.thresholds.find(SLICE, LABEL_NAMES[label], BALANCED)
    return None if shipped is None else shipped.score


def _maps_of(
    member: TorchModel, scale: HeatScale, scored: ScoredStudy, asked: Asked, shapes: dict[int, tuple[int, int]]
) -> _MemberMaps:
    """Also notes the shape of each slice with square pixels."""
    volume = scored.volume
    cam = GradCam(member.cnn, member.pca, member.lstm)

    def slices() -> Iterator[Slice]:
        for index in range(len(volume)):
            hu = square_pixels(volume[index], volume.pixel_spacing_mm)
            shapes[index] = hu.shape[0], hu.shape[1]
            yield hu

    seen = cam.look(slices(), asked.places)
    one = asked.stage == ONE
    with torch.no_grad():
        scores = torch.sigmoid(seen.logits if one else cam.refined(seen.logits, seen.embedding)[0]).cpu().numpy()
        without = None if one else torch.sigmoid(cam.without_each(seen, asked.places)).cpu().numpy()
    maps = []
    for name in asked.labels:
        label, constant = LABEL_NAMES.index(name), scale.find(asked.stage, name).constant
        plain = (cam.stage_one(seen, label) if one else cam.stage_two(seen, label)).cpu().numpy()
        rows = zip(plain, asked.places, strict=True)
        maps.append(np.stack([scaled(cells, float(scores[place, label]), constant) for cells, place in rows]))
    return _MemberMaps(np.stack(maps, axis=1), without, member.info.preprocess)


def _field_rule(preprocess: PreprocessConfig) -> tuple[int, ...]:
    """What decides which part of a slice a map covers."""
    return (preprocess.size * preprocess.max_pool,) if preprocess.resize == "pad_or_crop" else ()
