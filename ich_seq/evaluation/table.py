"""An evaluation as a table that shows at a glance what stage two adds, with the floors beside it."""

import re
from collections.abc import Callable, Sequence

from ich_seq.evaluation.bootstrap import Estimate
from ich_seq.evaluation.data import CALIBRATED, STAGE_ONE, STAGE_TWO
from ich_seq.evaluation.result import Evaluation, LevelEvaluation
from ich_seq.labels import LABELS

Cell = Callable[[Estimate], str]
_UNDEFINED = "–"
_TITLES = {label.name: label.title for label in LABELS}
_NOTE = (
    "Brackets: 95 % interval, resampling patients. Gain: what stage two adds to stage one, on the same resamples, with a\n"
    "+ or - behind it where the interval excludes zero. Weighted loss: the competition's log loss (any weighs 2, the\n"
    "others 1, divided by 7); lower is better."
)


def text_table(evaluation: Evaluation) -> str:
    """Both levels as plain text of at most 120 columns; the floors without their intervals, to save width."""
    parts = (
        "\n".join((_heading(evaluation, level), *aligned(_rows(level, floor_cell=_value), right=True)))
        for level in _levels(evaluation)
    )
    return "\n\n".join((*_warning(evaluation), *parts, _NOTE))


def markdown_table(evaluation: Evaluation) -> str:
    """Both levels as Markdown tables, every figure with its interval."""
    parts = []
    for level in _levels(evaluation):
        head, *body = _rows(level, floor_cell=_with_interval)
        rule = ["---", *["---:"] * (len(head) - 1)]
        lines = ("| " + " | ".join(row) + " |" for row in (head, rule, *body))
        parts.append(f"**{_heading(evaluation, level)}**\n\n" + "\n".join(lines))
    return "\n\n".join((*_warning(evaluation), *parts, _NOTE)) + "\n"


def _levels(evaluation: Evaluation) -> list[LevelEvaluation]:
    """Slices, where their labels are known, and scans."""
    return [level for level in (evaluation.by_slice, evaluation.by_scan) if level is not None]


def _warning(evaluation: Evaluation) -> list[str]:
    """A line where the figures are not of held-out patients."""
    about = evaluation.about
    return [] if about is None or not about.training_patients else [about.measured_on]


def _heading(evaluation: Evaluation, level: LevelEvaluation) -> str:
    about = evaluation.about
    which = "held-out " if about is None or not (about.external or about.training_patients) else ""
    return f"AUC per {level.level}: {level.count} {level.level}s of {evaluation.patients} {which}patients"


def _rows(level: LevelEvaluation, floor_cell: Cell) -> list[list[str]]:
    """Header, one row per label, and the competition's metric last; calibration changes probabilities, so it has a row of losses."""
    systems = [each for each in level.systems if each.system != CALIBRATED]
    cells = [_with_interval if each.system in (STAGE_ONE, STAGE_TWO) else floor_cell for each in systems]
    rows = [["", "pos.", *(each.system for each in systems), "gain"]]
    for k, (count, gain) in enumerate(zip(level.counts, level.gains, strict=True)):
        figures = (cell(each.labels[k].auc) for cell, each in zip(cells, systems, strict=True))
        rows.append([_TITLES[count.label], str(count.positives), *figures, _gain(gain.auc)])
    losses = (cell(each.weighted_log_loss) for cell, each in zip(cells, systems, strict=True))
    rows.append(["Weighted loss", "", *losses, _gain(level.weighted_log_loss_gain)])
    for each in level.systems:
        if each.system == CALIBRATED:
            blank = [""] * (len(systems) - 1)
            rows.append(["  calibrated", "", *blank, _with_interval(each.weighted_log_loss), ""])
    return rows


def aligned(rows: Sequence[Sequence[str]], *, right: bool = False) -> list[str]:
    """Lines of columns padded to their widest cell: to the left, or all but the first to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [
            cell.rjust(w) if right and k else cell.ljust(w) for k, (cell, w) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return lines


def _number(value: float, sign: str = "") -> str:
    """Three decimals without a leading zero, as the field writes them: `.975`, and `+.182` with a sign."""
    return re.sub(r"^([+-]?)0\.", r"\1.", f"{value:{sign}.3f}")


def _value(estimate: Estimate) -> str:
    return _UNDEFINED if estimate.value is None else _number(estimate.value)


def _with_interval(estimate: Estimate) -> str:
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return _value(estimate)
    return f"{_number(estimate.value)} [{_number(estimate.low)}, {_number(estimate.high)}]"


def _gain(estimate: Estimate) -> str:
    """Signed, and marked where the interval excludes zero."""
    if estimate.value is None:
        return _UNDEFINED
    if estimate.low is None or estimate.high is None:
        return _number(estimate.value, "+") + "  "
    mark = "+" if estimate.low > 0 else "-" if estimate.high < 0 else " "
    return f"{_number(estimate.value, '+')} [{_number(estimate.low, '+')}, {_number(estimate.high, '+')}] {mark}"
