"""What validation patients decide of an ensemble: against hand arithmetic, a grid, and cohorts where the truth is known."""

import numpy as np
import pytest

from ich_seq.evaluation.ensembles import MemberScores, choose, fit_weights, metric_weights, search
from ich_seq.metrics import cross_entropy, log_loss_per_label, roc_auc

N = 400


def cohort(seed: int, *noise: float, patients: int = 40) -> MemberScores:
    """Members that see the same truth through noise of their own."""
    rng = np.random.default_rng(seed)
    labels = rng.random((N, 6)) < 0.3
    logit = [3 * (labels - 0.5) + each * rng.standard_normal((N, 6)) for each in noise]
    return MemberScores(np.arange(N) % patients, labels, 1 / (1 + np.exp(-np.stack(logit))))


def small() -> MemberScores:
    """Two members on four slices; the first is right at .5 on all, the second on the first and the last alone."""
    labels = np.repeat(np.array([1, 1, 0, 0])[:, None], 6, axis=1)
    first, second = [0.9, 0.8, 0.3, 0.1], [0.9, 0.2, 0.8, 0.1]
    prob = np.repeat(np.array([first, second])[:, :, None], 6, axis=2)
    return MemberScores(np.array(["a", "a", "b", "b"]), labels, prob)


def test_weights_by_accuracy_auc_and_loss_are_those_by_hand() -> None:
    """The second member's balanced threshold is .2: both positives and one of two negatives, three of four right; its AUC is .75."""
    assert np.array(metric_weights(small(), "accuracy"))[:, 0] == pytest.approx([1 / 1.75, 0.75 / 1.75])
    assert np.array(metric_weights(small(), "auc"))[:, 0] == pytest.approx([0.5 / 0.75, 0.25 / 0.75])
    loss = [cross_entropy(small().labels, prob)[:, 0].mean() for prob in small().prob]
    wanted = (1 / np.array(loss)) / (1 / np.array(loss)).sum()
    assert np.array(metric_weights(small(), "log_loss"))[:, 0] == pytest.approx(wanted)


def test_members_vote_by_their_own_balanced_thresholds() -> None:
    chosen = choose(small(), "vote", None, "slice")
    assert chosen.thresholds == ((0.8,) * 6, (0.2,) * 6)
    assert chosen.combine(small().prob)[:, 0].tolist() == [1, 1, 0.5, 0]


def test_fitted_weights_have_the_lowest_loss_of_a_fine_grid() -> None:
    scores = cohort(3, 1.0, 2.5)
    fitted = np.array(fit_weights(scores))
    assert fitted.sum(axis=0) == pytest.approx(np.ones(6))
    for label in range(6):
        grid = [
            log_loss_per_label(scores.labels, w * scores.prob[0] + (1 - w) * scores.prob[1])[label]
            for w in np.linspace(0, 1, 201)
        ]
        own = fitted[0, label] * scores.prob[0] + fitted[1, label] * scores.prob[1]
        assert log_loss_per_label(scores.labels, own)[label] <= min(grid) + 1e-9
        assert fitted[0, label] == pytest.approx(np.argmin(grid) / 200, abs=6e-3)


def test_a_label_with_one_class_has_equal_weights_and_votes_from_one_half() -> None:
    scores = cohort(0, 1.0, 2.0, 3.0)
    labels = scores.labels.copy()
    labels[:, 2] = False
    one_class = MemberScores(scores.patient_ids, labels, scores.prob)
    for weights in (fit_weights(one_class), *(metric_weights(one_class, m) for m in ("accuracy", "auc", "log_loss"))):
        assert np.array(weights)[:, 2] == pytest.approx([1 / 3] * 3)
    thresholds = choose(one_class, "vote", None, "slice").thresholds
    assert thresholds is not None
    assert [each[2] for each in thresholds] == [0.5] * 3


def test_a_search_tries_every_subset_and_finds_that_a_useless_member_is_better_left_out() -> None:
    scores = cohort(5, 1.0, 1.0, 1.0)
    useless = np.full((1, N, 6), 0.999)
    found = search(
        MemberScores(scores.patient_ids, scores.labels, np.concatenate([scores.prob, useless])),
        "average",
        None,
        "slice",
    )
    assert len(found.subsets) == 2**4 - 1
    assert found.subsets[0].members == (0, 1, 2)
    assert found.subsets[-1].members == (3,)
    assert found.p_value < 0.02
    assert found.loss_elsewhere == pytest.approx(found.subsets[0].loss, rel=0.05)


def test_an_advantage_that_chance_gives_is_not_believed() -> None:
    """Members that say nothing of the truth: the best subset is best by chance, in most cohorts not significantly so."""
    rng = np.random.default_rng(1)
    p_values, hopes = [], []
    for seed in range(30):
        prob = 0.3 + 0.02 * np.random.default_rng(seed).standard_normal((4, N, 6))
        patients = np.arange(N) % 40
        found = search(MemberScores(patients, rng.random((N, 6)) < 0.3, prob), "average", None, "slice", seed)
        p_values.append(found.p_value)
        hopes.append(found.loss_elsewhere - found.subsets[0].loss)
    assert np.mean(np.array(p_values) < 0.05) <= 0.15
    assert np.mean(hopes) > 0, "the loss of the chosen one is too good to be met elsewhere"


def test_the_ensemble_is_better_than_its_members_where_their_noise_is_their_own() -> None:
    scores = cohort(9, 2.0, 2.0, 2.0)
    both = choose(scores, "average", None, "slice").combine(scores.prob)
    for member in scores.prob:
        assert roc_auc(scores.labels[:, 0], both[:, 0]) > roc_auc(scores.labels[:, 0], member[:, 0])


def test_too_many_members_or_too_few_are_refused() -> None:
    for count in (1, 11):
        with pytest.raises(ValueError, match=f"{count} members; a search takes 2 to 10"):
            search(cohort(0, *(1.0,) * count), "average", None, "slice")
    with pytest.raises(ValueError, match="need one: accuracy, auc or log_loss"):
        choose(cohort(0, 1.0, 2.0), "weighted", None, "slice")
