"""The papers' methods side by side on one cohort: each row against the prevalence floor, pairs of rows, and their ensembles.

Losses and ensembles are of probabilities corrected on validation patients (`correction`); AUC and the operating point need no
correction. A row whose gain over the prevalence floor does not lie above zero with its whole interval did not learn, and no pair or
ensemble rests on it. All differences are on the same resamples of the same patients.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from ich_seq.evaluation.bootstrap import ROUNDS, Estimate, Statistic
from ich_seq.evaluation.comparison import STAGES
from ich_seq.evaluation.data import CALIBRATED, STAGE_ONE, STAGE_TWO
from ich_seq.evaluation.finished_rows import FinishedRow
from ich_seq.evaluation.operating import BALANCED
from ich_seq.evaluation.paper_ensembles import ensembles_of
from ich_seq.evaluation.paper_result import Answer, Difference, Floor, PaperTable, RowSystem
from ich_seq.evaluation.paper_rows import QUESTIONS, ROWS, SECOND_STAGE, Question, row_of
from ich_seq.evaluation.paper_scores import Cohort, Scores, floor_loss, probabilities, scores_of, shared_cohort
from ich_seq.labels import ANY, ANY_INDEX, LABELS
from ich_seq.metrics import combine_labels, cross_entropy

_Key = tuple[str, str]


@dataclass(frozen=True)
class About:
    """What a table is of: the name of its config, what all rows share in words, and the rows that failed, with their errors."""

    table: str
    shared: dict[str, str]
    failed: dict[str, str]


def paper_table(
    rows: Sequence[FinishedRow], prevalence: Float64[np.ndarray, " 6"], about: About, rounds: int = ROUNDS
) -> PaperTable:
    """The table of these rows; `prevalence` is that of the training patients' slices, by label.

    Raises:
        DatasetError: two rows rest on another truth, or share no slice.
    """
    cohort = shared_cohort(rows, rounds)
    floor = floor_loss(cohort, prevalence)
    scores = {(row.name, stage): scores_of(cohort, row, stage) for row in rows for stage in STAGES}
    systems = [system_of(cohort, row, stage, scores[row.name, stage], floor) for row in rows for stage in STAGES]
    members = {each.row: scores[each.row, each.stage] for each in systems if each.own and each.learnt}
    return PaperTable(
        table=about.table,
        shared=about.shared,
        counts=_counts(cohort),
        facts={row.name: row.facts for row in rows},
        systems=tuple(systems),
        floors=_floors(min(rows, key=lambda row: len(row.entry.scores))),
        answers=answers(scores, systems),
        ensembles=ensembles_of(cohort, members),
        failed=about.failed,
        missing=tuple(row.config for row in ROWS if row.config not in {*about.failed, *(row.name for row in rows)}),
    )


def _counts(cohort: Cohort) -> dict[str, str]:
    found = {}
    for name, table in (("held-out", cohort.held_out), ("validation", cohort.validation)):
        truth = table[[label.name for label in LABELS]].to_numpy()
        found[name] = (
            f"{len(table):,} slices of {table['patient'].nunique()} patients, {truth[:, ANY_INDEX].sum():,} with any"
        )
    positives = zip(LABELS, cohort.truth.sum(axis=0).tolist(), strict=True)
    found["positive held-out slices"] = ", ".join(f"{label.title.lower()} {count:,}" for label, count in positives)
    return found


def _floors(row: FinishedRow) -> tuple[Floor, ...]:
    """As one row's evaluation has them: they look at the cohort alone; the row with the fewest slices is nearest to what all share."""
    level = row.entry.evaluation.by_slice
    known = (STAGE_ONE, STAGE_TWO, CALIBRATED)
    return tuple(
        Floor(name=each.system, auc=tuple(label.auc for label in each.labels), loss=each.weighted_log_loss)
        for each in (() if level is None else level.systems)
        if each.system not in known
    )


def system_of(cohort: Cohort, row: FinishedRow, stage: str, scores: Scores, floor: Statistic) -> RowSystem:
    """A stage of a row as the table states it; `floor` is the prevalence's loss on the same resamples."""
    raw = probabilities(row.entry.scores, cohort.held_out, stage)
    gain = (floor - scores.loss).estimate()
    level = row.entry.evaluation.by_slice
    points = () if level is None else level.operating_points
    return RowSystem(
        row=row.name,
        stage=stage,
        own=row_of(row.name).stage == stage,
        learnt=gain.low is not None and gain.low > 0,
        auc=tuple(cohort.draws.auc(truth, prob).estimate() for truth, prob in zip(cohort.truth.T, raw.T, strict=True)),
        loss=scores.loss.estimate(),
        loss_as_it_is=cohort.draws.mean(combine_labels(cross_entropy(cohort.truth, raw))).estimate(),
        gain=gain,
        point=next((p for p in points if (p.system, p.label, p.rule) == (stage, ANY.name, BALANCED)), None),
    )


def answers(scores: Mapping[tuple[str, str], Scores], systems: Sequence[RowSystem]) -> tuple[Answer, ...]:
    """Each question whose pairs the table has; `scores` are by row and stage."""
    learnt = {(each.row, each.stage): each.learnt for each in systems}
    found = [_answer(question, scores, learnt) for question in QUESTIONS]
    rows = [row for row, stage in scores if stage == STAGE_ONE]
    pairs = [((row, STAGE_ONE), (row, STAGE_TWO), row) for row in rows]
    found.append(_answer_of(SECOND_STAGE, pairs, scores, learnt))
    return tuple(answer for answer in found if answer.differences)


def _answer(question: Question, scores: Mapping[_Key, Scores], learnt: Mapping[_Key, bool]) -> Answer:
    """Rows are compared by their stage one, also those of paper 001: the questions are of the slice classifier."""
    keys = [((pair.first, STAGE_ONE), (pair.second, STAGE_ONE), pair.where) for pair in question.pairs]
    return _answer_of(question, [pair for pair in keys if {*pair[:2]} <= scores.keys()], scores, learnt)


def _answer_of(
    question: Question,
    pairs: Sequence[tuple[_Key, _Key, str]],
    scores: Mapping[_Key, Scores],
    learnt: Mapping[_Key, bool],
) -> Answer:
    differences, sound = [], []
    for first, second, where in pairs:
        of_one_row = first[0] == second[0]
        names = [f"{row}, {stage}" if of_one_row else row for row, stage in (first, second)]
        blank = tuple(name for name, key in zip(names, (first, second), strict=True) if not learnt[key])
        both = (scores[second].auc - scores[first].auc, scores[first].loss - scores[second].loss)
        sound += [] if blank else [both]
        auc, loss = (None, None) if blank else (each.estimate() for each in both)
        differences.append(
            Difference(first=names[0], second=names[1], where=where, auc=auc, loss=loss, did_not_learn=blank)
        )
    auc, loss = (_mean(each) for each in zip(*sound, strict=True)) if len(sound) > 1 else (None, None)
    return Answer(
        title=question.title,
        caution=question.caution,
        differences=tuple(differences),
        mean_auc=auc,
        mean_loss=loss,
    )


def _mean(statistics: Sequence[Statistic]) -> Estimate:
    values, resampled = zip(*((each.value, each.resampled) for each in statistics), strict=True)
    return Statistic(float(np.mean(values)), np.mean(resampled, axis=0), statistics[0].patients).estimate()
