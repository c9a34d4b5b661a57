"""Outputs to six logits by hand arithmetic, and what each head minimises."""

import math

import pytest
import torch

from ich_seq.config import TrainCnnConfig
from ich_seq.slices.heads import Head, class_logits, classes_of, head_loss, label_weights, make_head, two_step_logits
from ich_seq.training.objective import competition_loss

PLAIN = TrainCnnConfig(any_weight=1.0)


def head_of(output, bias: list[float]) -> Head:
    """A head whose outputs are its bias, whatever the embedding."""
    head = Head(2, output, 0.0)
    with torch.no_grad():
        head.linear.weight.zero_()
        head.linear.bias.copy_(torch.tensor(bias))
    return head


def probabilities(head: Head) -> list[float]:
    return torch.sigmoid(head(torch.zeros(1, 2)))[0].tolist()


def test_a_softmax_over_labels_gives_each_its_share() -> None:
    """Weights 1, 2, 3, 4, 5 and 5 of 20."""
    head = head_of("softmax", [math.log(each) for each in (1, 2, 3, 4, 5, 5)])
    assert probabilities(head) == pytest.approx([0.05, 0.1, 0.15, 0.2, 0.25, 0.25], abs=1e-6)


def test_seven_classes_give_each_subtype_its_class_and_its_share_of_several() -> None:
    """Classes .1 .1 .1 .1 .1 (subtypes), .2 (several), .3 (none); of the slices with several .5, 1, 0, .5 and 0 have each."""
    head = head_of("classes_none", [math.log(each) for each in (0.1, 0.1, 0.1, 0.1, 0.1, 0.2, 0.3)])
    head.learn_shares(
        torch.tensor([[1, 1, 0, 0, 0, 1], [0, 1, 0, 1, 0, 1], [1, 0, 0, 0, 0, 1], [0, 0, 0, 0, 0, 0]]).float()
    )
    assert probabilities(head) == pytest.approx([0.2, 0.3, 0.1, 0.2, 0.1, 0.7], abs=1e-6)


def test_six_classes_of_positive_slices_say_any_of_every_slice() -> None:
    head = head_of("classes", [0.0] * 6)
    assert probabilities(head) == pytest.approx([1 / 6 + 0.4 / 6] * 5 + [1.0], abs=1e-6)


def test_two_steps_multiply_any_and_the_subtype_given_any() -> None:
    """P(any) = .4; given any .5, .25, .1, .9 and .2."""
    logit = [math.log(p / (1 - p)) for p in (0.5, 0.25, 0.1, 0.9, 0.2, 0.4)]
    assert probabilities(head_of("two_step", logit)) == pytest.approx([0.2, 0.1, 0.04, 0.36, 0.08, 0.4], abs=1e-6)


@pytest.mark.parametrize("size", [80.0, -80.0])
def test_logits_stay_finite_where_a_probability_is_0_or_1_in_float32(size: float) -> None:
    extreme = torch.full((1, 6), size)
    assert two_step_logits(extreme).isfinite().all()
    assert class_logits(torch.tensor([[size, 0, 0, 0, 0, 0]]), torch.eye(6)).isfinite().all()


def test_classes_are_the_subtype_or_several_or_none() -> None:
    truth = torch.tensor([[1, 0, 0, 0, 0, 1], [0, 0, 0, 0, 1, 1], [1, 0, 1, 0, 0, 1], [0, 0, 0, 0, 0, 0]]).float()
    assert classes_of(truth).tolist() == [0, 4, 5, 6]


def test_the_loss_of_two_steps_is_the_log_likelihood_of_the_product() -> None:
    """Two slices: one negative, one with two subtypes; six terms of equal weight."""
    given, any_prob = [0.5, 0.25, 0.1, 0.9, 0.2], 0.4
    head = head_of("two_step", [math.log(p / (1 - p)) for p in (*given, any_prob)])
    truth = torch.tensor([[0, 0, 0, 0, 0, 0], [1, 0, 0, 1, 0, 1]]).float()
    terms = [0.5, 0.75, 0.9, 0.9, 0.8]  # of the positive slice: the probability of what is
    likelihood = math.log(1 - any_prob) + math.log(any_prob) + sum(map(math.log, terms))
    loss = head_loss(head, torch.zeros(2, 2), truth, PLAIN)
    assert loss.item() == pytest.approx(-likelihood / 2 / 6, abs=1e-6)


def test_the_softmax_loss_is_kerass_and_a_negative_slice_has_none() -> None:
    head = head_of("softmax", [math.log(each) for each in (1, 2, 3, 4, 5, 5)])
    truth = torch.tensor([[0, 0, 0, 0, 0, 0], [1, 0, 0, 0, 0, 1]]).float()
    expected = -(math.log(1 / 20) + math.log(5 / 20)) / 2
    assert head_loss(head, torch.zeros(2, 2), truth, PLAIN).item() == pytest.approx(expected, abs=1e-6)


def test_any_weighs_five_in_paper_004_and_the_rest_as_much_less() -> None:
    logits, truth = torch.zeros(1, 6), torch.tensor([[0, 0, 0, 0, 0, 1.0]])
    logits[0, 5] = -1.0
    five = (5 * math.log(2) + 5 * math.log(1 + math.e)) / 10
    assert competition_loss(logits, truth, None, 5.0).item() == pytest.approx(five, abs=1e-6)
    assert label_weights(5.0).tolist() == [1, 1, 1, 1, 1, 5]


def test_six_independent_outputs_have_the_names_that_they_always_had() -> None:
    assert set(make_head(4, "sigmoid", 0.0).state_dict()) == {"weight", "bias"}
