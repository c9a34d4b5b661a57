"""How a step is divided: the same number of parts in every process, whatever its share."""

import pytest
import torch
from torch import nn

from ich_seq.config import TrainCnnConfig
from ich_seq.slices.tiles import TileBatch, TileSource
from ich_seq.slices.train import SliceTask


def parts(slices: int, planned: int, micro_batch: int) -> list[tuple[int, int]]:
    """Of each part the tiles that go through the network and the slices that count."""
    settings = TrainCnnConfig(batch_size=64, micro_batch=micro_batch)
    unread = TileSource.__new__(TileSource)  # dividing a step looks at its batch alone
    task = SliceTask(nn.Identity(), unread, unread, settings, 0, "cpu")
    batch = TileBatch(torch.rand(slices, 3, 8, 8), torch.zeros(slices, 6), torch.arange(slices), planned)
    return [(len(part.tiles), count) for (part, _), count in task.parts(batch)]


@pytest.mark.parametrize(("slices", "counts"), [(9, [5, 4]), (8, [4, 4]), (1, [1, 0]), (0, [0, 0])])
def test_every_process_has_as_many_parts_as_the_largest_share_needs(
    monkeypatch, slices: int, counts: list[int]
) -> None:
    """33 slices over four processes are 9, 8, 8 and 8; some may be unreadable."""
    monkeypatch.setenv("WORLD_SIZE", "4")
    found = parts(slices, planned=33, micro_batch=8)
    assert [count for _, count in found] == counts
    assert all(tiles == (count or 2) for tiles, count in found)


def test_alone_a_step_is_one_part_or_parts_of_the_micro_batch_at_most() -> None:
    assert parts(20, planned=20, micro_batch=0) == [(20, 20)]
    assert parts(20, planned=20, micro_batch=8) == [(7, 7), (7, 7), (6, 6)]
