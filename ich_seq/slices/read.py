"""Slices in HU through the classifier: what extraction and scoring share."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor

from ich_seq.slices.finite import refuse_non_finite_hu, refuse_non_numbers
from ich_seq.slices.network import SliceNet
from ich_seq.slices.upload import stacks_on
from ich_seq.slices.window import Preprocess


def read_slices(
    network: SliceNet,
    slices_hu: list[Float32[np.ndarray, "_ _"]],
    batch_size: int,
    asked: range | None = None,
) -> tuple[Float32[np.ndarray, "s l"], Float32[np.ndarray, "s d"]]:
    """Logits and embeddings of successive slices in HU, which may differ in matrix; each is windowed by itself.

    Args:
        network: in evaluation mode.
        slices_hu: slices of one scan, feet to head.
        batch_size: slices that go through the network at once.
        asked: the slices to read; those before and after them are their neighbours alone. None: all, which are then a whole scan.

    Raises:
        InputRefusedError: HU that are not finite: windowing would make numbers of them.
        ModelError: a logit or an embedding is not finite: an infinite logit would be a probability of 1.
    """
    refuse_non_finite_hu(slices_hu)
    wanted = range(len(slices_hu)) if asked is None else asked
    batches = [wanted[start : start + batch_size] for start in range(0, len(wanted), batch_size)]
    logits, embeddings = [], []
    with torch.inference_mode():
        for tiles in _tiles_of(network.preprocess, slices_hu, batches):
            output = network(tiles)
            logits.append(output.logits.float())
            embeddings.append(output.embedding.float())
        found = torch.cat(logits).cpu().numpy(), torch.cat(embeddings).cpu().numpy()
    refuse_non_numbers("stage one", *found)
    return found


def network_tiles(
    preprocess: Preprocess, slices_hu: Sequence[Float32[np.ndarray, "_ _"]], asked: range
) -> Float32[Tensor, "b c size size"]:
    """What the network reads of some slices of a scan, feet to head: their tiles, where it needs them with those of their neighbours.

    The tiles are on the device of `preprocess`.
    """
    return next(_tiles_of(preprocess, slices_hu, [asked]))


def _tiles_of(
    preprocess: Preprocess, slices_hu: Sequence[Float32[np.ndarray, "_ _"]], batches: Sequence[range]
) -> Iterator[Float32[Tensor, "b c size size"]]:
    """As `network_tiles`, of one batch after another."""
    reach = preprocess.adjacent_slices
    lowest = [max(asked.start - reach, 0) for asked in batches]
    around = (slices_hu[low : asked.stop + reach] for low, asked in zip(lowest, batches, strict=True))
    stacks_of_batches = stacks_on(around, preprocess.mean.device)
    for low, asked, stacks in zip(lowest, batches, stacks_of_batches, strict=True):
        tiles = torch.cat([preprocess.tiles(stack) for stack in stacks])
        yield preprocess.with_neighbours(tiles)[asked.start - low : asked.stop - low]
