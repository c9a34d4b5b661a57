"""A StudyResult on the terminal: status, a bar for each label, what was noticed, where the report lies."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

from rich.console import Console, Group
from rich.markup import escape
from rich.panel import Panel
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from ich_seq.cli.terminal import printable
from ich_seq.labels import ANY, SUBTYPES
from ich_seq.report.curves import shown
from ich_seq.report.study_page import remedy_of
from ich_seq.study.result import Computation, LabelScore, Reading, Status, StudyResult

_BAR_CELLS = 16
_STATUS = {
    Status.COMPLETE: ("complete series", "bold blue"),
    Status.WITH_WARNINGS: ("complete, with warnings", "bold yellow"),
    Status.INCOMPLETE: ("INCOMPLETE: slices are missing", "bold white on red"),
}
_RUNTIMES = {"torch": "torch", "openvino": "OpenVINO"}
_SIDES = {Reading.AT_OR_ABOVE.value: "at or above", Reading.BELOW.value: "below"}
_STYLES = {"refused": "red", "dropped": "red", "warning": "yellow", "note": "dim"}


def print_summary(result: StudyResult, page: Path, console: Console | None = None) -> None:
    """Prints what a radiologist wants to know first, and which series it is of; `page` is the report's path."""
    console = console or Console(highlight=False, soft_wrap=False)
    words, style = _STATUS[result.status]
    heading = Text.assemble((f" {words} ", style), f"\n{_geometry(result)}")
    console.print(
        Panel(
            Group(heading, "", _score_table(result), "", _remarks(result), _reading(result)),
            title="Head CT: haemorrhage scores",
            title_align="left",
            border_style="dim",
            padding=(1, 2),
        )
    )
    console.print(_series(result), soft_wrap=True)
    if result.model.members:
        console.print(escape(printable(_ensemble(result))), soft_wrap=True)
    console.print(f"Trained on: {escape(printable(result.model.trained_on))}", style="bold")
    if result.computed is not None:
        runtimes = [_RUNTIMES.get(each, "another runtime") for each in result.computed.runtime.split(" and ")]
        console.print(f"Computed by {' and '.join(runtimes)} in {_how(result.computed)}")
    console.print(result.notice, style="dim")
    console.print(Text(f"Report: {page}"), soft_wrap=True)


def _ensemble(result: StudyResult) -> str:
    """Which models were combined, and how."""
    members = result.model.members
    names = ", ".join(each.name for each in members)
    told = f"Ensemble of {len(members)} by {result.model.combined_by}: {names}"
    return f"{told}. A score is the share of them that say yes" if result.model.combined_by == "vote" else told


def _how(computed: Computation) -> str:
    return f"{printable(computed.precision)} on {printable(computed.device)}"


def _geometry(result: StudyResult) -> str:
    series = result.series
    apart = f", {series.spacing_mm:.1f} mm apart" if series.slices > 1 else ""
    return f"{series.slices} slice{'s' if series.slices > 1 else ''}{apart}, gantry tilt {series.tilt_deg:.1f} degrees"


def _series(result: StudyResult) -> Text:
    """Which series of which study was scored, and why that one."""
    chosen = next((each for each in result.candidates if each.chosen), None)
    lines = [f"Study:  {printable(result.study_instance_uid)}", f"Series: {printable(result.series_instance_uid)}"]
    if chosen is not None:
        lines[1] += f" ({printable(chosen.reason)})"
    return Text("\n".join(lines))


def _score_table(result: StudyResult) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("", no_wrap=True)
    calibrated = any(score.calibrated is not None for score in result.scan)
    cells = _BAR_CELLS // 2 if calibrated else _BAR_CELLS
    table.add_column("\n0 to 1", no_wrap=True, min_width=cells)
    table.add_column("with the\nwhole scan", justify="right")
    table.add_column("slice\nalone", justify="right")
    if calibrated:
        table.add_column("cali-\nbrated", justify="right")
    table.add_column("\nhighest on")
    for label in (ANY, *SUBTYPES):
        score = result.label(label.name)
        title = Text(label.title, "bold" if label is ANY else "")
        if score.reading == Reading.INDETERMINATE.value:
            title.append(f"\n  {score.reading}", "red")
        elif score.reading in _SIDES:
            title.append(f"\n  {_SIDES[score.reading]} {score.balanced_threshold:.3f}", "dim")
        place = f"slice {score.stage_two.slice_index + 1}, {score.stage_two.position_mm:.0f} mm"
        table.add_row(
            title,
            _bar(score, cells),
            Text(shown(score.stage_two.probability), "bold"),
            Text(shown(score.stage_one.probability), "dim"),
            *([Text("-" if score.calibrated is None else shown(score.calibrated))] if calibrated else []),
            place,
        )
    return table


def _bar(score: LabelScore, cells: int) -> Text:
    filled = round(score.stage_two.probability * cells)
    tick = min(int(score.stage_one.probability * cells), cells - 1)
    bar = Text("█" * filled, "blue").append("░" * (cells - filled), "dim")
    bar.stylize("reverse bold", tick, tick + 1)
    return bar


def _remarks(result: StudyResult) -> Table:
    """Findings and unused slices of the series, the gravest first, with what to do."""
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column()
    for item in result.dropped:
        if item.in_series:
            said = _said(f"{item.count} x {item.reason}", item.code, remedy_of(item.code))
            table.add_row("not used", said, style=_STYLES["dropped"])
    for severity in ("refused", "warning", "note"):
        for item in result.findings:
            if item.severity == severity:
                kind = "incomplete" if severity == "refused" else severity
                todo = "" if severity == "note" else item.what_to_do
                table.add_row(kind, _said(item.message, item.code, todo), style=_STYLES[severity])
    return table


def _said(message: str, code: str, todo: str) -> Text:
    """The message with its code, and under it what to do."""
    text = Text(f"{printable(message)} [{printable(code)}]")
    return text.append(f"\n{printable(todo)}", "dim") if todo else text


def _reading(result: StudyResult) -> Text:
    if result.status is Status.INCOMPLETE:
        return Text("A bleed may lie where slices are missing: whatever the score, nothing here reads absent.", "bold")
    if result.model.thresholded:
        return Text(
            "Below each name: on which side of the balanced threshold of validation patients stage two's score lies. "
            "Neither is a diagnosis; a low score does not rule out haemorrhage.",
            "dim",
        )
    return Text("No threshold has been chosen: these are scores, not yes or no.", "dim")


@contextlib.contextmanager
def slices_progress(*, silent: bool) -> Iterator[Callable[[int, int], None]]:
    """A bar of the slices read so far, where a person watches; call what it yields with done and total."""
    console = Console(stderr=True)
    if silent or not console.is_terminal:
        yield lambda done, total: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("slices", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
