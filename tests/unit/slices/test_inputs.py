"""The papers' inputs by hand arithmetic: sigmoid windows, grey means, division, sizes, neighbours."""

import math

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from ich_seq.config import PreprocessConfig, Window
from ich_seq.slices.read import network_tiles
from ich_seq.slices.window import Preprocess

BRAIN, BLOOD, BONE = Window(level=40, width=80), Window(level=50, width=130), Window(level=600, width=2800)


def one_window(window: Window, **more) -> Preprocess:
    return Preprocess(PreprocessConfig(windows=(window,), mean=(0.0,), std=(1.0,), **more))


def value_of(preprocess: Preprocess, hu: float) -> float:
    return preprocess.tiles(torch.full((1, 8, 8), float(hu)))[0, 0, 3, 3].item()


@pytest.mark.parametrize("window", [BRAIN, BLOOD, BONE], ids=["brain", "blood", "bone"])
def test_a_sigmoid_window_is_1_and_half_and_254_of_255_at_its_ends_and_centre(window: Window) -> None:
    sigmoid = one_window(window, size=8, windowing="sigmoid")
    found = [255 * value_of(sigmoid, window.level + part * window.width / 2) for part in (-1, 0, 1)]
    assert found == pytest.approx(
        [1.0, 127.5, 254.0], abs=1e-4
    )  # float32: 255 x 6e-8, and the exponential of its argument


def test_a_sigmoid_window_runs_on_10_hu_beyond_its_ends() -> None:
    """254 is e^5.5373; 10 HU are a quarter of the half width: 254^1.25 = 1014.01, so 255 / 1015.01 = .25123, and 255 less that."""
    sigmoid = one_window(BRAIN, size=8, windowing="sigmoid")
    assert [255 * value_of(sigmoid, hu) for hu in (-10.0, 90.0)] == pytest.approx([0.25123, 254.74877], abs=1e-4)


def test_a_sigmoid_windows_margin_is_its_value_at_the_ends() -> None:
    sigmoid = one_window(BRAIN, size=8, windowing="sigmoid", sigmoid_upper=100.0, sigmoid_margin=20.0)
    assert [value_of(sigmoid, hu) for hu in (0.0, 40.0, 80.0)] == pytest.approx([0.2, 0.5, 0.8], abs=1e-6)


@pytest.mark.parametrize(
    ("level", "width", "lower", "upper"),
    [
        (40, 80, 0, 80),
        (50, 130, -15, 115),
        (100, 220, -10, 210),
        (80, 400, -120, 280),
        (30, 30, 15, 45),
        (60, 40, 40, 80),
    ],
)
def test_the_papers_linear_windows_begin_and_end_where_they_say(level, width, lower, upper) -> None:
    linear = one_window(Window(level=level, width=width), size=8)
    below, quarter, above = (value_of(linear, hu) for hu in (lower - 10, lower + width / 4, upper + 10))
    assert (below, quarter, above) == pytest.approx((0.0, 0.25, 1.0), abs=1e-6)
    assert value_of(linear, lower + 1.0) > 0
    assert value_of(linear, upper - 1.0) < 1


def test_the_grey_mean_takes_every_fourth_pixel_of_512() -> None:
    windows = (BRAIN, Window(level=80, width=200), BONE)
    config = PreprocessConfig(windows=windows, grey_mean=True, resize="every_nth", size=128, mean=(0.0,), std=(1.0,))
    hu = torch.from_numpy(np.random.default_rng(0).uniform(-1000, 1500, (1, 512, 512)).astype(np.float32))
    three = [((hu - (w.level - w.width / 2)) / w.width).clamp(0, 1) for w in windows]
    expected = (sum(three) / 3)[:, ::4, ::4]
    tile = Preprocess(config).tiles(hu)
    assert tile.shape == (1, 1, 128, 128)
    torch.testing.assert_close(tile[:, 0], expected, rtol=0, atol=1e-6)  # three float32 sums


def test_a_slice_is_divided_by_its_own_largest_absolute_hu() -> None:
    """Of -1000, 0, 500 and 2000 HU the largest is 2000; normalising gives the quotients back."""
    config = PreprocessConfig(windows=(), windowing="largest_absolute", size=2, mean=(0.5,), std=(0.5,))
    preprocess = Preprocess(config)
    hu = torch.tensor([[[-1000.0, 0.0], [500.0, 2000.0]], [[-1000.0, 100.0], [0.0, 50.0]]])
    tiles = preprocess.tiles(hu)
    assert tiles[0, 0].flatten().tolist() == pytest.approx([0.25, 0.5, 0.625, 1.0])
    assert preprocess(tiles)[0, 0].flatten().tolist() == pytest.approx([-0.5, 0.0, 0.25, 1.0])
    assert preprocess(tiles)[1, 0].flatten().tolist() == pytest.approx([-1.0, 0.1, 0.0, 0.05])


@pytest.mark.parametrize(("rows", "columns"), [(16, 16), (8, 8), (10, 16), (13, 9)])
def test_a_matrix_is_cut_or_filled_about_its_middle(rows: int, columns: int) -> None:
    linear = one_window(Window(level=0, width=4096), size=10, resize="pad_or_crop")
    hu = np.random.default_rng(0).uniform(-900, 900, (rows, columns)).astype(np.float32)
    canvas = np.full((64, 64), -1024.0, np.float32)
    top, left = 32 - rows // 2 - rows % 2, 32 - columns // 2 - columns % 2
    canvas[top : top + rows, left : left + columns] = hu
    found = linear.tiles(torch.from_numpy(hu).unsqueeze(0))[0, 0].numpy() * 4096 - 2048
    np.testing.assert_allclose(
        found, canvas[27:37, 27:37], atol=1e-3
    )  # where a side is odd, the middle is half a pixel up or left


