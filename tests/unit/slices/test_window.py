"""Windowing, resizing and normalising against hand arithmetic."""

import numpy as np
import pytest
import torch
from PIL import Image

from ich_seq.config import PreprocessConfig, Window
from ich_seq.slices.window import Preprocess

PUBLISHED = PreprocessConfig()


def tile_of(hu: float, config: PreprocessConfig = PUBLISHED) -> list[float]:
    size = config.size
    return Preprocess(config).tiles(torch.full((1, size, size), hu))[0, :, 0, 0].tolist()


@pytest.mark.parametrize(
    ("hu", "brain", "subdural", "soft"),
    [
        # (hu - lower) / width, clipped: brain 0 to 80, subdural -20 to 180, soft tissue -150 to 230.
        (-1024.0, 0.0, 0.0, 0.0),
        (-150.0, 0.0, 0.0, 0.0),
        (-20.0, 0.0, 0.0, 130 / 380),
        (0.0, 0.0, 20 / 200, 150 / 380),
        (20.0, 20 / 80, 40 / 200, 170 / 380),
        (40.0, 0.5, 60 / 200, 0.5),
        (60.0, 60 / 80, 80 / 200, 210 / 380),
        (80.0, 1.0, 100 / 200, 230 / 380),
        (180.0, 1.0, 1.0, 330 / 380),
        (230.0, 1.0, 1.0, 1.0),
        (3000.0, 1.0, 1.0, 1.0),
    ],
)
def test_the_published_windows_map_hu_linearly(hu: float, brain: float, subdural: float, soft: float) -> None:
    assert tile_of(hu) == pytest.approx([brain, subdural, soft], abs=1e-6)  # one rounding of float32


def test_512_to_256_is_the_mean_of_each_block_of_four() -> None:
    config = PreprocessConfig(windows=(Window(level=0, width=4000),), mean=(0.0,), std=(1.0,))
    hu = torch.from_numpy(np.random.default_rng(0).uniform(-1000, 1500, (1, 512, 512)).astype(np.float32))
    expected = ((hu + 2000) / 4000).reshape(1, 256, 2, 256, 2).mean(dim=(2, 4))
    torch.testing.assert_close(Preprocess(config).tiles(hu)[:, 0], expected, rtol=0, atol=1e-6)  # float32 sums


def test_windows_apply_before_shrinking_so_bone_beside_air_is_half_not_bone() -> None:
    config = PreprocessConfig(windows=(Window(level=40, width=80),), mean=(0.0,), std=(1.0,), size=1)
    hu = torch.tensor([[[2000.0, -1000.0], [2000.0, -1000.0]]])
    assert Preprocess(config).tiles(hu).item() == pytest.approx(0.5)


def test_antialiased_shrinking_equals_pillow() -> None:
    config = PreprocessConfig(windows=(Window(level=0.5, width=1),), mean=(0.0,), std=(1.0,), size=96, antialias=True)
    values = np.random.default_rng(1).random((256, 256), dtype=np.float32)
    expected = np.asarray(Image.fromarray(values).resize((96, 96), Image.Resampling.BILINEAR))
    found = Preprocess(config).tiles(torch.from_numpy(values).unsqueeze(0))[0, 0].numpy()
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)  # both sum some 30 float32 products


@pytest.mark.parametrize(("rows", "columns"), [(32, 64), (64, 32), (63, 64), (64, 64)])
def test_a_matrix_that_is_no_square_lies_in_the_middle_of_one_of_air(rows: int, columns: int) -> None:
    config = PreprocessConfig(windows=(Window(level=0, width=4000),), mean=(0.0,), std=(1.0,), size=64)
    hu = torch.from_numpy(np.random.default_rng(2).uniform(-900, 1500, (1, rows, columns)).astype(np.float32))
    wanted = torch.full((1, 1, 64, 64), (2000 - 1024) / 4000)
    top, left = (64 - rows) // 2, (64 - columns) // 2
    wanted[0, 0, top : top + rows, left : left + columns] = (hu[0] + 2000) / 4000
    torch.testing.assert_close(Preprocess(config).tiles(hu), wanted, rtol=0, atol=1e-6)  # one rounding of float32


def test_normalising_subtracts_the_mean_and_divides_by_the_deviation() -> None:
    tile = torch.full((1, 3, 256, 256), 0.5)
    expected = [(0.5 - 0.1738) / 0.3161, (0.5 - 0.1433) / 0.2850, (0.5 - 0.1970) / 0.3111]
    assert Preprocess(PUBLISHED)(tile)[0, :, 7, 7].tolist() == pytest.approx(expected, abs=1e-6)


def test_preprocessing_stays_in_fp32_under_bf16_autocast() -> None:
    tile = torch.full((1, 3, 256, 256), 0.123456)
    with torch.autocast("cpu", torch.bfloat16):
        inside = Preprocess(PUBLISHED)(tile)
    assert torch.equal(inside, Preprocess(PUBLISHED)(tile))


def test_its_numbers_travel_with_the_weights() -> None:
    assert set(Preprocess(PUBLISHED).state_dict()) == {"lower_hu", "width_hu", "mean", "std"}
