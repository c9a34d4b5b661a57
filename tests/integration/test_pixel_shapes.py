"""The same head in pixels and matrices of other shapes: what the network sees of it is nearly the same, in scoring and in training."""

from pathlib import Path

import numpy as np
import pytest
import torch
from reshaped import copy_of, cropped, resampled, zoomed
from tiny_model import load_tiny_model, write_tiny_model

import ich_seq
from ich_seq.nifti import read_square_slice
from ich_seq.phantom.cohort import write_cohort
from ich_seq.phantom.spec import CohortSpec
from ich_seq.volume import WHOLE_FILE

MATRIX, SLICES, ZOOMED = 128, 12, 6


class Watched:
    """A model that remembers the tiles of the slices that it was given, in fp32 at the matrix of the head."""

    device, runtime, precision = "cpu", "torch", "fp32"

    def __init__(self, network):
        self.network, self.info, self.tiles = network, network.info, []

    def read_slices(self, slices_hu, asked=None):
        self.tiles += [tile_of(self.network, hu) for hu in slices_hu]
        return self.network.read_slices(slices_hu, asked)

    def refine(self, reduced, prob):
        return self.network.refine(reduced, prob)


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny") / "model"
    write_tiny_model(folder, size=MATRIX)
    torch.set_num_threads(1)
    return load_tiny_model(folder)


@pytest.fixture(scope="module")
def head(tmp_path_factory) -> Path:
    """One synthetic head in square pixels, its gantry tilted."""
    out = tmp_path_factory.mktemp("phantom") / "cohort"
    spec = CohortSpec.model_validate(
        {
            "studies": 1,
            "seed": 5,
            "slices": (SLICES, SLICES),
            "spacing_mm": (6.0, 7.0),
            "matrices": (MATRIX,),
            "tilt_deg": (8.0, 12.0),
        }
    )
    write_cohort(spec, out, 1, lambda *_: None)
    return out / "stage_2_train"


def tile_of(network, hu):
    return network.cnn.preprocess.tiles(torch.from_numpy(np.ascontiguousarray(hu)).unsqueeze(0))[0].numpy()


def seen(network, folder):
    """The network's input and the scores, slice by slice."""
    watched = Watched(network)
    result = ich_seq.score_study(folder, watched)
    scores = [list(score.stage_two.model_dump().values()) for score in result.slices]
    return np.array(watched.tiles), np.array(scores), {found.code for found in result.findings}


def stretched(dataset, _index):
    """A square matrix of pixels that are not square: three quarters of the columns, as many as before."""
    cropped(dataset, MATRIX * 3 // 4)
    resampled(dataset, MATRIX, MATRIX)


@pytest.fixture(scope="module")
def plain(network, head):
    return seen(network, head)


def test_a_rectangular_matrix_is_seen_as_the_square_that_it_was_cut_from(network, head, plain, tmp_path):
    folder = copy_of(head, tmp_path / "cut", lambda dataset, _: cropped(dataset, MATRIX * 3 // 4))
    tiles, scores, codes = seen(network, folder)
    np.testing.assert_array_equal(tiles, plain[0])  # what was cut off is air, black in every window
    np.testing.assert_array_equal(scores, plain[1])
    assert "N-MATRIX" in codes


@pytest.mark.parametrize(
    "change",
    [stretched, lambda dataset, _: resampled(dataset, MATRIX, MATRIX // 2)],
    ids=["square matrix", "half the columns"],
)
def test_pixels_that_are_not_square_are_seen_as_squares(network, head, plain, tmp_path, change):
    """What remains is what interpolating twice smooths away; a head squeezed by a quarter differs by 0.1."""
    tiles, scores, codes = seen(network, copy_of(head, tmp_path / "other", change))
    assert "N-ANISOTROPIC" in codes
    assert np.abs(tiles - plain[0]).mean() < 0.02
    assert np.abs(scores - plain[1]).max() < 0.02


def test_a_slice_at_another_zoom_is_seen_at_the_zoom_of_its_series(network, head, plain, tmp_path):
    folder = copy_of(head, tmp_path / "zoom", lambda dataset, index: zoomed(dataset, 0.85) if index == ZOOMED else None)
    tiles, scores, codes = seen(network, folder)
    assert codes - plain[2] == {"W-SPACING-OUTLIER"}
    others = np.arange(SLICES) != ZOOMED
    np.testing.assert_array_equal(tiles[others], plain[0][others])
    assert np.abs(tiles[ZOOMED] - plain[0][ZOOMED]).mean() < 0.02
    assert np.abs(scores - plain[1]).max() < 0.02


def test_training_sees_what_scoring_sees(network, head, tmp_path):
    folder = copy_of(head, tmp_path / "stretched", stretched)
    tiles, _, _ = seen(network, folder)
    files = sorted(folder.iterdir())  # feet to head
    np.testing.assert_array_equal([tile_of(network, read_square_slice(file, WHOLE_FILE)) for file in files], tiles)
