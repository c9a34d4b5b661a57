"""What is no finite number is an error wherever it arises, never a probability: weights that overflow are finite themselves."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from dicom_factory import make_series, ramp_hu
from tiny_model import load_tiny_model, write_tiny_model

from ich_seq.embeddings.extract import Extractor, store_series
from ich_seq.embeddings.series import read_series
from ich_seq.errors import InputRefusedError, ModelError
from ich_seq.evaluation.scoring import score_series
from ich_seq.manifest.headers import read_headers

HUGE = 3e38
"""The largest float32 is 3.4e38: a sum of two of these is infinite."""


@pytest.fixture
def model(tmp_path):
    torch.set_num_threads(1)
    write_tiny_model(tmp_path / "model")
    return load_tiny_model(tmp_path / "model")


SLICES = [ramp_hu(index) for index in range(3)]


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_hu_that_are_not_finite_never_reach_the_network(model, wrong):
    """Windowing clips infinity to a number."""
    hu = SLICES[1].copy()
    hu[5, 5] = wrong
    with pytest.raises(InputRefusedError, match="slice 2 of 3 has HU that are no finite numbers"):
        model.read_slices([SLICES[0], hu, SLICES[2]])


def test_an_infinite_logit_of_stage_one_is_no_probability_of_1(model):
    with torch.no_grad():
        model.cnn.head.weight.fill_(HUGE)
    with pytest.raises(ModelError, match="stage one gave no number for slice 1 of 3"):
        model.read_slices(SLICES)


def test_an_infinite_coordinate_never_reaches_the_sequence_network(model):
    model.pca.components[:] = HUGE
    with pytest.raises(ModelError, match="the PCA gave no number for slice 1 of 3"):
        model.read_slices(SLICES)


def test_an_infinite_logit_of_stage_two_is_no_probability_of_1(model):
    with torch.no_grad():
        model.lstm.head.weight.fill_(HUGE)
        model.lstm.head.bias.fill_(HUGE)
    prob = np.full((3, 6), 0.9, np.float32)
    with pytest.raises(ModelError, match="stage two gave no number for slice 1 of 3"):
        model.refine(np.ones((3, 8), np.float32), prob)


def rows_of(folder):
    make_series(folder, slices=6)
    return read_headers(folder, sorted(path.name for path in folder.iterdir()), jobs=1).table.sort_values(
        "position_mm", ignore_index=True
    )


@pytest.mark.parametrize(
    ("part", "scale", "message"),
    [("embeddings", 1e6, "65504 is the largest that is kept"), ("logits", HUGE, "stage one gave no number")],
)
def test_what_cannot_be_kept_as_numbers_is_not_kept(model, tmp_path, part, scale, message):
    """The last batch norm scales and shifts values of about 1; the head sums 2,048 of them."""
    last = model.cnn.backbone.layer4[-1].bn3 if part == "embeddings" else model.cnn.head
    with torch.no_grad():
        last.weight.fill_(scale)
        last.bias.fill_(scale)
    series = read_series(rows_of(tmp_path / "scan"), tmp_path / "scan")
    with pytest.raises(ModelError, match=message):
        store_series(Extractor(model.cnn, tmp_path / "cache", 4), series, "0" * 64)
    assert not (tmp_path / "cache").exists()


def test_a_model_that_gives_no_number_is_not_a_slice_that_cannot_be_read(tmp_path):
    """Scores of a table have nan for slices that cannot be read."""

    def read_slices(slices_hu):
        prob = np.full((len(slices_hu), 6), 0.5, np.float32)
        prob[1, 2] = np.nan
        return prob, np.zeros((len(slices_hu), 4), np.float32)

    info = SimpleNamespace(adjacent_slices=0)
    named = {"info": info, "device": "cpu", "runtime": "torch", "precision": "fp32"}
    broken = SimpleNamespace(**named, read_slices=read_slices, refine=lambda reduced, prob: prob)
    rows = rows_of(tmp_path / "scan")
    with pytest.raises(ModelError, match="slice 2"):
        score_series(broken, rows, tmp_path / "scan")
