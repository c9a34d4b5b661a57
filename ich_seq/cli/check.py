"""`ichseq check`: whether a study can be scored, said without a model."""

from collections.abc import Sequence
from pathlib import Path

import click

from ich_seq.cli import options
from ich_seq.cli.descriptions import Facts
from ich_seq.cli.study_description import gap_words, geometry_words, series_lines
from ich_seq.cli.terminal import echo_facts, echo_paragraph, printable
from ich_seq.dicom import Finding, ReadOptions, Severity
from ich_seq.study.check import EXIT_CODES, CheckedStudy, StudyCheck, Verdict, check_studies
from ich_seq.study.result import Gap, Status

_ORDER = (Verdict.USABLE, Verdict.WITH_WARNINGS, Verdict.REFUSED)
_STATUS_WORDS = {
    Status.COMPLETE: "complete",
    Status.WITH_WARNINGS: "complete, with warnings",
    Status.INCOMPLETE: "incomplete: slices are missing, and no label would read absent",
}
_GAPS_LISTED = 10
_GRAVE = frozenset({Severity.REFUSED, Severity.DROPPED, Severity.WARNING})


@click.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--series", "series_uid", help="SeriesInstanceUID to check instead of the one that would be chosen.")
@options.reading
@options.as_json
@options.quiet
@click.pass_context
def check(
    ctx: click.Context,
    paths: tuple[Path, ...],
    series_uid: str | None,
    reading: ReadOptions,
    as_json: bool,
    quiet: bool,
) -> None:
    """Say whether a head CT can be scored: PATHS are folders, zips or files, DICOM or NIfTI, which may hold several studies.

    Headers and pixels are read as for scoring, and no model is. Exits 0 where a study is usable, 10 where it is usable with warnings,
    3 where it is refused; of several studies the worst one counts, each said in a line of its own.

    --json prints one object a study and line. --quiet prints nothing but what is refused.
    """
    verdicts: list[Verdict] = []
    for checked in check_studies(paths, series_uid=series_uid, options=reading):
        verdicts.append(checked.check.verdict)
        if as_json:
            click.echo(checked.check.model_dump_json(ensure_ascii=True))
        elif not quiet:
            _print(checked, apart=len(verdicts) > 1)
        elif checked.check.verdict is Verdict.REFUSED:
            whose = f"study {checked.check.study_instance_uid}: " if checked.studies > 1 else ""
            click.echo(printable(f"refused: {whose}{_verdict_line(checked.check)}"), err=True)
    if len(verdicts) > 1 and not (as_json or quiet):
        counted = ", ".join(f"{verdicts.count(each)} {each.value}" for each in _ORDER if each in verdicts)
        click.echo(f"\n{len(verdicts)} studies: {counted}")
    ctx.exit(EXIT_CODES[max(verdicts, key=_ORDER.index)])


def _print(checked: CheckedStudy, apart: bool) -> None:
    """The verdict, then what it rests on."""
    check = checked.check
    if apart:
        click.echo()
    echo_paragraph(f"{check.verdict.value.upper()}: {_verdict_line(check)}")
    facts: Facts = {"study": check.study_instance_uid}
    if check.candidates:
        facts["series"] = series_lines(check.candidates)
    if check.series is not None:
        facts["geometry"] = geometry_words(check.series.slices, check.series)
    if check.status is not None:
        facts["status"] = _STATUS_WORDS[check.status]
    if check.series is not None and check.series.gaps:
        facts["gaps"] = _gap_lines(check.series.gaps)
    facts["findings"] = [line for found in checked.findings for line in _lines(found)] or ["none"]
    if checked.dropped_elsewhere:
        facts["not used"] = [found.line() for found in checked.dropped_elsewhere]
    echo_facts(facts)


def _verdict_line(check: StudyCheck) -> str:
    """Why it is refused, else which codes to know of, or that there is nothing to say."""
    if check.refusal is not None:
        return check.refusal.message
    own = [item.code for item in (*check.findings, *(each for each in check.dropped if each.in_series))]
    grave = sorted({code for code in own if Severity(code[0]) in _GRAVE})
    if not grave:
        return "nothing was found that speaks against scoring"
    return f"{', '.join(grave)}; see below"


def _gap_lines(gaps: Sequence[Gap]) -> list[str]:
    """The first gaps in mm, and how many there are besides; --json has all."""
    lines = [gap_words(gap.after_mm, gap.gap_mm) for gap in gaps[:_GAPS_LISTED]]
    more = len(gaps) - len(lines)
    return [*lines, f"and {more} more"] if more else lines


def _lines(found: Finding) -> list[str]:
    """Code, sentence and files; under a grave one what to do."""
    return [found.line(), f"  {found.code.remedy}"] if found.severity in _GRAVE else [found.line()]
