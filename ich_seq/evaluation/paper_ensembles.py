"""Ensembles of the rows that learnt, against the row that validation patients would choose; everything is chosen on those patients."""

from collections.abc import Mapping, Sequence

import numpy as np

from ich_seq.combining import AVERAGE, FITTED, VOTE, WEIGHTED, Method, Metric
from ich_seq.evaluation.ensembles import MOST_MEMBERS, MemberScores, choose, search
from ich_seq.evaluation.paper_result import Ensembles, EnsembleScore, SubsetSearch
from ich_seq.evaluation.paper_scores import Cohort, Scores, score
from ich_seq.metrics import combine_labels, cross_entropy

METHODS: tuple[tuple[str, Method, Metric | None], ...] = (
    ("average", AVERAGE, None),
    ("majority vote", VOTE, None),
    ("weighted by accuracy, as paper 004", WEIGHTED, "accuracy"),
    ("weighted by AUC", WEIGHTED, "auc"),
    ("weighted by log loss", WEIGHTED, "log_loss"),
    ("weights fitted", FITTED, None),
)


def ensembles_of(cohort: Cohort, members: Mapping[str, Scores]) -> Ensembles | None:
    """Every way of combining all members, the best subset of the best ones, and the best single; None of fewer than two members.

    An ensemble's probabilities are corrected as a row's are: a vote is no probability.
    """
    if len(members) < 2:
        return None
    names = sorted(members, key=lambda name: (_validation_loss(cohort, members[name]), name))
    best = members[names[0]]
    ways = [
        _against(title, cohort, _combined(cohort, members, names, (method, metric)), best)
        for title, method, metric in METHODS
    ]
    few = names[:MOST_MEMBERS]
    found = search(_validation(cohort, members, few), AVERAGE, None)
    chosen = [few[place] for place in found.subsets[0].members]
    title = "average of the best subset"
    ways.append(_against(title, cohort, _combined(cohort, members, chosen, (AVERAGE, None)), best))
    return Ensembles(
        members=tuple(names),
        best=names[0],
        best_auc=best.auc.estimate(),
        best_loss=best.loss.estimate(),
        ways=tuple(ways),
        search=SubsetSearch(
            members=tuple(few),
            chosen=tuple(chosen),
            subsets=len(found.subsets),
            p_value=found.p_value,
            loss_on_validation=found.subsets[0].loss,
            loss_elsewhere=found.loss_elsewhere if np.isfinite(found.loss_elsewhere) else None,
        ),
    )


def _against(title: str, cohort: Cohort, own: Scores, best: Scores) -> EnsembleScore:
    return EnsembleScore(
        way=title,
        auc=own.auc.estimate(),
        loss=own.loss.estimate(),
        auc_difference=(own.auc - best.auc).estimate(),
        loss_difference=(best.loss - own.loss).estimate(),
    )


def _combined(
    cohort: Cohort, members: Mapping[str, Scores], names: Sequence[str], choice: tuple[Method, Metric | None]
) -> Scores:
    seen = _validation(cohort, members, names)
    combination = choose(seen, *choice)
    held_out = combination.combine(np.stack([members[name].held_out for name in names]))
    return score(cohort, held_out, combination.combine(seen.prob))


def _validation(cohort: Cohort, members: Mapping[str, Scores], names: Sequence[str]) -> MemberScores:
    prob = np.stack([members[name].validation for name in names])
    return MemberScores(cohort.validation["patient"].to_numpy(), cohort.validation_truth, prob)


def _validation_loss(cohort: Cohort, scores: Scores) -> float:
    return float(combine_labels(cross_entropy(cohort.validation_truth, scores.validation)).mean())
