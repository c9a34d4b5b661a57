"""What validation patients decide of an ensemble: against hand arithmetic, a grid, and cohorts where the truth is known."""

import numpy as np
import pytest

from ich_seq.combining import Combination, Method, Metric
from ich_seq.evaluation.ensembles import MemberScores, choose, metric_weights, search
from ich_seq.evaluation.fitted_weights import fit_weights
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
    """From .5 on the second member is right on two of four; its AUC is .75."""
    assert np.array(metric_weights(small(), "accuracy")) == pytest.approx(np.repeat([[2 / 3], [1 / 3]], 6, axis=1))
    assert np.array(metric_weights(small(), "auc"))[:, 0] == pytest.approx([0.5 / 0.75, 0.25 / 0.75])
    loss = [cross_entropy(small().labels, prob)[:, 0].mean() for prob in small().prob]
    wanted = (1 / np.array(loss)) / (1 / np.array(loss)).sum()
    assert np.array(metric_weights(small(), "log_loss"))[:, 0] == pytest.approx(wanted)


def test_accuracy_is_one_figure_a_member_over_all_labels_as_paper_004_weighs() -> None:
    """Right answers out of 4 x 6: the second member knows nothing of the last label, where it says yes."""
    prob = small().prob.copy()
    prob[1, :, 5] = 0.9
    weights = np.array(metric_weights(MemberScores(small().patient_ids, small().labels, prob), "accuracy"))
    assert weights == pytest.approx(np.repeat([[24 / 36], [12 / 36]], 6, axis=1))


def test_members_vote_by_their_own_balanced_thresholds() -> None:
    chosen = choose(small(), "vote", None)
    assert chosen.thresholds == ((0.8,) * 6, (0.2,) * 6)
    assert chosen.combine(small().prob)[:, 0].tolist() == [1, 1, 0.5, 0]


def test_fitted_weights_have_the_lowest_loss_of_a_fine_grid() -> None:
    scores = cohort(3, 1.0, 2.5)
    fitted = np.array(fit_weights(scores.prob, scores.labels))
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
    for weights in (
        fit_weights(one_class.prob, one_class.labels),
        *(metric_weights(one_class, m) for m in ("auc", "log_loss")),
    ):
        assert np.array(weights)[:, 2] == pytest.approx([1 / 3] * 3)
    thresholds = choose(one_class, "vote", None).thresholds
    assert thresholds is not None
    assert [each[2] for each in thresholds] == [0.5] * 3


