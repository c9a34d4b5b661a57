"""A Comparison as one HTML page that needs nothing else, and as a Markdown table."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.metrics import roc_curve

from ich_seq.evaluation.bootstrap import Estimate
from ich_seq.evaluation.comparison import STAGES, ComparedSystem, Comparison, Entry
from ich_seq.evaluation.data import STAGE_ONE, STAGE_TWO
from ich_seq.evaluation.published import PrintedPoint, point_of, published_of
from ich_seq.evaluation.run_cost import Cost
from ich_seq.labels import LABELS, RESEARCH_NOTICE
from ich_seq.report.evaluation_parts import shown
from ich_seq.report.figures import LABEL_COLOURS, SOFT, as_data_uri, new_figure
from ich_seq.report.page import render_page

_DASH = "–"
_LINES = tuple(LABEL_COLOURS.values())
_FIRST = [
    "",
    "system",
    "AUC any",
    "weighted log loss",
    "accuracy",
    "F1",
    "recall",
    "precision",
    "AUC any against the first",
]
_DID_NOT = "did not learn"
NOTE = (
    "Brackets: 95 % intervals, resampling patients. Weighted log loss: the competition's (any weighs 2, the others 1, divided by 7), "
    "lower is better. Accuracy, F1, recall and precision are of any haemorrhage at the balanced threshold that validation patients "
    "chose. Against the first: the difference in AUC of any haemorrhage on the same resamples of the same patients. A system whose "
    "loss is not below the prevalence floor's, its whole interval, did not learn, and nothing follows from its figures."
)
_NOT_THE_SAME = (
    "Not the same slices: these figures stand beside each other and cannot be compared; no difference is given."
)


def render_comparison_page(found: Comparison, entries: Sequence[Entry]) -> str:
    """The page; ROC curves are of stage two of each entry, of slices or of scans as the figures are."""
    return render_page(
        "comparison.html.j2",
        ("study.css", "explore.css"),
        found=found,
        notice=RESEARCH_NOTICE,
        note=NOTE,
        warning="" if found.same_slices else _NOT_THE_SAME,
        heads=_FIRST[1:],
        rows=_rows(found),
        labels=[label.title for label in LABELS],
        aucs=_auc_rows(found),
        costs=_cost_rows(found),
        published=_published_rows(found),
        roc=_roc_figure(found, entries),
    )


def comparison_markdown(found: Comparison) -> str:
    """The same tables in Markdown."""
    tables = [
        (f"{found.level.capitalize()}s", _FIRST, _rows(found)),
        ("AUC by label", ["", "system", *(label.title for label in LABELS)], _auc_rows(found)),
        ("Cost", ["", "measured on", "parameters", "ms a slice", "training", "on"], _cost_rows(found)),
    ]
    if published := _published_rows(found):
        tables.append(("In print", ["", "paper", "system", "figure", "in print", "here", "why they differ"], published))
    parts = [f"## {title}\n\n{markdown_rows(head, rows)}" for title, head, rows in tables]
    return "\n\n".join(["# Comparison", *([] if found.same_slices else [_NOT_THE_SAME]), *parts, NOTE]) + "\n"


def _rows(found: Comparison) -> list[list[str]]:
    return [[each.entry, _named(each), *_figures(each)] for each in found.systems]


def _named(each: ComparedSystem) -> str:
    return f"{each.system}: {_DID_NOT}" if each.learnt is False else each.system


def _figures(each: ComparedSystem) -> list[str]:
    point = each.point
    at = (
        [_DASH] * 4
        if point is None
        else [_shown(e) for e in (point.accuracy, point.f1, point.sensitivity, point.precision)]
    )
    return [shown(each.auc[-1]), shown(each.weighted_log_loss), *at, _difference(each.auc_difference)]


def _shown(estimate: Estimate | None) -> str:
    return _DASH if estimate is None else shown(estimate)


def _difference(estimate: Estimate | None) -> str:
    return "" if estimate is None else shown(estimate, "+")


def _auc_rows(found: Comparison) -> list[list[str]]:
    return [[each.entry, _named(each), *(shown(auc) for auc in each.auc)] for each in found.systems]


def _cost_rows(found: Comparison) -> list[list[str]]:
    return [[name, found.counts[name], *_cost(cost)] for name, cost in found.costs.items()]


def _cost(cost: Cost) -> list[str]:
    return [
        _DASH if cost.parameters is None else f"{cost.parameters:,}",
        _DASH if cost.ms_a_slice is None else f"{cost.ms_a_slice:.1f}",
        _DASH if cost.training_s is None else f"{cost.training_s / 60:.1f} min",
        cost.where or _DASH,
    ]


def _published_rows(found: Comparison) -> list[list[str]]:
    """What the paper behind an entry's experiment printed, beside the entry's own figure of any haemorrhage."""
    rows = []
    for name, experiment in found.experiments.items():
        own = {each.system: each for each in found.systems if each.entry == name}
        for figure in published_of(experiment):
            if figure.unit != found.level:
                continue
            loss = "weighted log loss" in figure.values
            ours = own[figure.system].weighted_log_loss if loss else own[figure.system].auc[-1]
            value = figure.values["weighted log loss" if loss else LABELS[-1].name]
            title = figure.figure if loss else f"{figure.figure} any"
            why = _why(found.unlike_print[name], figure.comparable)
            rows.append([name, figure.work, figure.system, title, f"{value:.4f}", shown(ours), why])
        point = point_of(experiment)
        if point is not None and found.level == "slice":
            why = _why(found.unlike_print[name], point.caution)
            rows += [[name, point.work, STAGE_ONE, *row, why] for row in _point_rows(point, own[STAGE_ONE])]
    return rows


def _why(unlike_print: str, reason: str) -> str:
    return f"Not comparable: ours is {unlike_print}. In print: {reason}" if unlike_print else reason


def _point_rows(printed: PrintedPoint, own: ComparedSystem) -> list[list[str]]:
    """Figure, what is printed, and ours of any haemorrhage at the balanced threshold."""
    ours = own.point
    pairs = (
        ("accuracy any", printed.accuracy, ours and ours.accuracy),
        ("F1 any", printed.f1, ours and ours.f1),
        ("recall any", printed.recall, ours and ours.sensitivity),
        ("precision any", printed.precision, ours and ours.precision),
        ("AUC any", printed.auc, own.auc[-1]),
    )
    rows = [[title, f"{value:.3g}", _shown(figure or None)] for title, value, figure in pairs if value is not None]
    if printed.verdict:
        rows.append(
            ["verdict", printed.verdict, _DID_NOT if own.learnt is False else "learnt" if own.learnt else _DASH]
        )
    return rows


def _roc_figure(found: Comparison, entries: Sequence[Entry]) -> str:
    names = zip(found.costs, entries, strict=True)
    return roc_figure([(name, entry, STAGE_TWO) for name, entry in names], found.level)


def roc_figure(curves: Sequence[tuple[str, Entry, str]], level: str) -> str:
    """ROC curves of a stage of each entry by name, of slices or scans, one small picture a label; what a label cannot define is left
    empty."""
    figure = new_figure(9.3, 5.6)
    for k, label in enumerate(LABELS):
        axes = figure.add_subplot(2, 3, k + 1)
        axes.set_title(label.title, fontsize=9, loc="left")
        axes.tick_params(labelsize=7.5)
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1.02)
        axes.plot([0, 1], [0, 1], color=SOFT, linewidth=0.8, linestyle=":")
        for place, (name, entry, stage) in enumerate(curves):
            table = entry.scores if level == "slice" else entry.scores.groupby("series_instance_uid").max()
            truth = table[label.name].to_numpy(np.int64)
            if 0 < truth.sum() < len(truth):
                across, up, _ = roc_curve(truth, table[f"{STAGES[stage]}_{label.name}"].to_numpy())
                style = ("-", "--", "-.")[place // len(_LINES) % 3]
                axes.plot(across, up, color=_LINES[place % len(_LINES)], linewidth=1.3, linestyle=style, label=name)
        axes.set_xlabel("1 - specificity", fontsize=7.5, color=SOFT)
        axes.set_ylabel("sensitivity", fontsize=7.5, color=SOFT)
        if k == 0 and len(axes.lines) > 1:
            axes.legend(fontsize=7, frameon=False, loc="lower right")
    return as_data_uri(figure)


def markdown_rows(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A table in Markdown, inert; all columns but the first two stand to the right."""
    rule = ["---", "---", *["---:"] * (len(head) - 2)]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in row) + " |" for row in (head, rule, *rows))


def _cell(text: str) -> str:
    """Inert in Markdown's tables: names of folders may hold anything."""
    return " ".join(str(text).replace("|", "\\|").replace("<", "&lt;").split())
