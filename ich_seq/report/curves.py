"""The curve of each label along the scan, and the bar of each score, as inline SVG of our own making."""

from dataclasses import dataclass
from itertools import pairwise

from markupsafe import Markup, escape

from ich_seq.labels import LABELS, Label
from ich_seq.study.result import Gap, LabelScore, SliceScore, StudyResult

_WIDTH, _HEIGHT = 480.0, 168.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 34.0, 12.0, 26.0, 30.0
_WANTED_TICKS = 6
_LABELLED_WIDTH = 36.0
_TICK_STEPS_MM = (0.5, 1, 2, 5, 10, 20, 25, 50, 100, 200, 500, 1000)


@dataclass(frozen=True, slots=True)
class _Frame:
    """Maps mm along the scan and probability to the drawing's units."""

    length_mm: float

    def x(self, position_mm: float) -> float:
        """Feet at the left."""
        return _LEFT + (position_mm / self.length_mm) * (_WIDTH - _LEFT - _RIGHT)

    @staticmethod
    def y(probability: float) -> float:
        """0 at the bottom, 1 at the top."""
        return _TOP + (1 - probability) * (_HEIGHT - _TOP - _BOTTOM)


def label_curve(result: StudyResult, label: Label) -> Markup:
    """The probabilities of one label against the position in mm: stage one dashed, stage two solid, gaps hatched and not bridged."""
    frame = _Frame(max(result.slices[-1].position_mm, result.series.spacing_mm, 1.0))
    score = result.label(label.name)
    parts = [
        _gap_bands(frame, result.series.gaps, label.name),
        _axes(frame, result.slices),
        *(_area(frame, run, label.name) for run in unbroken_runs(result)),
        *(_line(frame, run, "stage_one", label.name) for run in unbroken_runs(result)),
        *(_line(frame, run, "stage_two", label.name) for run in unbroken_runs(result)),
        _peak(frame, score),
    ]
    title = f"{label.title}: probability along the scan, feet to head"
    return Markup(
        '<svg class="curve {name}" viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{title}">'
        '<text class="name" x="{left:g}" y="14">{label}</text>{body}</svg>'
    ).format(
        name=label.name,
        width=_WIDTH,
        height=_HEIGHT,
        title=title,
        left=_LEFT,
        label=label.title,
        body=Markup("").join(parts),
    )


def all_curves(result: StudyResult) -> list[Markup]:
    """A curve for each label, `any` first."""
    return [label_curve(result, label) for label in (LABELS[-1], *LABELS[:-1])]


def score_bar(score: LabelScore) -> Markup:
    """A bar as long as stage two's score, with a tick where stage one's is; the right end is 1."""
    two, one = 100 * score.stage_two.probability, 100 * score.stage_one.probability
    return Markup(
        '<svg class="bar {name}" viewBox="0 0 100 12" preserveAspectRatio="none" aria-hidden="true">'
        '<rect class="track" width="100" height="8" y="2"/><rect class="two" width="{two:.2f}" height="8" y="2"/>'
        '<rect class="one" x="{one:.2f}" width="0.7" height="12"/></svg>'
    ).format(name=score.label, two=two, one=min(max(one - 0.35, 0.0), 99.3))


def unbroken_runs(result: StudyResult) -> list[list[SliceScore]]:
    """The slices in runs without a gap inside, so that no line is drawn where nothing was seen."""
    ends = [gap.after_mm for gap in result.series.gaps]
    runs: list[list[SliceScore]] = [[]]
    for score in result.slices:
        if runs[-1] and any(runs[-1][-1].position_mm - 1e-6 <= end < score.position_mm - 1e-6 for end in ends):
            runs.append([])
        runs[-1].append(score)
    return runs


def gap_lines(result: StudyResult, widest: int | None = None) -> list[str]:
    """Each gap in words: how many mm, and between which slices it lies; feet to head, or the `widest` ones only, the widest first."""
    gaps = [(before[-1], after[0]) for before, after in pairwise(unbroken_runs(result))]
    if widest is not None and len(gaps) > widest:
        gaps = sorted(gaps, key=lambda gap: gap[0].position_mm - gap[1].position_mm)[:widest]
    return [
        f"{above.position_mm - below.position_mm:.1f} mm between slice {below.index + 1} at {below.position_mm:.1f} mm and slice "
        f"{above.index + 1} at {above.position_mm:.1f} mm"
        for below, above in gaps
    ]


def _line(frame: _Frame, run: list[SliceScore], stage: str, label: str) -> Markup:
    points = [(frame.x(s.position_mm), frame.y(getattr(s, stage).of(label))) for s in run]
    if len(points) == 1:
        return Markup('<circle class="{stage} dot" cx="{x:.1f}" cy="{y:.1f}" r="3"/>').format(
            stage=stage, x=points[0][0], y=points[0][1]
        )
    return Markup('<polyline class="{stage}" points="{points}"/>').format(stage=stage, points=_joined(points))


