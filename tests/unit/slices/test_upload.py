"""HU that travel in 16 bits give the tiles of HU in float32, to the bit; on a processor nothing is packed or looked at."""

import numpy as np
import pytest
import torch

from ich_seq.config import PreprocessConfig, Window
from ich_seq.slices.network import SliceNet
from ich_seq.slices.read import network_tiles, read_slices
from ich_seq.slices.upload import packed, stacks_on
from ich_seq.slices.window import Preprocess

ASIP = PreprocessConfig(windows=(Window(level=60, width=40),), mean=(0.0,), std=(1.0,), size=32, adjacent_slices=1)
CPU = torch.device("cpu")
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")


def whole(*shapes: tuple[int, int]) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(-1024, 3072, shape).astype(np.float32) for shape in shapes]


@pytest.mark.parametrize(
    "config",
    [
        PreprocessConfig(size=32),
        PreprocessConfig(size=32, windowing="sigmoid"),
        PreprocessConfig(size=64, resize="every_nth", max_pool=2),
        PreprocessConfig(size=32, resize="pad_or_crop", grey_mean=True, mean=(0.2,), std=(0.3,)),
        PreprocessConfig(size=32, windows=(), windowing="largest_absolute", mean=(0.5,), std=(0.2,)),
    ],
)
@pytest.mark.parametrize("shapes", [[(48, 48)] * 3, [(48, 48), (40, 56), (64, 64)]])
def test_packed_slices_have_the_tiles_of_float32_to_the_bit(config: PreprocessConfig, shapes) -> None:
    preprocess, slices = Preprocess(config), whole(*shapes)
    stacks = packed(slices)
    assert {stack.dtype for stack in stacks} == {torch.int16}
    assert len(stacks) == (1 if len(set(shapes)) == 1 else 3)
    tiles = torch.cat([preprocess.tiles(stack) for stack in stacks])
    assert torch.equal(tiles, network_tiles(preprocess, slices, range(3)))


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (-32768.0, torch.int16),
        (32767.0, torch.int16),
        (-0.0, torch.int16),
        (32768.0, torch.float32),
        (-32769.0, torch.float32),
        (40.5, torch.float32),
        (1e-30, torch.float32),
        (3e38, torch.float32),
    ],
)
def test_only_whole_numbers_of_16_bits_are_packed_and_every_value_stays(value: float, kind: torch.dtype) -> None:
    slices = whole((5, 7), (5, 7))
    slices[1][2, 3] = value
    (stack,) = packed(slices)
    assert stack.dtype == kind
    np.testing.assert_array_equal(stack.numpy().astype(np.float32), np.stack(slices))


def test_slices_of_different_matrices_are_judged_each_by_itself() -> None:
    slices = whole((5, 7), (6, 6))
    slices[0] += 0.5
    slices[0].flags.writeable = False
    assert [stack.dtype for stack in packed(slices)] == [torch.float32, torch.int16]


def test_on_a_processor_slices_are_handed_over_where_they_lie() -> None:
    """No copy, no look at the numbers, no batch before it is asked for."""
    slices = whole(*[(4, 4)] * 3)
    batches = iter([slices[:2], slices[2:]])
    stacks = stacks_on(batches, CPU)
    first = next(stacks)
    assert [stack.data_ptr() for stack in first] == [hu.ctypes.data for hu in slices[:2]]
    assert len(next(batches)) == 1


@pytest.mark.parametrize("config", [PreprocessConfig(size=32), ASIP])
def test_the_batch_size_changes_no_tile(config: PreprocessConfig) -> None:
    """Each slice with its own neighbours, whichever batch they fall into; a network would sum a batch in another order."""
    seen: list[torch.Tensor] = []
    network = SliceNet("kumar2021_cnn", config).eval()
    network.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].clone()))
    slices = whole(*[(40, 40)] * 5)
    for batch_size in (2, 5):
        read_slices(network, slices, batch_size, range(1, 5))
    assert [len(tiles) for tiles in seen] == [2, 2, 4]
    assert torch.equal(torch.cat(seen[:2]), seen[2])
    assert torch.equal(seen[2], network_tiles(network.preprocess, slices, range(1, 5)))


@needs_gpu
@pytest.mark.parametrize("fraction", [0.0, 0.5])
def test_a_gpu_gets_every_batch_whole_in_order_while_it_computes(fraction: float) -> None:
    """Many batches, and a stream that is kept busy: what arrives too late, or is overwritten, would differ."""
    device = torch.device("cuda")
    slices = [hu + np.float32(fraction) for hu in whole(*[(512, 512)] * 64)]
    busy = torch.rand(2048, 2048, device=device)
    found = []
    for stacks in stacks_on((slices[start : start + 4] for start in range(0, 64, 4)), device):
        busy = torch.tanh(busy @ busy)
        found += [stack.float() for stack in stacks]
    assert torch.equal(torch.cat(found).cpu(), torch.from_numpy(np.stack(slices)))


@needs_gpu
def test_a_gpu_windows_as_the_processor_does() -> None:
    slices = whole(*[(512, 512)] * 5)
    config = PreprocessConfig(size=256)
    here = network_tiles(Preprocess(config), slices, range(5))
    there = network_tiles(Preprocess(config).to("cuda"), slices, range(5))
    torch.testing.assert_close(there.cpu(), here, rtol=0, atol=1e-6)  # another order of the same few sums
