"""The later parts of an evaluation's page as rows of cells: subgroups, worst mistakes, published figures."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from ich_seq.evaluation.bootstrap import Estimate
from ich_seq.evaluation.data import STAGE_ONE, STAGE_TWO
from ich_seq.evaluation.mistakes import FALSE_ALARM
from ich_seq.evaluation.published import PublishedFigure, published_for
from ich_seq.evaluation.result import Evaluation, LevelEvaluation, Mistake, SubgroupScore
from ich_seq.labels import ANY, LABELS
from ich_seq.report.curves import shown as shown_score
from ich_seq.report.key_slices import KeyImage

_TITLES = {label.name: label.title for label in LABELS}
_LOSS = "weighted log loss"


def shown(estimate: Estimate, sign: str = "") -> str:
    """Three decimals with the interval in brackets; a dash where undefined."""
    if estimate.value is None:
        return "–"
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:{sign}.3f}"
    return f"{estimate.value:{sign}.3f} [{estimate.low:{sign}.3f}, {estimate.high:{sign}.3f}]"


def subgroup_tables(subgroups: Sequence[SubgroupScore]) -> list[dict[str, Any]]:
    """A table for each level, its rows under headings of the attribute."""
    tables = []
    for level in ("slice", "scan"):
        of_level = [each for each in subgroups if each.level == level]
        blocks = [
            {"attribute": attribute, "rows": [_subgroup_row(each) for each in rows]}
            for attribute, rows in groupby(of_level, key=lambda each: each.attribute)
        ]
        if blocks:
            tables.append({"level": level, "blocks": blocks})
    return tables


def _subgroup_row(each: SubgroupScore) -> list[str]:
    figures = (
        each.auc_stage_one,
        each.auc_stage_two,
        each.weighted_log_loss_stage_one,
        each.weighted_log_loss_stage_two,
    )
    return [
        each.group,
        f"{each.count:,}",
        str(each.patients),
        f"{each.positives:,}",
        *(shown(figure) for figure in figures),
    ]


def mistake_blocks(mistakes: Sequence[Mistake], drawn: Mapping[str, KeyImage]) -> list[dict[str, Any]]:
    """Pictures with their words in blocks: false alarms of any, misses of any, then the subtypes'."""
    blocks = {"False alarms for any haemorrhage": [], "Misses of any haemorrhage": [], "The worst of each subtype": []}
    names = list(blocks)
    for mistake in mistakes:
        of_any = mistake.label == ANY.name
        name = names[2] if not of_any else names[0] if mistake.kind == FALSE_ALARM else names[1]
        blocks[name].append({"image": drawn.get(mistake.sop_instance_uid), "mistake": mistake, **_words(mistake)})
    return [{"title": title, "items": items} for title, items in blocks.items() if items]


def _words(mistake: Mistake) -> dict[str, str]:
    truth = ", ".join(_TITLES[name].lower() for name in mistake.truth if name != ANY.name)
    truth = truth or ("any haemorrhage, kind not said" if ANY.name in mistake.truth else "no haemorrhage")
    calibrated = "" if mistake.calibrated is None else f", calibrated {shown_score(mistake.calibrated)}"
    limit = "" if mistake.threshold is None else f" (balanced threshold {mistake.threshold:.3f})"
    return {
        "head": f"{_TITLES[mistake.label]}: {mistake.kind}",
        "scores": f"scan {shown_score(mistake.scan_score)}{calibrated}{limit}; this slice {shown_score(mistake.slice_stage_two)} "
        f"with the whole scan, {shown_score(mistake.slice_stage_one)} alone",
        "truth": truth,
    }


def published_rows(evaluation: Evaluation, dataset: str) -> list[dict[str, Any]]:
    """Published figures by label beside ours of the same unit; empty where they are of another dataset."""
    rows = []
    for figure in published_for(dataset):
        level = evaluation.by_slice if figure.unit == "slice" else evaluation.by_scan
        rows.append(
            {
                "figure": figure,
                "theirs": [_theirs(figure, name) for name in (*_TITLES, _LOSS)],
                "ours": [] if level is None else _ours(figure, level),
            }
        )
    return rows


def _theirs(figure: PublishedFigure, name: str) -> str:
    return "" if name not in figure.values else f"{figure.values[name]:.5f}".removesuffix("0")


def _ours(figure: PublishedFigure, level: LevelEvaluation) -> list[tuple[str, str]]:
    """Of the same system, where the published row has a figure: the figure, and its interval to stand under it."""
    name = STAGE_ONE if figure.system == STAGE_ONE else STAGE_TWO
    system = next(each for each in level.systems if each.system == name)
    cells = [shown(system.labels[k].auc) if label in figure.values else "" for k, label in enumerate(_TITLES)]
    cells.append(shown(system.weighted_log_loss) if _LOSS in figure.values else "")
    return [
        (value, f"[{interval}" if interval else "") for value, _, interval in (cell.partition(" [") for cell in cells)
    ]