def _area(frame: _Frame, run: list[SliceScore], label: str) -> Markup:
    points = [(frame.x(s.position_mm), frame.y(s.stage_two.of(label))) for s in run]
    floor = frame.y(0)
    outline = [(points[0][0], floor), *points, (points[-1][0], floor)]
    return Markup('<polygon class="area" points="{points}"/>').format(points=_joined(outline))


def _axes(frame: _Frame, slices: tuple[SliceScore, ...]) -> Markup:
    left, right, floor = _LEFT, _WIDTH - _RIGHT, frame.y(0)
    parts = [
        Markup(
            '<line class="grid" x1="{l:g}" x2="{r:g}" y1="{y:.1f}" y2="{y:.1f}"/>'
            '<text class="tick" x="{t:g}" y="{b:.1f}" text-anchor="end">{v}</text>'
        ).format(l=left, r=right, y=frame.y(value), t=left - 5, b=frame.y(value) + 3.5, v=f"{value:g}")
        for value in (0, 0.5, 1)
    ]
    for score in slices:
        x = frame.x(score.position_mm)
        parts.append(
            Markup('<line class="rug" x1="{x:.1f}" x2="{x:.1f}" y1="{a:.1f}" y2="{b:.1f}"/>').format(
                x=x, a=floor, b=floor + 3.5
            )
        )
    for tick in _ticks(frame.length_mm):
        parts.append(
            Markup('<text class="tick" x="{x:.1f}" y="{y:.1f}" text-anchor="middle">{v:g}</text>').format(
                x=frame.x(tick), y=floor + 14, v=tick
            )
        )
    parts.append(Markup('<text class="tick end" x="{x:g}" y="{y:g}">feet</text>').format(x=left, y=_HEIGHT - 4))
    parts.append(
        Markup(
            '<text class="tick end" x="{x:g}" y="{y:g}" text-anchor="middle">mm above the lowest slice</text>'
        ).format(x=(left + right) / 2, y=_HEIGHT - 4)
    )
    parts.append(
        Markup('<text class="tick end" x="{x:g}" y="{y:g}" text-anchor="end">head</text>').format(
            x=right, y=_HEIGHT - 4
        )
    )
    return Markup("").join(parts)


def _gap_bands(frame: _Frame, gaps: tuple[Gap, ...], name: str) -> Markup:
    """Hatched bands; the pattern is defined once a drawing, so that each stands alone."""
    if not gaps:
        return Markup("")
    pattern = Markup(
        '<defs><pattern id="gap-{name}" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
        '<rect class="gap" width="6" height="6"/><line class="hatch" x1="0" x2="0" y1="0" y2="6"/></pattern></defs>'
    ).format(name=name)
    return Markup("").join([pattern, *(_gap_band(frame, gap, name) for gap in gaps)])


def _gap_band(frame: _Frame, gap: Gap, name: str) -> Markup:
    """One band, its width in mm written into it where there is room."""
    left, right = frame.x(gap.after_mm), frame.x(gap.after_mm + gap.gap_mm)
    band = Markup(
        '<rect x="{x:.1f}" width="{w:.1f}" y="{y:g}" height="{h:g}" fill="url(#gap-{name})"><title>{text}</title></rect>'
    ).format(
        x=left,
        w=max(right - left, 1.0),
        y=_TOP,
        h=_HEIGHT - _TOP - _BOTTOM,
        name=name,
        text=f"gap of {gap.gap_mm:.1f} mm: no slices here",
    )
    if right - left < _LABELLED_WIDTH:
        return band
    return band + Markup(
        '<text class="gap-width" x="{x:.1f}" y="{y:g}" text-anchor="middle">{mm:.0f} mm</text>'
    ).format(x=(left + right) / 2, y=_TOP + 11, mm=gap.gap_mm)


def _peak(frame: _Frame, score: LabelScore) -> Markup:
    peak = score.stage_two
    x, y = frame.x(peak.position_mm), frame.y(peak.probability)
    text = f"{shown(peak.probability)} on slice {peak.slice_index + 1}, {peak.position_mm:.0f} mm"
    return Markup(
        '<circle class="peak" cx="{x:.1f}" cy="{y:.1f}" r="3.4"/><text class="value" x="{r:g}" y="14" text-anchor="end">{text}</text>'
    ).format(x=x, y=y, r=_WIDTH - _RIGHT, text=text)


def shown(probability: float) -> str:
    """A probability in two decimals, never rounded to certainty."""
    if probability < 0.005:
        return "<0.01"
    return ">0.99" if probability >= 0.995 else f"{probability:.2f}"


def _ticks(length_mm: float) -> list[float]:
    step = next((s for s in _TICK_STEPS_MM if length_mm / s <= _WANTED_TICKS), _TICK_STEPS_MM[-1])
    return [step * number for number in range(int(length_mm / step + 1e-9) + 1)]


def _joined(points: list[tuple[float, float]]) -> str:
    return str(escape(" ".join(f"{x:.1f},{y:.1f}" for x, y in points)))
