"""`ichseq compare`: several runs or evaluations on one page."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ich_seq.cli import options
from ich_seq.cli.terminal import printable

if TYPE_CHECKING:
    from ich_seq.evaluation.comparison import Comparison


@click.command()
@click.argument(
    "folders",
    nargs=-1,
    required=True,
    metavar="RUN_OR_EVALUATION...",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
)
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="Folder for what is written."
)
@options.as_json
@options.quiet
def compare(folders: tuple[Path, ...], out: Path, *, as_json: bool, quiet: bool) -> None:
    """Put several models side by side: figures with intervals, ROC, cost, and what their papers printed.

    Each folder is a run that `ichseq evaluate --run` measured, or the --out of `ichseq evaluate --model`. Differences are taken from
    the first one, on the same resamples of patients, where all were measured on the same slices.
    """
    from ich_seq.evaluation.comparison import compare as compare_entries
    from ich_seq.evaluation.comparison import read_entry
    from ich_seq.files import make_folder, write_json, write_text
    from ich_seq.report.comparison_page import comparison_markdown, render_comparison_page

    entries = [read_entry(folder) for folder in folders]
    found = compare_entries(entries)
    content = found.model_dump(mode="json")
    make_folder(out)
    write_text(out / "comparison.html", render_comparison_page(found, entries))
    write_text(out / "comparison.md", comparison_markdown(found))
    write_json(out / "comparison.json", content)
    if as_json:
        click.echo(json.dumps(content, indent=2))
    elif not quiet:
        click.echo(_text(found))
        click.echo(f"\nWritten to {out}: comparison.html, comparison.md, comparison.json")


def _text(found: "Comparison") -> str:
    from ich_seq.evaluation.table import aligned
    from ich_seq.report.evaluation_parts import shown

    rows = [("", "system", "AUC any", "against the first", "weighted log loss")]
    for each in found.systems:
        against = "" if each.auc_difference is None else shown(each.auc_difference, "+")
        system = f"{each.system} (did not learn)" if each.learnt is False else each.system
        rows.append((printable(each.entry), system, shown(each.auc[-1]), against, shown(each.weighted_log_loss)))
    same = [] if found.same_slices else ["Not measured on the same slices: no differences are given."]
    return "\n".join([*aligned(rows), "", *same, "Brackets: 95 % intervals, resampling patients."])
