"""Slices in HU through the classifier: what extraction and scoring share."""

import numpy as np
import torch
from jaxtyping import Float32

from ich_seq.slices.network import SliceNet


def read_slices(
    network: SliceNet, slices_hu: list[Float32[np.ndarray, "y x"]], batch_size: int, device: str
) -> tuple[Float32[np.ndarray, "s l"], Float32[np.ndarray, "s d"]]:
    """Logits and embeddings of slices in HU, which may differ in matrix; each is windowed by itself."""
    logits, embeddings = [], []
    with torch.inference_mode():
        for start in range(0, len(slices_hu), batch_size):
            chunk = slices_hu[start : start + batch_size]
            tiles = torch.cat([network.preprocess.tiles(torch.from_numpy(hu).to(device).unsqueeze(0)) for hu in chunk])
            output = network(tiles)
            logits.append(output.logits.float().cpu().numpy())
            embeddings.append(output.embedding.float().cpu().numpy())
    return np.concatenate(logits), np.concatenate(embeddings)
