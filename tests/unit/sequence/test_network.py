"""The sequence network: its size, its independence of the batch, its extremes."""

import pytest
import torch

from ich_seq.config import LstmConfig
from ich_seq.sequence.dataset import Scan, batch_scans, thinned
from ich_seq.sequence.network import SequenceNet, reduced_width_of
from ich_seq.sequence.train import fit_blend


def scan(slices: int, seed: int) -> Scan:
    generator = torch.Generator().manual_seed(seed)
    reduced = torch.randn(slices, 120, generator=generator)
    prob, labels = torch.rand(slices, 6, generator=generator), torch.rand(slices, 6, generator=generator).round()
    return Scan(f"series {seed}", tuple(f"{seed}.{index}" for index in range(slices)), reduced, prob, labels)


@pytest.fixture(scope="module")
def network() -> SequenceNet:
    torch.manual_seed(0)
    return SequenceNet(120, LstmConfig()).eval()


def logits_of(network: SequenceNet, scans: list[Scan]) -> list[torch.Tensor]:
    batch = batch_scans(scans)
    with torch.inference_mode():
        padded = network(batch.reduced, batch.prob, batch.lengths)
    return [row[: len(each.prob)] for row, each in zip(padded, scans, strict=True)]


def test_its_parameters_are_the_published_numbers(network: SequenceNet) -> None:
    """LSTM 3,940,352 and head 3,114, from Burduja et al.'s recipe: 126 inputs, 3 x 256 bidirectional, 518 to 6."""
    assert sum(p.numel() for p in network.lstm.parameters()) == 3_940_352
    assert sum(p.numel() for p in network.head.parameters()) == 3_114


@pytest.mark.parametrize("extra", [{"deltas": True}, {"position": True}, {"deltas": True, "position": True}])
def test_neighbours_and_position_do_not_depend_on_the_batch_either(extra: dict[str, bool]) -> None:
    torch.manual_seed(0)
    config = LstmConfig(hidden=8, layers=1, **extra)
    network = SequenceNet(120, config).eval()
    assert reduced_width_of(network.lstm.input_size, config) == 120
    scans = [scan(length, seed) for seed, length in enumerate((1, 33, 2))]
    for each, batched in zip(scans, logits_of(network, scans), strict=True):
        torch.testing.assert_close(batched, logits_of(network, [each])[0], rtol=0, atol=1e-6)


def test_deltas_and_position_are_those_by_hand() -> None:
    network = SequenceNet(2, LstmConfig(hidden=4, layers=1, deltas=True, position=True))
    reduced = torch.tensor([[[1.0, 2], [4, 8], [5, 5], [9, 9]]])  # the last row is padding
    inputs = network._inputs(reduced, torch.zeros(1, 4, 6), torch.tensor([3]))[0]
    assert inputs[:3, 8:10].tolist() == [[0, 0], [3, 6], [1, -3]]  # minus the slice below
    assert inputs[:3, 10:12].tolist() == [[-3, -6], [-1, 3], [0, 0]]  # minus the slice above
    assert inputs[:3, 12].tolist() == [0, 0.5, 1]


def test_a_blend_of_one_is_stage_two_alone_and_of_zero_stage_one(network: SequenceNet) -> None:
    each = scan(7, 5)
    before = logits_of(network, [each])[0]
    try:
        network.blend.copy_(torch.tensor([0.0, 1, 0.5, 1, 1, 1]))
        blended = logits_of(network, [each])[0]
    finally:
        network.blend.fill_(1.0)
    one = torch.logit(each.prob)
    torch.testing.assert_close(blended[:, 0], one[:, 0])
    assert torch.equal(blended[:, 1], before[:, 1])
    torch.testing.assert_close(blended[:, 2], (before[:, 2] + one[:, 2]) / 2)


def test_the_blend_is_fitted_label_by_label() -> None:
    """Label 0: stage two is right; 1: stage one is right; 2: no positive, so stage two alone; the rest: both say the same."""
    truth = torch.tensor([[0.0, 0, 0, 0, 0, 0], [1, 1, 0, 1, 1, 1]]).repeat(10, 1)
    right, wrong = torch.tensor([-2.0, 2.0]).repeat(10), torch.tensor([1.0, -1.0]).repeat(10)
    two = torch.stack([right, wrong, right, right, right, right], dim=1)
    one = torch.sigmoid(torch.stack([wrong, right, wrong, right, right, right], dim=1))
    assert fit_blend(two, one, truth).tolist() == [1, 0, 1, 1, 1, 1]


def test_a_thinned_scan_has_every_second_slice() -> None:
    whole = scan(5, 6)
    assert thinned(whole, 0).sop_instance_uids == whole.sop_instance_uids[::2]
    assert torch.equal(thinned(whole, 1).labels, whole.labels[1::2])
    assert thinned(scan(1, 7), 1).labels.shape == (1, 6)


def test_a_scan_in_a_batch_reads_as_it_does_alone(network: SequenceNet) -> None:
    scans = [scan(length, seed) for seed, length in enumerate((1, 33, 60, 2, 20))]
    together = logits_of(network, scans)
    for each, batched in zip(scans, together, strict=True):
        torch.testing.assert_close(batched, logits_of(network, [each])[0], rtol=0, atol=1e-6)  # the bound


def test_one_slice_and_a_thousand_slices_work(network: SequenceNet) -> None:
    assert logits_of(network, [scan(1, 0)])[0].shape == (1, 6)
    long = logits_of(network, [scan(1000, 1)])[0]
    assert long.shape == (1000, 6)
    assert torch.isfinite(long).all()


def test_both_directions_are_read(network: SequenceNet) -> None:
    whole = scan(20, 3)
    changed_end = Scan(
        whole.series_instance_uid, whole.sop_instance_uids, whole.reduced.clone(), whole.prob, whole.labels
    )
    changed_end.reduced[-1] += 1
    assert (logits_of(network, [whole])[0][0] - logits_of(network, [changed_end])[0][0]).abs().max() > 1e-6


def test_a_reversed_scan_has_its_labels_reversed_with_it() -> None:
    each = scan(5, 4)
    batch = batch_scans([each], [True])
    assert torch.equal(batch.labels[0], each.labels.flip(0))
    assert torch.equal(batch.reduced[0], each.reduced.flip(0))
