"""An Evaluation as one HTML page: tables, curves, thresholds; it needs nothing else."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from sklearn.metrics import precision_recall_curve, roc_curve

from ich_seq.calibration import Calibration
from ich_seq.evaluation.bootstrap import Estimate
from ich_seq.evaluation.data import CALIBRATED, STAGE_ONE, STAGE_TWO, EvaluationInput, maximum_over
from ich_seq.evaluation.operating import BALANCED, SENSITIVE_RULE, points_of
from ich_seq.evaluation.published import WHY_NOT
from ich_seq.evaluation.result import Evaluation, LevelEvaluation
from ich_seq.evaluation.subgroups import LEAST_PATIENTS
from ich_seq.labels import LABELS, RESEARCH_NOTICE
from ich_seq.report.evaluation_parts import mistake_blocks, published_rows, shown, subgroup_tables
from ich_seq.report.figures import ACCENT, GREEN, SOFT, WARM, as_data_uri, new_figure
from ich_seq.report.key_slices import KeyImage
from ich_seq.report.page import render_page

_COLOURS = {STAGE_ONE: SOFT, STAGE_TWO: ACCENT, CALIBRATED: GREEN}
_BINS = 10
_RULES = {
    BALANCED: "Balanced: the threshold with the largest sum of sensitivity and specificity on validation patients",
    SENSITIVE_RULE: "Sensitive: the highest threshold that finds 95 % of the positives of validation patients",
}


def render_evaluation_page(
    evaluation: Evaluation, data: EvaluationInput, drawn: Mapping[str, KeyImage] = MappingProxyType({})
) -> str:
    """The page; the curves are of the slices in `data`, on which `evaluation` rests, or of its scans where labels are of scans.

    `drawn` are the key slices of the mistakes by SOPInstanceUID, from `draw_mistakes`.

    Raises:
        ValueError: the evaluation does not say what was measured on what.
    """
    about = evaluation.about
    if about is None:
        raise ValueError("evaluation.about is None: a page must say what figures were measured on")
    curves_of = maximum_over(data, "scan_ids") if data.whole_scans else data
    levels = [each for each in (evaluation.by_slice, evaluation.by_scan, evaluation.by_patient) if each is not None]
    return render_page(
        "evaluation.html.j2",
        ("study.css", "explore.css"),
        about=about,
        notice=RESEARCH_NOTICE,
        evaluation=evaluation,
        levels=[_level(level) for level in levels],
        unit="scans" if data.whole_scans else "slices",
        roc=_curves(curves_of, "roc"),
        precision_recall=_curves(curves_of, "precision"),
        reliability=_curves(curves_of, "reliability"),
        rules=_RULES,
        uncalibrated=[] if data.calibration is None else _uncalibrated(data.calibration),
        prevalences=_prevalences(levels[0]),
        subgroups=subgroup_tables(evaluation.subgroups),
        least_patients=LEAST_PATIENTS,
        mistakes=mistake_blocks(evaluation.mistakes, drawn),
        published=published_rows(evaluation, about.dataset),
        shorts=[label.abbreviation for label in LABELS],
        why_none_published=WHY_NOT,
    )


def _uncalibrated(calibration: Calibration) -> list[str]:
    """The labels whose calibrated scores are the scores themselves, with the reason."""
    titles = {label.name: label.title for label in LABELS}
    return [f"{titles[name]}: {reason}." for name, reason in calibration.uncalibrated().items()]


def _level(level: LevelEvaluation) -> dict[str, Any]:
    """Rows of cells: systems by label, then thresholds by rule."""
    titles = {label.name: label.title for label in LABELS}
    ranked = [system for system in level.systems if system.system != CALIBRATED]
    rows = []
    for k, (count, gain) in enumerate(zip(level.counts, level.gains, strict=True)):
        figures = [shown(system.labels[k].auc) for system in ranked]
        rows.append([titles[count.label], str(count.positives), *figures, shown(gain.auc, "+")])
    losses = [shown(system.weighted_log_loss) for system in ranked]
    rows.append(["Weighted log loss", "", *losses, shown(level.weighted_log_loss_gain, "+")])
    for system in level.systems:
        if system.system == CALIBRATED:
            blank = [""] * (len(ranked) - 1)
            rows.append(["Weighted log loss, calibrated", "", *blank, shown(system.weighted_log_loss), ""])
    more = [
        [
            titles[label.label],
            system.system,
            shown(label.average_precision),
            shown(label.brier),
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
        "systems": [system.system for system in ranked],
        "rows": rows,
        "undefined": [
            f"{titles[label.label]}: {label.auc.reason}." for label in ranked[-1].labels if label.auc.value is None
        ],
        "more": more,
        "points": {rule: _points(level, rule, titles) for rule in _RULES if points_of(level.operating_points, rule)},
    }


def _points(level: LevelEvaluation, rule: str, titles: dict[str, str]) -> list[list[str]]:
    return [
        [
            titles[point.label],
            point.system,
            f"{point.threshold:.3f}",
            *(shown(each) for each in (point.sensitivity, point.specificity, point.accuracy, point.f1)),
            _bare(point.positive_likelihood_ratio),
            _bare(point.negative_likelihood_ratio),
            *(f"{_bare(each.positive)} / {_bare(each.negative)}" for each in point.predictive_values),
        ]
        for point in sorted(points_of(level.operating_points, rule), key=lambda each: list(titles).index(each.label))
    ]


def _prevalences(level: LevelEvaluation) -> list[str]:
    first = next(iter(level.operating_points), None)
    return [] if first is None else [f"{value.prevalence:.0%}" for value in first.predictive_values]


def _bare(estimate: Estimate) -> str:
    return "–" if estimate.value is None else f"{estimate.value:.2f}"


def _curves(data: EvaluationInput, kind: str) -> str:
    """One small picture a label, both stages, and for reliability stage two calibrated; what a label cannot define is left empty."""
    systems = data.systems("scan" if data.whole_scans else "slice")
    wanted = [name for name in _COLOURS if name in systems and (name != CALIBRATED or kind == "reliability")]
    drawn = {name: systems[name] for name in wanted}
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
            for system, prob in drawn.items():
                x, y = _POINTS[kind](truth, prob[:, k])
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