def test_a_search_tries_every_subset_and_finds_that_a_useless_member_is_better_left_out() -> None:
    scores = cohort(5, 1.0, 1.0, 1.0)
    useless = np.full((1, N, 6), 0.999)
    found = search(
        MemberScores(scores.patient_ids, scores.labels, np.concatenate([scores.prob, useless])),
        "average",
        None,
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
        found = search(MemberScores(patients, rng.random((N, 6)) < 0.3, prob), "average", None, seed)
        p_values.append(found.p_value)
        hopes.append(found.loss_elsewhere - found.subsets[0].loss)
    assert np.mean(np.array(p_values) < 0.05) <= 0.15
    assert np.mean(hopes) > 0, "the loss of the chosen one is too good to be met elsewhere"


def test_the_ensemble_is_better_than_its_members_where_their_noise_is_their_own() -> None:
    scores = cohort(9, 2.0, 2.0, 2.0)
    both = choose(scores, "average", None).combine(scores.prob)
    for member in scores.prob:
        assert roc_auc(scores.labels[:, 0], both[:, 0]) > roc_auc(scores.labels[:, 0], member[:, 0])


def by_scan() -> MemberScores:
    """Three members on three scans of two slices; only the first scan has blood, on which the first two fire, each elsewhere."""
    labels = np.repeat(np.array([1, 1, 0, 0, 0, 0])[:, None], 6, axis=1)
    said = [[0.9, 0.1, 0.1, 0.2, 0.1, 0.1], [0.2, 0.8, 0.1, 0.1, 0.3, 0.1], [0.3, 0.3, 0.4, 0.1, 0.1, 0.2]]
    prob = np.repeat(np.array(said)[:, :, None], 6, axis=2)
    return MemberScores(np.arange(6) // 2, labels, prob, np.array(["b", "b", "a", "a", "c", "c"]))


def test_on_scans_the_maximum_of_combined_slices_is_what_counts() -> None:
    """The mean of the first scan's slices is 1.4 / 3 and 1.2 / 3; thresholds are of maxima, .9, .8 and .3."""
    scores, average = by_scan(), choose(by_scan(), "average", None)
    assert scores.by_level(average.combine(scores.prob))[:, 0] == pytest.approx([0.6 / 3, 1.4 / 3, 0.5 / 3])
    wanted = -np.log([1 - 0.6 / 3, 1.4 / 3, 1 - 0.5 / 3])
    assert scores.losses(average) == pytest.approx(wanted)
    vote = choose(scores, "vote", None)
    assert np.array(vote.thresholds)[:, 0] == pytest.approx([0.9, 0.8, 0.3])
    assert scores.losses(vote) == pytest.approx([(1 / 3) ** 2, (2 / 3 - 1) ** 2, 0])
    assert choose(scores, "weighted", "accuracy").chosen_on == "scan"
    assert np.array(metric_weights(scores, "accuracy"))[:, 0] == pytest.approx([3 / 8, 3 / 8, 2 / 8])


@pytest.mark.parametrize("seed", range(4))
def test_weights_fitted_on_scans_are_no_worse_there_than_any_member_the_mean_or_a_grid(seed: int) -> None:
    plain = cohort(seed, 1.5, 2.5)
    scores = MemberScores(
        plain.patient_ids, plain.labels * (np.arange(N) % 5 < 2)[:, None], plain.prob, np.arange(N) // 5
    )
    own = scores.losses(choose(scores, "fitted", None)).mean()
    grid = [np.repeat([[w], [1 - w]], 6, axis=1) for w in np.linspace(0, 1, 21)]
    by_weights = [
        scores.losses(Combination(method="fitted", weights=tuple(map(tuple, each.tolist())), chosen_on="scan")).mean()
        for each in grid
    ]
    assert own <= min(by_weights[0], by_weights[-1], by_weights[10])
    assert own <= min(by_weights) + 0.01


@pytest.mark.parametrize(("method", "metric"), [("vote", None), ("weighted", "auc")])
def test_the_loss_elsewhere_is_that_of_patients_whom_nobody_knew(method: Method, metric: Metric | None) -> None:
    """Few patients, and members that say little: the best of 31 looks better than it is; fresh patients show by how much."""
    told, found, real = [], [], []
    for seed in range(12):
        few, fresh = (cohort(place, *(6.0,) * 5, patients=20) for place in (seed, 1000 + seed))
        few = few.where(np.arange(N) < 120)
        best = search(few, method, metric, seed)
        told.append(best.subsets[0].loss)
        found.append(best.loss_elsewhere)
        real.append(fresh.of(best.subsets[0].members).losses(best.subsets[0].combination).mean())
    assert np.mean(told) < np.mean(real)
    assert abs(np.mean(found) - np.mean(real)) < abs(np.mean(told) - np.mean(real))


def test_fitted_weights_are_not_searched_over() -> None:
    with pytest.raises(ValueError, match="fitted weights leave out by a weight of 0"):
        search(cohort(0, 1.0, 2.0), "fitted", None)


def test_too_many_members_or_too_few_are_refused() -> None:
    for count in (1, 11):
        with pytest.raises(ValueError, match=f"{count} members; a search takes 2 to 10"):
            search(cohort(0, *(1.0,) * count), "average", None)
    with pytest.raises(ValueError, match="need one: accuracy, auc or log_loss"):
        choose(cohort(0, 1.0, 2.0), "weighted", None)
