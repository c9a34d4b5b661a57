"""Balanced batches against the numbers of paper 000's table 1."""

import numpy as np
import pytest
import torch

from ich_seq.config import TrainCnnConfig
from ich_seq.errors import DatasetError
from ich_seq.slices.sampling import Sampling

PRINTED = TrainCnnConfig(sampling="balanced", batch_size=128, steps_per_epoch=10)


def labels(slices: int, each: int) -> torch.Tensor:
    """So many slices with each subtype alone, then slices with the first two, the rest without."""
    truth = torch.zeros(slices, 6)
    for subtype in range(5):
        truth[subtype * each : (subtype + 1) * each, [subtype, 5]] = 1
    truth[5 * each : 6 * each, [0, 1, 5]] = 1
    return truth


def test_a_batch_has_16_of_each_subtype_at_least_and_48_negative_slices() -> None:
    truth = labels(2000, 40)
    sampling = Sampling(truth, PRINTED, seed=0)
    steps = sampling.steps(epoch=3, first_step=0)
    assert len(steps) == sampling.steps_per_epoch() == 10
    for rows in steps:
        drawn = truth[rows]
        assert len(rows) == len(set(rows)) == 128
        assert int(drawn[:, 5].sum()) == 80
        assert (drawn[:, :5].sum(dim=0) >= 16).all()


def test_a_step_is_the_same_from_whichever_step_an_epoch_is_continued() -> None:
    sampling = Sampling(labels(2000, 40), PRINTED, seed=0)
    assert sampling.steps(1, 0)[4:] == sampling.steps(1, 4)
    assert sampling.steps(1, 0) != sampling.steps(2, 0)


def test_few_slices_are_repeated_and_an_absent_subtype_gives_its_share_to_the_others() -> None:
    truth = labels(2000, 4)
    truth[truth[:, 2] == 1] = 0
    (rows, *_) = Sampling(truth, PRINTED, seed=0).steps(0, 0)
    assert len(rows) == 128
    assert int(truth[rows][:, 5].sum()) == 80


@pytest.mark.parametrize(("value", "missing"), [(0.0, "with"), (1.0, "without")])
def test_a_kind_that_is_not_there_is_said(value: float, missing: str) -> None:
    with pytest.raises(DatasetError, match=f"no training slice is {missing}$"):
        Sampling(torch.full((50, 6), value), PRINTED, seed=0).steps(0, 0)


def test_all_slices_come_once_in_an_epoch_or_as_many_as_its_steps_hold() -> None:
    truth = labels(50, 2)
    every = Sampling(truth, TrainCnnConfig(batch_size=8), seed=0).steps(0, 0)
    assert sorted(np.concatenate(every).tolist()) == list(range(50))
    assert [len(rows) for rows in every] == [8] * 6 + [2]
    few = Sampling(truth, TrainCnnConfig(batch_size=8, steps_per_epoch=3), seed=0)
    assert few.steps(0, 0) == every[:3]
