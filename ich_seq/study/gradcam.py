"""Grad-CAM: which cells of the last feature map raise a logit, through stage one alone or back through both stages.

A map weighs each channel by the mean gradient of the logit over its cells, adds the channels up and keeps what is positive. Through
both stages the logit is a refined one, and its gradient runs back through the BiLSTM, the PCA and stage one's probabilities.

Source: Selvaraju et al. 2017, 10.1109/ICCV.2017.74, equations 1 and 2.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ich_seq.embeddings.pca import Pca
from ich_seq.errors import ConfigError, ModelError
from ich_seq.sequence.network import SequenceNet
from ich_seq.slices.network import SliceNet
from ich_seq.slices.read import network_tiles, refuse_non_numbers
from ich_seq.study.chunks import CHUNK_SLICES, in_chunks
from ich_seq.volume import Slice

_WITHOUT_AT_ONCE = 32


@dataclass(frozen=True, slots=True)
class SeenScan:
    """A scan as stage one sees it, feet to head; feature maps of the slices in `places` only, since they are large.

    `tiles` are each slice's own, where the network reads them with those of neighbours.
    """

    places: tuple[int, ...]
    maps: Float[Tensor, "n k h w"]
    logits: Float[Tensor, "s l"]
    embedding: Float[Tensor, "s d"]
    tiles: Float[Tensor, "s c y x"] | None = None


@dataclass(frozen=True, slots=True)
class _Instead:
    """What stage one gives at some slices of a scan that lacks another; `places` are those in the whole scan."""

    places: tuple[int, ...]
    logits: Float[Tensor, "n l"]
    embedding: Float[Tensor, "n d"]


class GradCam:
    """The maps of one model: its classifier, its PCA and its sequence network, all in evaluation mode."""

    def __init__(self, cnn: SliceNet, pca: Pca, lstm: SequenceNet) -> None:
        self.cnn, self.lstm = cnn, lstm
        weight = next(lstm.parameters())
        self.device, kind = weight.device, {"device": weight.device, "dtype": weight.dtype}
        self._mean, self._components = (torch.from_numpy(part).to(**kind) for part in (pca.mean, pca.components))

    def look(self, slices: Iterable[Slice], keep: Collection[int]) -> SeenScan:
        """Stage one on all slices of a scan in HU with square pixels, feet to head; the feature maps of those in `keep` stay.

        A network that reads neighbouring slices beside each has one map for them together, which belongs to the slice in the middle.

        Raises:
            ModelError: the classifier has no feature map with places, or gives a number that is not finite.
        """
        maps, logits, embeddings, places, middles = [], [], [], [], []
        reach = self.cnn.preprocess.adjacent_slices
        with torch.no_grad():
            for chunk in in_chunks(enumerate(slices), CHUNK_SLICES, reach):
                tiles = network_tiles(self.cnn.preprocess, chunk.slices, chunk.asked)
                middles += [tiles.chunk(2 * reach + 1, dim=1)[reach]] if reach else []
                found = self._spatial(tiles)
                seen = self.cnn.from_features(found)
                logits.append(seen.logits)
                embeddings.append(seen.embedding)
                kept = [row for row, place in enumerate(chunk.indices) if place in keep]
                maps.append(found[kept])
                places += [chunk.indices[row] for row in kept]
        own = torch.cat(middles) if reach else None
        scan = SeenScan(tuple(places), torch.cat(maps), torch.cat(logits), torch.cat(embeddings), own)
        refuse_non_numbers("stage one", scan.logits.float().cpu().numpy(), scan.embedding.float().cpu().numpy())
        return scan

    def stage_one(self, seen: SeenScan, label: int) -> Float[Tensor, "n h w"]:
        """Of each kept slice the map of its own logit of one label, by stage one alone."""
        one_hot = torch.zeros_like(seen.logits[list(seen.places)])
        one_hot[:, label] = 1
        return weigh(seen.maps, self._gradient(seen.maps, one_hot, None))

    def stage_two(self, seen: SeenScan, label: int) -> Float[Tensor, "n h w"]:
        """Of each kept slice the map of its own refined logit of one label, back through both stages."""
        refined = _Refined(self, seen)
        rows = [refined.gradient(label, place, [place]) for place in seen.places]
        by_logits, by_embedding = (torch.cat(column) for column in zip(*rows, strict=True))
        return weigh(seen.maps, self._gradient(seen.maps, by_logits, by_embedding))

    def stage_two_of(self, seen: SeenScan, label: int, target: int) -> Float[Tensor, "n h w"]:
        """Of each kept slice the map of the refined logit of one slice of the scan, `target`: what in its neighbours raised it."""
        return weigh(seen.maps, self.gradient_of(seen, label, target))

    def gradient_of(self, seen: SeenScan, label: int, target: int) -> Float[Tensor, "n k h w"]:
        """The gradient of the refined logit of slice `target` with respect to the feature map of each kept slice."""
        by_logits, by_embedding = _Refined(self, seen).gradient(label, target, seen.places)
        return self._gradient(seen.maps, by_logits, by_embedding)

    def refined(
        self,
        logits: Float[Tensor, "s l"],
        embedding: Float[Tensor, "s d"],
        without: Sequence[int] = (),
        instead: Sequence[_Instead] = (),
    ) -> Float[Tensor, "b kept l"]:
        """Refined logits of the scan; with `without` one row for each slice named there, of the scan that lacks it.

        `instead` is for each of those what stage one gives in the scan that lacks it, where that is something else.
        """
        reduced, prob = self._reduced(embedding), torch.sigmoid(logits)
        rest = [[place for place in range(len(logits)) if place != gone] for gone in without]
        rows = torch.tensor(rest or [list(range(len(logits)))], device=self.device)
        lengths = torch.full((len(rows),), rows.shape[1])
        reduced, prob = reduced[rows], prob[rows]
        for row, (gone, other) in enumerate(zip(without, instead, strict=False)):
            moved = [place - (place > gone) for place in other.places]
            reduced[row, moved], prob[row, moved] = self._reduced(other.embedding), torch.sigmoid(other.logits)
        # cuDNN's LSTM has no gradient in evaluation mode.
        with torch.backends.cudnn.flags(enabled=False):
            return self.lstm(reduced, prob, lengths)

    def without_each(self, seen: SeenScan, targets: Sequence[int]) -> Float[Tensor, "t s l"]:
        """The refined logits that each target would have, had each other slice not been scanned; nan where that is itself.

        A network that reads neighbours reads others beside the slices around the one that is missing, and none in a scan of one
        slice: with two slices all are nan.
        """
        count = len(seen.logits)
        found = torch.full((len(targets), *seen.logits.shape), torch.nan, dtype=seen.logits.dtype, device=self.device)
        if count <= (1 if seen.tiles is None else 2):
            return found
        with torch.no_grad():
            for start in range(0, count, _WITHOUT_AT_ONCE):
                gone = list(range(start, min(start + _WITHOUT_AT_ONCE, count)))
                instead = [] if seen.tiles is None else [self._around(seen.tiles, place) for place in gone]
                refined = self.refined(seen.logits, seen.embedding, gone, instead)
                for row, target in enumerate(targets):
                    others = [place for place in gone if place != target]
                    kept = [gone.index(place) for place in others]
                    found[row, others] = refined[kept, [target - (target > place) for place in others]]
        return found

    def _around(self, tiles: Float[Tensor, "s c y x"], gone: int) -> _Instead:
        """Stage one on the slices that read the one at `gone`, in the scan without it."""
        reach = self.cnn.preprocess.adjacent_slices
        low, high = max(gone - 2 * reach, 0), min(gone + 2 * reach + 1, len(tiles))
        rest = [place for place in range(low, high) if place != gone]
        near = [place for place in rest if abs(place - gone) <= reach]
        beside, first = self.cnn.preprocess.with_neighbours(tiles[rest]), rest.index(near[0])
        output = self.cnn.from_features(self.cnn.features(beside[first : first + len(near)]))
        return _Instead(tuple(near), output.logits, output.embedding)

    def _reduced(self, embedding: Float[Tensor, "... d"]) -> Float[Tensor, "... k"]:
        return (embedding - self._mean) @ self._components.T

    def _spatial(self, tiles: Float[Tensor, "b c y x"]) -> Float[Tensor, "b k h w"]:
        try:
            found = self.cnn.features(tiles)
        except ConfigError as error:
            raise ModelError(error.message) from error
        if found.ndim != 4 or found.shape[-1] * found.shape[-2] < 2:
            shape = " x ".join(str(length) for length in found.shape[2:]) or "no"
            raise ModelError(
                f"the classifier's last feature map has {shape} places at {tiles.shape[-1]} pixels: there is nothing to draw; "
                "explain a model with a larger input, or whose backbone keeps a spatial map"
            )
        return found

    def _gradient(
        self, maps: Float[Tensor, "n k h w"], by_logits: Float[Tensor, "n l"], by_embedding: Float[Tensor, "n d"] | None
    ) -> Float[Tensor, "n k h w"]:
        """The chain rule's last link: from the gradients by what `from_features` gives to those by the feature maps."""
        leaf = maps.detach().requires_grad_()
        seen = self.cnn.from_features(leaf.clone())  # a copy: some backbones change it in place
        outputs, weights = [seen.logits], [by_logits]
        if by_embedding is not None:
            outputs, weights = [*outputs, seen.embedding], [*weights, by_embedding]
        return torch.autograd.grad(outputs, leaf, weights)[0]


class _Refined:
    """The refined logits of one scan, kept with their graph, so that many of them can be differentiated."""

    def __init__(self, cam: GradCam, seen: SeenScan) -> None:
        self._inputs = seen.logits.detach().requires_grad_(), seen.embedding.detach().requires_grad_()
        self._logits = cam.refined(*self._inputs)[0]

    def gradient(
        self, label: int, target: int, places: Sequence[int]
    ) -> tuple[Float[Tensor, "n l"], Float[Tensor, "n d"]]:
        """Of one refined logit, by stage one's logits and by the embedding of the slices at `places`."""
        by_logits, by_embedding = torch.autograd.grad(self._logits[target, label], self._inputs, retain_graph=True)
        return by_logits[list(places)], by_embedding[list(places)]


def weigh(maps: Float[Tensor, "n k h w"], gradient: Float[Tensor, "n k h w"]) -> Float[Tensor, "n h w"]:
    """Grad-CAM from feature maps and the gradient by them: channels weighed by their mean gradient, added up, the positive part."""
    return (gradient.mean(dim=(2, 3), keepdim=True) * maps).sum(dim=1).clamp(min=0)
