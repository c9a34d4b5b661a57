"""Cells of a feature map on the slice they come from: the same place, whatever the matrix."""

import numpy as np
import pytest
import torch

from ich_seq.config import PreprocessConfig
from ich_seq.slices.place import Field, field_of, onto_slice
from ich_seq.slices.window import Preprocess


def test_cells_between_centres_are_weighed_by_hand() -> None:
    """Two cells over four pixels: centres at 1 and 3; pixels at 0.5, 1.5, 2.5 and 3.5 have 0, 1/4, 3/4 and 1 of the second."""
    found = onto_slice(np.array([[0.0, 1.0]]), Field(0, 0, 1, 4), (1, 4))
    np.testing.assert_allclose(found, [[0, 0.25, 0.75, 1]], atol=1e-7)


def test_a_slice_that_is_no_square_lies_in_the_middle_of_its_field() -> None:
    shrunk = PreprocessConfig()
    assert field_of(40, 100, shrunk) == Field(-30, 0, 100, 100)
    assert field_of(100, 41, shrunk) == Field(
        0, -29, 100, 100
    )  # 59 columns of air: 29 before, 30 after, as the network's padding


def test_pixels_outside_the_field_have_no_heat() -> None:
    found = onto_slice(np.ones((2, 2)), Field(2, 2, 4, 4), (8, 8))
    np.testing.assert_array_equal(found > 0, np.pad(np.ones((4, 4), bool), 2))


@pytest.mark.parametrize(
    "choices",
    [
        {"size": 64, "antialias": True},
        {"size": 128, "resize": "pad_or_crop"},
        {"size": 64, "resize": "pad_or_crop", "max_pool": 2},
        {"size": 64, "resize": "every_nth"},
        {"size": 64, "windowing": "sigmoid"},
    ],
)
def test_what_the_network_reads_at_a_place_comes_back_to_that_place(choices: dict[str, object]) -> None:
    """A bright spot through the network's own windowing and shrinking: the hottest pixels of its tile lie on the spot."""
    config = PreprocessConfig.model_validate(choices)
    preprocess = Preprocess(config)
    for rows, columns, y, x in ((256, 256, 90, 180), (200, 256, 150, 80), (100, 90, 30, 70)):
        hu = np.zeros((rows, columns), np.float32)
        hu[y - 4 : y + 4, x - 4 : x + 4] = 80
        tile = preprocess.tiles(torch.from_numpy(hu)[None])[0, 0].numpy()
        heat = onto_slice(tile, field_of(rows, columns, config), (rows, columns))
        hottest = np.argwhere(heat > 0.99 * heat.max()).mean(axis=0)
        assert np.abs(hottest - (y - 0.5, x - 0.5)).max() < 4  # a pixel of the tile
