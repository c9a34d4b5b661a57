"""`ichseq papers`: every classifier of the five papers trained and evaluated on one cohort, as one table."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ich_seq.cli import options
from ich_seq.cli.terminal import minutes_and_seconds, printable
from ich_seq.errors import DatasetError, SomeRowsFailedError, UsageError

if TYPE_CHECKING:
    from ich_seq.cli.paper_rows import Shared
    from ich_seq.config import Config
    from ich_seq.evaluation.finished_rows import FinishedRow
    from ich_seq.evaluation.paper_result import PaperTable

TABLE, QUICK = "papers_table", "papers_quick"


@click.command()
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="Folder for the cohort, a run for each row, and the page; may be begun.",
)
@click.option(
    "--table",
    "table_path",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Table of slices that `ichseq index` wrote.  [default: one of synthetic scans that are made first]",
)
@options.root
@click.option("--rows", multiple=True, metavar="NAME", help="Make this row; repeat it.  [default: all]")
@click.option(
    "--quick", is_flag=True, help="Three rows of two trunks in minutes: shows that the command works, no more."
)
@click.option("--config", "config_name", help=f"What all rows share: a config's name or path.  [default: {TABLE}]")
@click.option(
    "--size", type=click.IntRange(32, 2048), help="Rows and columns of every row's input.  [default: the config's]"
)
@click.option(
    "--visits", type=click.IntRange(min=1), help="Slices that each row reads in training.  [default: the config's]"
)
@click.option(
    "--pretrained", is_flag=True, help="Start from ImageNet weights where the paper did, and at its own rate."
)
@options.device
@options.jobs
@options.as_json
@options.quiet
def papers(
    out: Path,
    table_path: Path | None,
    root: Path | None,
    rows: tuple[str, ...],
    *,
    quick: bool,
    config_name: str | None,
    size: int | None,
    visits: int | None,
    pretrained: bool,
    device: str,
    jobs: int,
    as_json: bool,
    quiet: bool,
) -> None:
    """Train and evaluate the papers' classifiers on one cohort, at one size and with the same number of slice visits, as one page.

    Each row is a run of its own in OUT/rows. Interrupted, the same command keeps the rows that are finished and goes on with those
    that were not. A row that fails is named, and the others go on. The page has every finished row in OUT.
    """
    if quick and config_name:
        raise UsageError("--quick is a config of its own; give --quick or --config, not both")
    names = _chosen(rows, quick=quick)
    if root is not None and table_path is None:
        raise UsageError("--root belongs to --table; without it the command makes its own scans")
    from ich_seq.cli.paper_rows import claim, table_config
    from ich_seq.cli.rows_at_once import on_processor
    from ich_seq.files import held

    on_processor(device)  # which says where the device is not there, before anything is made
    config = table_config(config_name or (QUICK if quick else TABLE), size, visits, pretrained=pretrained)
    with held(out):
        claim(out, config, table_path)
        shared = _shared(out, config, (table_path, root), (device, jobs), quiet=quiet or as_json)
        failed = _make(shared, names, quiet=quiet or as_json)
        finished = _finished(shared, failed)
        if finished:
            table = _write(shared, finished, failed)
            _tell(table, out, as_json=as_json, quiet=quiet)
    if failed:
        raise SomeRowsFailedError(
            f"{len(failed)} of {len({*names, *failed})} rows failed: {', '.join(failed)}; the same command tries them again"
        )


def _make(shared: "Shared", names: list[str], *, quiet: bool) -> dict[str, str]:
    """Makes the rows, and returns the errors of those that failed."""
    from ich_seq.cli.rows_at_once import made_rows

    failed: dict[str, str] = {}
    for row in made_rows(shared, names, quiet=quiet):
        if row.failed:
            failed[row.name] = row.failed
            click.echo(printable(f"{row.name} failed: {row.failed}"), err=True)
        else:
            _say(quiet, f"{row.name}: done, {minutes_and_seconds(row.seconds)}")
    return failed


def _finished(shared: "Shared", failed: dict[str, str]) -> "list[FinishedRow]":
    """Every finished row in the folder, asked for now or before; adds to `failed` those that cannot be used."""
    from ich_seq.cli.paper_rows import refuse_other_method
    from ich_seq.evaluation.finished_rows import is_finished, read_row
    from ich_seq.evaluation.paper_rows import ROWS
    from ich_seq.manifest.table import read_table

    slices = read_table(shared.table_path)
    found = []
    for name in (row.config for row in ROWS):
        if name in failed or not is_finished(shared.row_folder(name)):
            continue
        try:
            refuse_other_method(shared, name, slices)
            found.append(read_row(shared.row_folder(name)))
        except (DatasetError, UsageError) as error:
            failed[name] = error.message
            click.echo(printable(f"{name} failed: {error.message}"), err=True)
    return found


def _chosen(rows: tuple[str, ...], *, quick: bool) -> list[str]:
    """The rows that were asked for, in the table's order.

    Raises:
        UsageError: there is no such row.
    """
    from ich_seq.evaluation.paper_rows import QUICK_ROWS, ROWS

    known = [row.config for row in ROWS]
    if unknown := [name for name in rows if name not in known]:
        raise UsageError(f"--rows {unknown[0]}: no such row; choose among {', '.join(known)}")
    wanted = rows or (QUICK_ROWS if quick else known)
    return [name for name in known if name in wanted]


def _shared(
    out: Path, config: "Config", given: tuple[Path | None, Path | None], compute: tuple[str, int], *, quiet: bool
) -> "Shared":
    """The table of slices that was given, or that of the config's synthetic scans, which are made where they are not there."""
    from ich_seq.cli.paper_rows import Shared, images_of
    from ich_seq.cli.pipeline import cohort_and_table

    table_path, root = given
    if table_path is None:
        _say(quiet, "Synthetic scans")
        root, table_path, sentence = cohort_and_table(config, out, compute[1], quiet=quiet)
        _say(quiet, sentence)
    return Shared(out, config, table_path, images_of(table_path, root), *compute)


def _write(shared: "Shared", finished: "list[FinishedRow]", failed: dict[str, str]) -> "PaperTable":
    """The page, the same in Markdown, and the values."""
    from ich_seq.cli.paper_rows import prevalence, shared_words
    from ich_seq.evaluation.paper_table import About, paper_table
    from ich_seq.files import write_json, write_text
    from ich_seq.manifest.table import read_table
    from ich_seq.report.papers_page import papers_markdown, render_papers_page

    slices = read_table(shared.table_path)
    about = About(shared.config.name, shared_words(shared.config, slices), failed)
    table = paper_table(finished, prevalence(slices), about)
    write_text(shared.out / "papers.html", render_papers_page(table, [row.entry for row in finished]))
    write_text(shared.out / "papers.md", papers_markdown(table))
    write_json(shared.out / "papers.json", table.model_dump(mode="json"))
    return table


def _tell(table: "PaperTable", out: Path, *, as_json: bool, quiet: bool) -> None:
    from ich_seq.report.papers_text import ONE_FIT, conclusions, verdict_lines

    if as_json:
        click.echo(json.dumps(table.model_dump(mode="json"), indent=2))
    elif not quiet:
        click.echo("\n".join(["", *verdict_lines(table), "", *conclusions(table), ONE_FIT]))
        click.echo(f"\nWritten to {out}: papers.html, papers.md, papers.json")


def _say(quiet: bool, text: str) -> None:
    if not quiet:
        click.echo(text)
