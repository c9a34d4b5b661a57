"""The table of the papers' methods as words and cells: its verdicts, what each question's answer is, rows for both pages."""

from collections.abc import Sequence

from ich_seq.evaluation.bootstrap import Estimate
from ich_seq.evaluation.floors import HISTOGRAM, POSITION
from ich_seq.evaluation.paper_result import Answer, Difference, PaperTable, RowSystem
from ich_seq.evaluation.paper_rows import row_of
from ich_seq.evaluation.published import ASIP, ASIP_CAUTION, ASIP_POINTS, PublishedPoint, published_of
from ich_seq.evaluation.table import aligned
from ich_seq.labels import ANY, LABELS
from ich_seq.report.evaluation_parts import shown

DASH = "–"
_MOST_NAMED = 3
LEARNT, NOT_LEARNT = "learnt", "did not learn"
BETTER, WORSE, NEITHER, NOTHING = "better", "worse", "not told apart", "no conclusion"
ROW_HEADS = (
    "",
    "paper",
    "score of",
    "verdict",
    "AUC any",
    "weighted log loss",
    "below the floor's by",
    "sensitivity",
    "specificity",
    "loss as it is",
)
COST_HEADS = ("", "classifier", "parameters", "batch", "rate", "visits", "training", "reading")
NOTE = (
    "Brackets: 95 % intervals from resampled patients; differences are on the same resamples. Weighted log loss is the "
    "competition's (any weighs 2, the others 1, divided by 7), lower is better; it is of probabilities corrected per label "
    "by a logistic curve on the validation patients, since balanced batches and a softmax teach other shares of positives "
    "than there are; the last column is without. Sensitivity and specificity are of any haemorrhage at the balanced "
    "threshold of validation patients. The floor says the training patients' prevalence of every slice. A row whose loss is "
    "not below it, with the whole interval, did not learn: no conclusion is drawn from it, whatever its AUC."
)
COST_NOTE = (
    "Training: wall time by slice visit; reading: wall time of extract-features by slice, DICOM included; both as "
    "multiples of the fastest row, which is given in ms. They say how rows compare on this machine, as busy as it was."
)


ONE_FIT = "One fit a row: intervals are of other patients; another seed may move a row by more."


def own_systems(table: PaperTable) -> list[RowSystem]:
    """Of each row the stage that is its paper's."""
    return [each for each in table.systems if each.own]


def rows(table: PaperTable) -> list[list[str]]:
    """A line for each row, then the floors."""
    lines = [
        [each.row, row_of(each.row).paper, each.stage, _verdict(each), *_figures(each)] for each in own_systems(table)
    ]
    for floor in table.floors:
        figures = [shown(floor.auc[-1]), shown(floor.loss), "", "", "", shown(floor.loss)]
        lines.append([floor.name, "floor", "no network", "", *figures])
    return lines


def auc_rows(table: PaperTable) -> list[list[str]]:
    """AUC by label of each row's own stage, and of the floors."""
    lines = [[each.row, _verdict(each), *map(shown, each.auc)] for each in own_systems(table)]
    return lines + [[floor.name, "floor", *map(shown, floor.auc)] for floor in table.floors]


def cost_rows(table: PaperTable) -> list[list[str]]:
    """What each row is and takes; times are multiples of the fastest row's, which stands in ms."""
    training = [facts.training_ms for facts in table.facts.values()]
    reading = [facts.reading_ms for facts in table.facts.values()]
    return [
        [
            name,
            facts.method,
            f"{facts.parameters:,}",
            str(facts.batch_size),
            f"{facts.learning_rate:g}",
            f"{facts.visits:,}",
            _multiple(facts.training_ms, training),
            _multiple(facts.reading_ms, reading),
        ]
        for name, facts in table.facts.items()
    ]


def _multiple(own: float | None, every: Sequence[float | None]) -> str:
    known = [each for each in every if each]
    if not own or not known:
        return DASH
    return f"{own:.3g} ms" if own == min(known) else f"x {own / min(known):.3g}"


