"""The sequence network: its size, its independence of the batch, its extremes."""

import pytest
import torch

from ich_seq.config import LstmConfig
from ich_seq.sequence.dataset import Scan, batch_scans
from ich_seq.sequence.network import SequenceNet


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
