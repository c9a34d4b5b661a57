"""An ensemble's combination as it is applied: by hand, ties included, and what is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pydantic import ValidationError

from ich_seq.combining import Combination, average, equal_weights


def of_label(*values: float) -> np.ndarray:
    """Probabilities [m, 1, 6] of one slice that are the same for every label."""
    return np.repeat(np.array(values)[:, None, None], 6, axis=2)


def vote(*thresholds: float) -> Combination:
    of_members = tuple((each,) * 6 for each in thresholds)
    return Combination(method="vote", weights=equal_weights(len(thresholds)), thresholds=of_members, chosen_on="slice")


def test_an_average_is_the_mean() -> None:
    np.testing.assert_allclose(average(3).combine(of_label(0.2, 0.6, 0.7)), np.full((1, 6), 0.5), rtol=1e-15)


def test_weights_are_of_a_member_and_a_label() -> None:
    weights = ((0.25, *(0.5,) * 5), (0.75, *(0.5,) * 5))
    found = Combination(method="fitted", weights=weights, chosen_on="slice").combine(of_label(0.2, 0.6))
    np.testing.assert_allclose(found, [[0.5, *(0.4,) * 5]], rtol=1e-15)


@pytest.mark.parametrize(
    ("said", "share"), [((0.5, 0.1, 0.9), 2 / 3), ((0.49, 0.1, 0.9), 1 / 3), ((0.0, 0.0, 0.0), 0.0)]
)
def test_each_member_votes_by_its_own_threshold_which_itself_is_a_vote(said: tuple[float, ...], share: float) -> None:
    np.testing.assert_allclose(vote(0.5, 0.2, 0.9).combine(of_label(*said)), np.full((1, 6), share), rtol=1e-15)


def test_a_tie_is_exactly_one_half() -> None:
    assert (vote(0.5, 0.5, 0.5, 0.5).combine(of_label(0.9, 0.8, 0.1, 0.2)) == 0.5).all()


@given(arrays(np.float64, (1, 5, 6), elements=st.floats(min_value=0, max_value=1)))
def test_one_member_alone_is_that_member_to_the_bit(prob: np.ndarray) -> None:
    assert (average(1).combine(prob) == prob[0]).all()


@given(arrays(np.float64, (7, 3, 6), elements=st.floats(min_value=0, max_value=1)))
def test_no_combination_leaves_the_range_of_its_members(prob: np.ndarray) -> None:
    found = average(7).combine(prob)
    assert ((found >= prob.min(axis=0)) & (found <= prob.max(axis=0))).all()


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="probabilities of 2 members for an ensemble of 3"):
        average(3).combine(of_label(0.1, 0.2))
    for wrong in (np.nan, -0.1, 1.1):
        with pytest.raises(ValueError, match="one is nan or outside"):
            average(2).combine(of_label(0.5, wrong))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"method": "average", "weights": ((0.5,) * 6, (0.4,) * 6)}, "sum to 0.9, not to 1"),
        ({"method": "vote", "weights": equal_weights(2)}, "a vote needs them"),
        (
            {"method": "average", "weights": equal_weights(1), "thresholds": ((0.5,) * 6,)},
            "thresholds belong to a vote",
        ),
        ({"method": "vote", "weights": equal_weights(2), "thresholds": ((0.5,) * 6,)}, "thresholds of 1 members for 2"),
        ({"method": "weighted", "weights": equal_weights(2)}, "needs one"),
        ({"method": "average", "weights": equal_weights(2), "metric": "auc"}, "a metric belongs to"),
        ({"method": "average", "weights": ((0.5,) * 5, (0.5,) * 5)}, "at least 6"),
        ({"method": "average", "weights": ((-0.5,) * 6, (1.5,) * 6)}, "greater than or equal to 0"),
    ],
)
def test_a_combination_that_makes_no_sense_is_refused(fields: dict, said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Combination.model_validate(fields)