def verdict_lines(table: PaperTable) -> list[str]:
    """A line a row for the terminal."""
    lines = [
        (each.row, _verdict(each), f"AUC any {shown(each.auc[-1])}", f"loss {shown(each.loss)}")
        for each in own_systems(table)
    ]
    return aligned(lines)


def conclusions(table: PaperTable) -> list[str]:
    """One sentence or two a question: how many pairs are better, worse, not told apart, or say nothing; then the ensembles,
    and what rows that learnt have over systems without a network."""
    said = [f"{answer.title}: {_summary(answer)}" for answer in table.answers]
    return [*said, f"Ensembles: {_ensembles(table)}", f"Floors: {_above_floors(table)}"]


def finding(difference: Difference) -> str:
    """What a pair says, by the interval of its loss; `no conclusion` where one of the two did not learn."""
    return NOTHING if difference.loss is None else _sign(difference.loss)


def _sign(loss: Estimate) -> str:
    if loss.low is not None and loss.low > 0:
        return BETTER
    return WORSE if loss.high is not None and loss.high < 0 else NEITHER


def answer_rows(answer: Answer) -> list[list[str]]:
    """A line for each pair, and their mean."""
    lines = []
    for each in answer.differences:
        said = finding(each)
        why = f"{said}: {' and '.join(each.did_not_learn)} did not learn" if said == NOTHING else said
        lines.append([each.where, why, _difference(each.auc), _difference(each.loss)])
    if answer.mean_loss is not None:
        lines.append(
            ["mean of the pairs that say something", "", _difference(answer.mean_auc), _difference(answer.mean_loss)]
        )
    return lines


def ensemble_rows(table: PaperTable) -> list[list[str]]:
    """The best row, then each way of combining; empty where fewer than two rows learnt."""
    found = table.ensembles
    if found is None:
        return []
    best = [f"best row: {found.best}", shown(found.best_auc), shown(found.best_loss), "", ""]
    ways = (
        [each.way, shown(each.auc), shown(each.loss), shown(each.auc_difference, "+"), shown(each.loss_difference, "+")]
        for each in found.ways
    )
    return [best, *ways]


def ensemble_words(table: PaperTable) -> str:
    """Whose ensembles they are, and what the choice of a subset costs."""
    found = table.ensembles
    if found is None:
        return "Fewer than two rows learnt, so there is nothing to combine."
    searched = found.search
    elsewhere = DASH if searched.loss_elsewhere is None else f"{searched.loss_elsewhere:.3f}"
    return (
        f"Members: the {len(found.members)} rows that learnt, each with its paper's own stage. Thresholds, weights, the best row and "
        f"the best subset are chosen on validation patients. Of {searched.subsets} subsets of the {len(searched.members)} best rows, "
        f"averaged, {', '.join(searched.chosen)} has the lowest loss there, {searched.loss_on_validation:.3f}; subsets so chosen have "
        f"{elsewhere} on patients that had no part in the choice. Chance alone gives such an advantage over all of them together with "
        f"p = {searched.p_value:.2g}."
    )


def published_points(table: PaperTable) -> list[list[str]]:
    """Paper 004's printed figures beside the row's own at its balanced threshold; those of its ensembles beside none."""
    systems = {each.row: each for each in own_systems(table)}
    if not any(point.config in systems for point in ASIP_POINTS):
        return []
    return [_printed(point, systems.get(point.config)) for point in ASIP_POINTS]


def published_aucs(table: PaperTable) -> list[list[str]]:
    """What paper 001 and its source print of any haemorrhage on slices of RSNA 2019, beside the row's own stage of the same name."""
    systems = {(each.row, each.stage): each for each in table.systems}
    lines = []
    for row in table.facts:
        for figure in published_of(row):
            own = systems[row, figure.system]
            loss = ANY.name not in figure.values
            if figure.unit != "slice":
                continue
            here = (shown(own.loss_as_it_is if loss else own.auc[-1])) if own.learnt else NOT_LEARNT
            title, value = (figure.figure, *figure.values.values()) if loss else ("AUC any", figure.values[ANY.name])
            lines.append(
                [row, figure.work, figure.system, title, f"{value:.4f}", here, f"RSNA 2019. {figure.comparable}"]
            )
    return lines


