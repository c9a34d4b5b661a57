"""An evaluation as a section of the model card, in Markdown."""

from ich_seq.evaluation.bootstrap import Estimate
from ich_seq.evaluation.data import CALIBRATED, STAGE_TWO
from ich_seq.evaluation.operating import OperatingPoint
from ich_seq.evaluation.result import Evaluation, LevelEvaluation, SubgroupScore, SystemScore
from ich_seq.labels import ANY, LABELS

_TITLES = {label.name: label.title for label in LABELS}
_UNDEFINED = "–"


def card_section(evaluation: Evaluation) -> str:
    """What held-out patients, or another dataset, say of stage two, with what they are.

    Raises:
        ValueError: the evaluation does not say what it was measured on.
    """
    about = evaluation.about
    if about is None:
        raise ValueError("evaluation.about is None: a card must say what figures were measured on")
    heading = "Evaluation on another table" if about.external else "Evaluation on held-out patients"
    if about.training_patients:
        heading = "Evaluation on patients that taught the model, or may have"
    levels = [level for level in (evaluation.by_slice, evaluation.by_scan) if level is not None]
    counts = ", ".join(f"{level.count:,} {level.level}s" for level in levels)
    left_out = f" {about.unreadable} slices could not be read and are left out." if about.unreadable else ""
    parts = [
        f"## {heading}: {about.dataset}",
        f"{about.measured_on} {evaluation.patients} patients, {counts}; brackets: 95 % intervals, resampling patients.{left_out}",
        _figures(levels),
        "\n".join(_loss_line(level) for level in levels),
        _thresholds(evaluation.by_scan),
        _lowest(evaluation),
    ]
    return "\n\n".join(part for part in parts if part)


def _figures(levels: list[LevelEvaluation]) -> str:
    """AUC of stage two by label and level, with the number of positives."""
    head = ["", *(cell for level in levels for cell in (f"positive {level.level}s", f"{level.level} AUC"))]
    lines = [head, ["---", *["---:"] * (len(head) - 1)]]
    for k, label in enumerate(LABELS):
        cells = []
        for level in levels:
            cells += [str(level.counts[k].positives), _shown(_system(level, STAGE_TWO).labels[k].auc)]
        lines.append([label.title, *cells])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _loss_line(level: LevelEvaluation) -> str:
    """Weighted log loss and calibration error for any, before calibration and, where there is one, after it."""
    parts = []
    for name in (STAGE_TWO, CALIBRATED):
        if any(each.system == name for each in level.systems):
            system = _system(level, name)
            error = system.labels[LABELS.index(ANY)].calibration_error
            parts.append(f"{name}: {_shown(system.weighted_log_loss)}, calibration error for any {error:.3f}")
    return f"- weighted log loss by {level.level}, {'; '.join(parts)}"


def _thresholds(level: LevelEvaluation) -> str:
    points = [point for point in level.operating_points if point.system == STAGE_TWO]
    if not points:
        return ""
    lines = [
        "| scans at a threshold | rule | threshold | sensitivity | specificity |",
        "| --- | --- | ---: | ---: | ---: |",
    ]
    return "\n".join([*lines, *(_point(point) for point in points)])


def _point(point: OperatingPoint) -> str:
    cells = (
        _TITLES[point.label],
        point.rule,
        f"{point.threshold:.3f}",
        _shown(point.sensitivity),
        _shown(point.specificity),
    )
    return f"| {' | '.join(cells)} |"


def _lowest(evaluation: Evaluation) -> str:
    """The subgroup with the lowest AUC of stage two for any, at slice level or, without it, at scan level."""
    level = "slice" if evaluation.by_slice is not None else "scan"
    known: list[tuple[float, SubgroupScore]] = []
    for each in evaluation.subgroups:
        if each.level == level and each.auc_stage_two.value is not None:
            known.append((each.auc_stage_two.value, each))
    if not known:
        return "No subgroup has enough patients for a figure."
    _, worst = min(known, key=lambda pair: pair[0])
    return (
        f"Of {len(known)} subgroups with enough patients the lowest {level} AUC for any is {_shown(worst.auc_stage_two)}: "
        f"{worst.attribute} {worst.group}, {worst.patients} patients."
    )


def _system(level: LevelEvaluation, name: str) -> SystemScore:
    return next(each for each in level.systems if each.system == name)


def _shown(estimate: Estimate) -> str:
    if estimate.value is None:
        return f"{_UNDEFINED} ({estimate.reason})"
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:.3f}"
    return f"{estimate.value:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]"
