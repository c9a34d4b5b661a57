"""An Evaluation as one HTML page: tables, curves, thresholds; it needs nothing else."""

from typing import Any

import numpy as np
from sklearn.metrics import precision_recall_curve, roc_curve

from ich_seq.evaluation.bootstrap import Estimate
from ich_seq.evaluation.evaluate import STAGE_ONE, STAGE_TWO, Evaluation, EvaluationInput, LevelEvaluation
from ich_seq.evaluation.operating import BALANCED, SENSITIVE_RULE, points_of
from ich_seq.labels import LABELS, RESEARCH_NOTICE
from ich_seq.report.figures import ACCENT, SOFT, WARM, as_data_uri, new_figure
from ich_seq.report.page import render_page

_COLOURS = {STAGE_ONE: SOFT, STAGE_TWO: ACCENT}
_BINS = 10
_RULES = {
    BALANCED: "Balanced: the threshold with the largest sum of sensitivity and specificity on validation patients",
    SENSITIVE_RULE: "Sensitive: the highest threshold that finds 95 % of the positives of validation patients",
}


def render_evaluation_page(evaluation: Evaluation, data: EvaluationInput, name: str) -> str:
    """The page; the curves are of the slices in `data`, on which `evaluation` rests."""
    return render_page(
        "evaluation.html.j2",
        ("study.css", "explore.css"),
        name=name,
        notice=RESEARCH_NOTICE,
        evaluation=evaluation,
        levels=[_level(level) for level in (evaluation.by_slice, evaluation.by_scan, evaluation.by_patient)],
        roc=_curves(data, "roc"),
        precision_recall=_curves(data, "precision"),
        reliability=_curves(data, "reliability"),
        rules=_RULES,
        prevalences=_prevalences(evaluation.by_slice),
    )


def _level(level: LevelEvaluation) -> dict[str, Any]:
    """Rows of cells: systems by label, then thresholds by rule."""
    titles = {label.name: label.title for label in LABELS}
    rows = []
    for k, (count, gain) in enumerate(zip(level.counts, level.gains, strict=True)):
        figures = [_shown(system.labels[k].auc) for system in level.systems]
        rows.append([titles[count.label], str(count.positives), *figures, _shown(gain.auc, "+")])
    losses = [_shown(system.weighted_log_loss) for system in level.systems]
    rows.append(["Weighted log loss", "", *losses, _shown(level.weighted_log_loss_gain, "+")])
    more = [
        [
            titles[label.label],
            system.system,
            _shown(label.average_precision),
            _shown(label.brier),
            f"{label.calibration_error:.3f}",
        ]
        for k in range(len(LABELS))
        for system in level.systems
        if system.system in _COLOURS
        for label in (system.labels[k],)
    ]
    return {
        "title": {"slice": "Slices", "scan": "Scans", "patient": "Patients"}[level.level],
        "count": level.count,
        "systems": [system.system for system in level.systems],
        "rows": rows,
        "more": more,
        "points": {rule: _points(level, rule, titles) for rule in _RULES if points_of(level.operating_points, rule)},
    }


def _points(level: LevelEvaluation, rule: str, titles: dict[str, str]) -> list[list[str]]:
    return [
        [
            titles[point.label],
            point.system,
            f"{point.threshold:.3f}",
            *(_shown(each) for each in (point.sensitivity, point.specificity, point.accuracy, point.f1)),
            _bare(point.positive_likelihood_ratio),
            _bare(point.negative_likelihood_ratio),
            *(f"{_bare(each.positive)} / {_bare(each.negative)}" for each in point.predictive_values),
        ]
        for point in sorted(points_of(level.operating_points, rule), key=lambda each: list(titles).index(each.label))
    ]


def _prevalences(level: LevelEvaluation) -> list[str]:
    first = next(iter(level.operating_points), None)
    return [] if first is None else [f"{value.prevalence:.0%}" for value in first.predictive_values]


def _shown(estimate: Estimate, sign: str = "") -> str:
    if estimate.value is None:
        return "–"
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:{sign}.3f}"
    return f"{estimate.value:{sign}.3f} [{estimate.low:{sign}.3f}, {estimate.high:{sign}.3f}]"


def _bare(estimate: Estimate) -> str:
    return "–" if estimate.value is None else f"{estimate.value:.2f}"


def _curves(data: EvaluationInput, kind: str) -> str:
    """One small picture a label, stage one and stage two on slices; what a label cannot define is left empty."""
    figure = new_figure(9.3, 5.6)
    for k, label in enumerate(LABELS):
        axes = figure.add_subplot(2, 3, k + 1)
        truth = data.labels[:, k].astype(int)
        axes.set_title(label.title, fontsize=9, loc="left")
        axes.tick_params(labelsize=7.5)
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1.02)
        if 0 < truth.sum() < len(truth):
            for system, prob in ((STAGE_ONE, data.stage_one[:, k]), (STAGE_TWO, data.stage_two[:, k])):
                x, y = _POINTS[kind](truth, prob)
                marker = "o" if kind == "reliability" else None
                axes.plot(x, y, color=_COLOURS[system], linewidth=1.4, marker=marker, markersize=3, label=system)
            if kind != "precision":
                axes.plot([0, 1], [0, 1], color=WARM, linewidth=0.8, linestyle=":")
        if axes.lines and all(other.get_legend() is None for other in figure.axes):
            axes.legend(fontsize=7.5, frameon=False, loc="best")
        across, up = _AXES[kind]
        axes.set_xlabel(across, fontsize=7.5, color=SOFT)
        axes.set_ylabel(up, fontsize=7.5, color=SOFT)
    return as_data_uri(figure)


def _roc(truth: np.ndarray, prob: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    false_alarms, hits, _ = roc_curve(truth, prob)
    return false_alarms, hits


def _precision(truth: np.ndarray, prob: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    precision, recall, _ = precision_recall_curve(truth, prob)
    return recall, precision


def _reliability(truth: np.ndarray, prob: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean probability and frequency in bins of equal width that hold ten slices or more."""
    place = np.minimum((prob * _BINS).astype(int), _BINS - 1)
    count = np.bincount(place, minlength=_BINS)
    full = count >= 10
    mean = np.bincount(place, prob, _BINS)[full] / count[full]
    return mean, np.bincount(place, truth, _BINS)[full] / count[full]


_POINTS = {"roc": _roc, "precision": _precision, "reliability": _reliability}
_AXES = {
    "roc": ("1 - specificity", "sensitivity"),
    "precision": ("sensitivity (recall)", "precision"),
    "reliability": ("probability said", "frequency found"),
}