def published_words() -> str:
    """Where the figures are from, and why they cannot be compared."""
    return f"{ASIP[0]}, {ASIP[1]}. {ASIP_CAUTION}"


def _printed(point: PublishedPoint, own: RowSystem | None) -> list[str]:
    printed = [f"{value:.3f}" for value in (point.accuracy, point.f1, point.recall, point.precision, point.auc)]
    if own is None:
        return [f"table {point.table}", point.system, *printed, ""]
    if not own.learnt or own.point is None:
        return [f"table {point.table}", point.system, *printed, NOT_LEARNT if not own.learnt else DASH]
    mean = [own.point.sensitivity.value, own.point.specificity.value]
    here = DASH if None in mean else f"{sum(value for value in mean if value is not None) / 2:.3f}"
    return [f"table {point.table}", point.system, *printed, here]


def _figures(each: RowSystem) -> list[str]:
    point = each.point
    at = (None, None) if point is None else (point.sensitivity, point.specificity)
    return [
        shown(each.auc[-1]),
        shown(each.loss),
        shown(each.gain, "+"),
        *(_shown(figure) for figure in at),
        shown(each.loss_as_it_is),
    ]


def _verdict(each: RowSystem) -> str:
    return LEARNT if each.learnt else NOT_LEARNT


def _summary(answer: Answer) -> str:
    places: dict[str, list[str]] = {BETTER: [], WORSE: [], NEITHER: [], NOTHING: []}
    for each in answer.differences:
        places[finding(each)].append(each.where)
    parts = []
    for kind, which in places.items():
        named = f" ({'; '.join(which)})" if kind in (BETTER, WORSE) and len(which) <= _MOST_NAMED else ""
        parts += [f"{len(which)} {kind}{named}"] if which else []
    count = len(answer.differences)
    text = f"of {count} pair{'s' if count > 1 else ''} {', '.join(parts)}."
    if answer.mean_loss is not None and answer.mean_auc is not None:
        text += f" On average AUC any {_difference(answer.mean_auc)}, loss lower by {_difference(answer.mean_loss)}."
    return text


def _ensembles(table: PaperTable) -> str:
    found = table.ensembles
    if found is None:
        return "no conclusion; fewer than two rows learnt."
    places: dict[str, list[str]] = {BETTER: [], WORSE: [], NEITHER: []}
    for each in found.ways:
        places[_sign(each.loss_difference)].append(each.way)
    parts = ", ".join(f"{len(ways)} {said} ({'; '.join(ways)})" for said, ways in places.items() if ways)
    rows = f"the {len(found.members)} rows that learnt, against the best of them ({found.best})"
    return f"of {len(found.ways)} ways to combine {rows}, {parts}."


def _above_floors(table: PaperTable) -> str:
    learnt = [each for each in own_systems(table) if each.learnt]
    parts = []
    for floor in table.floors[1:]:
        below = [each.row for each in learnt if _value(each.loss) < _value(floor.loss)]
        named = f" ({', '.join(below)})" if 0 < len(below) <= _MOST_NAMED else ""
        parts.append(f"{len(below)}{named} have a lower loss than {FLOOR_WORDS[floor.name]}, {_value(floor.loss):.3f}")
    if not learnt or not parts:
        return "no conclusion."
    return f"of {len(learnt)} rows that learnt, {', and '.join(parts)}; by value, since floors are not resampled with them."


def _value(estimate: Estimate) -> float:
    return float("nan") if estimate.value is None else estimate.value


def _shown(estimate: Estimate | None) -> str:
    return DASH if estimate is None else shown(estimate)


def _difference(estimate: Estimate | None) -> str:
    return DASH if estimate is None else shown(estimate, "+")


FLOOR_WORDS = {
    POSITION: "a slice's place in its scan",
    HISTOGRAM: "boosted trees on a histogram of its HU",
}
"""What the floors beside the prevalence know."""

LABEL_TITLES = tuple(label.title for label in LABELS)
"""Heads of the columns by label."""
