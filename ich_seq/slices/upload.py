"""Slices in HU on their way to where they are windowed: to a GPU as 16-bit numbers, the next batch while this one is computed."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from jaxtyping import Float32, Real
from torch import Tensor

_INT16 = np.iinfo(np.int16)


def stacks_on(
    batches: Iterable[Sequence[Float32[np.ndarray, "_ _"]]], device: torch.device
) -> Iterator[list[Real[Tensor, "_ _ _"]]]:
    """Of each batch its slices in HU, in order, as stacks on `device`: as they are on a processor, packed (`packed`) on a GPU.

    To a GPU they travel from pinned memory in a stream of their own: the copy of the next batch is begun before a batch is handed out.
    """
    if device.type == "cuda":
        yield from _copied_ahead(batches, device)
        return
    for batch in batches:
        yield [torch.from_numpy(hu).to(device).unsqueeze(0) for hu in batch]


def packed(slices_hu: Sequence[Float32[np.ndarray, "_ _"]]) -> list[Real[Tensor, "_ _ _"]]:
    """Slices in HU, which are finite, in as few bytes as hold them exactly: int16 where all are whole numbers of its range, else fp32.

    One stack where all have the same matrix, else one for each slice.
    """
    if len({hu.shape for hu in slices_hu}) == 1:
        return [torch.from_numpy(_narrowed(np.stack(slices_hu)))]
    return [torch.from_numpy(_narrowed(hu[None].copy())) for hu in slices_hu]


def _narrowed(stack: Float32[np.ndarray, "b y x"]) -> Real[np.ndarray, "b y x"]:
    if stack.min() < _INT16.min or stack.max() > _INT16.max:
        return stack
    whole = stack.astype(np.int16)
    return whole if np.array_equal(whole, stack) else stack


def _copied_ahead(
    batches: Iterable[Sequence[Float32[np.ndarray, "_ _"]]], device: torch.device
) -> Iterator[list[Tensor]]:
    """Source: torch.cuda.Stream, Event and Tensor.record_stream in PyTorch's notes on CUDA semantics."""
    copying, coming = torch.cuda.Stream(device), None
    for batch in batches:
        arrived = torch.cuda.Event()
        with torch.cuda.stream(copying):
            stacks = [stack.pin_memory().to(device, non_blocking=True) for stack in packed(batch)]
            arrived.record(copying)
        if coming is not None:
            yield _arrived(*coming)
        coming = stacks, arrived
    if coming is not None:
        yield _arrived(*coming)


def _arrived(stacks: list[Tensor], arrived: torch.cuda.Event) -> list[Tensor]:
    """The stacks, for which the stream that computes now waits; their memory is not given away before it has read them."""
    computing = torch.cuda.current_stream(stacks[0].device)
    computing.wait_event(arrived)
    for stack in stacks:
        stack.record_stream(computing)
    return stacks
