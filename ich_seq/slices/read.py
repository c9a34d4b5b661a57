"""Slices in HU through the classifier: what extraction and scoring share."""

import numpy as np
import torch
from jaxtyping import Float32

from ich_seq.errors import InputRefusedError, ModelError
from ich_seq.slices.network import SliceNet


def read_slices(
    network: SliceNet, slices_hu: list[Float32[np.ndarray, "y x"]], batch_size: int, device: str
) -> tuple[Float32[np.ndarray, "s l"], Float32[np.ndarray, "s d"]]:
    """Logits and embeddings of slices in HU, which may differ in matrix; each is windowed by itself.

    Raises:
        InputRefusedError: HU that are not finite: windowing would make numbers of them.
        ModelError: a logit or an embedding is not finite: an infinite logit would be a probability of 1.
    """
    for index, hu in enumerate(slices_hu):
        if not np.isfinite(hu).all():
            raise InputRefusedError(
                f"slice {index + 1} of {len(slices_hu)} has HU that are no finite numbers; export it again"
            )
    logits, embeddings = [], []
    with torch.inference_mode():
        for start in range(0, len(slices_hu), batch_size):
            chunk = slices_hu[start : start + batch_size]
            tiles = torch.cat([network.preprocess.tiles(torch.from_numpy(hu).to(device).unsqueeze(0)) for hu in chunk])
            output = network(tiles)
            logits.append(output.logits.float().cpu().numpy())
            embeddings.append(output.embedding.float().cpu().numpy())
    found = np.concatenate(logits), np.concatenate(embeddings)
    refuse_non_numbers("stage one", *found)
    return found


def refuse_non_numbers(what: str, *rows: Float32[np.ndarray, "s _"]) -> None:
    """Nothing where every number that a network gave of slices is finite.

    Raises:
        ModelError: one is not; names the first slice, counted from 1 among those computed together.
    """
    for values in rows:
        wrong = np.flatnonzero(~np.isfinite(values).all(axis=1))
        if wrong.size:
            raise ModelError(
                f"{what} gave no number for slice {int(wrong[0]) + 1} of {len(values)}; its weights cannot be used"
            )
