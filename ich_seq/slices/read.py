"""Slices in HU through the classifier: what extraction and scoring share."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor

from ich_seq.slices.finite import refuse_non_finite_hu, refuse_non_numbers
from ich_seq.slices.network import SliceNet
from ich_seq.slices.window import Preprocess


def read_slices(
    network: SliceNet,
    slices_hu: list[Float32[np.ndarray, "_ _"]],
    batch_size: int,
    device: str,
    asked: range | None = None,
) -> tuple[Float32[np.ndarray, "s l"], Float32[np.ndarray, "s d"]]:
    """Logits and embeddings of successive slices in HU, which may differ in matrix; each is windowed by itself.

    Args:
        network: in evaluation mode, on `device`.
        slices_hu: slices of one scan, feet to head.
        batch_size: slices that go through the network at once.
        device: where the network is.
        asked: the slices to read; those before and after them are their neighbours alone. None: all, which are then a whole scan.

    Raises:
        InputRefusedError: HU that are not finite: windowing would make numbers of them.
        ModelError: a logit or an embedding is not finite: an infinite logit would be a probability of 1.
    """
    refuse_non_finite_hu(slices_hu)
    wanted = range(len(slices_hu)) if asked is None else asked
    logits, embeddings = [], []
    with torch.inference_mode():
        for start in range(wanted.start, wanted.stop, batch_size):
            tiles = network_tiles(network.preprocess, slices_hu, range(start, min(start + batch_size, wanted.stop)))
            output = network(tiles)
            logits.append(output.logits.float().cpu().numpy())
            embeddings.append(output.embedding.float().cpu().numpy())
    found = np.concatenate(logits), np.concatenate(embeddings)
    refuse_non_numbers("stage one", *found)
    return found


def network_tiles(
    preprocess: Preprocess, slices_hu: Sequence[Float32[np.ndarray, "_ _"]], asked: range
) -> Float32[Tensor, "b c size size"]:
    """What the network reads of some slices of a scan, feet to head: their tiles, where it needs them with those of their neighbours.

    The tiles are on the device of `preprocess`.
    """
    lowest = max(asked.start - preprocess.adjacent_slices, 0)
    device = preprocess.mean.device
    around = slices_hu[lowest : asked.stop + preprocess.adjacent_slices]
    tiles = torch.cat([preprocess.tiles(torch.from_numpy(hu).to(device).unsqueeze(0)) for hu in around])
    return preprocess.with_neighbours(tiles)[asked.start - lowest : asked.stop - lowest]