def test_of_each_square_of_2_x_2_the_largest_is_kept() -> None:
    pooled = one_window(Window(level=0, width=4096), size=4, resize="pad_or_crop", max_pool=2)
    hu = np.random.default_rng(0).uniform(-900, 900, (12, 12)).astype(np.float32)
    expected = hu[2:10, 2:10].reshape(4, 2, 4, 2).max(axis=(1, 3))
    found = pooled.tiles(torch.from_numpy(hu).unsqueeze(0))[0, 0].numpy() * 4096 - 2048
    np.testing.assert_allclose(found, expected, atol=1e-3)  # float32 of some thousand HU


@pytest.mark.parametrize("size", [224, 256, 448, 512])
def test_the_papers_sizes_are_what_the_network_reads(size: int) -> None:
    assert one_window(BRAIN, size=size).tiles(torch.zeros(1, 512, 512)).shape == (1, 1, size, size)


def test_neighbours_are_channels_from_feet_to_head_and_the_ends_stand_in() -> None:
    """Five slices of 10, 20, ... HU in a window from 0 to 100: channels are below, this, above."""
    asip = one_window(Window(level=50, width=100), size=4, adjacent_slices=1)
    scan = torch.stack([torch.full((4, 4), 10.0 * (index + 1)) for index in range(5)])
    found = (asip.with_neighbours(asip.tiles(scan))[:, :, 0, 0] * 100).round().tolist()
    assert found == [[10, 10, 20], [10, 20, 30], [20, 30, 40], [30, 40, 50], [40, 50, 50]]


def test_two_neighbours_in_two_windows_are_ten_channels_slice_by_slice() -> None:
    windows = (Window(level=50, width=100), Window(level=100, width=200))
    both = PreprocessConfig(windows=windows, mean=(0.0, 0.5), std=(1.0, 2.0), size=4, adjacent_slices=2)
    preprocess = Preprocess(both)
    scan = torch.stack([torch.full((4, 4), 10.0 * (index + 1)) for index in range(4)])
    stacked = preprocess.with_neighbours(preprocess.tiles(scan))
    assert stacked.shape == (4, both.channels, 4, 4) == (4, 10, 4, 4)
    by_hand = [value for hu in (10, 10, 20, 30, 40) for value in (hu / 100, hu / 200)]
    assert stacked[1, :, 0, 0].tolist() == pytest.approx(by_hand)
    normalised = [(value - (0.0, 0.5)[at % 2]) / (1.0, 2.0)[at % 2] for at, value in enumerate(by_hand)]
    assert preprocess(stacked)[1, :, 0, 0].tolist() == pytest.approx(normalised, abs=1e-6)


@pytest.mark.parametrize("reach", [0, 1, 2])
def test_what_a_network_reads_of_some_slices_is_what_it_reads_of_the_whole_scan(reach: int) -> None:
    preprocess = one_window(BRAIN, size=8, adjacent_slices=reach)
    scan = [np.random.default_rng(index).uniform(-50, 150, (12 + index, 12)).astype(np.float32) for index in range(6)]
    whole = network_tiles(preprocess, scan, range(6))
    for start in range(6):
        for stop in range(start + 1, 7):
            assert torch.equal(network_tiles(preprocess, scan, range(start, stop)), whole[start:stop])


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"windowing": "sigmoid"},
        {"adjacent_slices": 1},
        {"grey_mean": True, "mean": (0.0,), "std": (1.0,), "resize": "every_nth"},
        {"resize": "pad_or_crop", "max_pool": 2},
        {"windows": (), "windowing": "largest_absolute", "mean": (0.5,), "std": (0.5,)},
    ],
    ids=["linear", "sigmoid", "adjacent", "grey", "cut", "divided"],
)
def test_hu_to_input_is_one_graph_for_any_number_of_slices(more) -> None:
    """As export needs it: traced on three slices, run on five."""

    class FromHu(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.preprocess = Preprocess(PreprocessConfig.model_validate({"size": 16} | more))

        def forward(self, hu):
            return self.preprocess(self.preprocess.with_neighbours(self.preprocess.tiles(hu)))

    whole, hu = FromHu(), torch.rand(5, 40, 40) * 100
    graph = torch.export.export(whole, (hu[:3],), dynamic_shapes=({0: torch.export.Dim("slices", min=2, max=512)},))
    torch.testing.assert_close(graph.module()(hu), whole(hu), rtol=0, atol=1e-6)  # the same operations


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"windowing": "largest_absolute"}, "add windows = "),
        ({"windows": ()}, "at least one window"),
        ({"adjacent_slices": 1, "mean": (0.0,) * 9, "std": (1.0,) * 9}, "one entry per channel, got 3, 9 and 9"),
        ({"sigmoid_margin": 200.0}, "less than half"),
        ({"antialias": True, "resize": "every_nth"}, "antialias goes with"),
    ],
)
def test_choices_that_do_not_fit_together_are_refused(more, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        PreprocessConfig.model_validate(more)


def test_a_config_that_says_nothing_new_is_written_as_before() -> None:
    assert set(PreprocessConfig().model_dump()) == {"windows", "size", "antialias", "mean", "std"}
    assert Preprocess(PreprocessConfig()).identity == "256 False square"
    assert "sigmoid" in one_window(BRAIN, windowing="sigmoid").identity


def test_254_to_the_power_of_one_and_a_quarter() -> None:
    """The number that the sigmoid's test rests on."""
    assert math.pow(254, 1.25) == pytest.approx(1014.01, abs=0.01)
