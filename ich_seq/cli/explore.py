"""`ichseq explore`: a dataset at a glance, as one page."""

from pathlib import Path

import click

from ich_seq.cli import options


@click.command()
@options.table
@options.root
@click.option("--config", "config_name", default="burduja2020", show_default=True, help="Show its windows.")
@click.option("--sample", type=click.IntRange(min=2), default=200, show_default=True, help="Slices and series to read.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the sample.")
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("explore.html"),
    show_default=True,
    help="The page to write.",
)
@options.quiet
def explore(
    table_path: Path, root: Path | None, config_name: str, sample: int, seed: int, out: Path, quiet: bool
) -> None:
    """Draw a dataset's labels, geometry, HU, windows and one header as one self-contained HTML page.

    Nothing that names a person is put on the page.
    """
    from ich_seq.cli.progress import counting
    from ich_seq.config import load_config
    from ich_seq.evaluation.exploration import explore as look
    from ich_seq.files import make_folder, write_text
    from ich_seq.manifest.table import read_table
    from ich_seq.report.exploration_page import render_exploration_page

    windows = load_config(config_name).preprocess.windows
    table = read_table(table_path)
    make_folder(out.parent)
    base = (root or Path(table.attrs.get("root", ""))).resolve()
    with counting("reading slices", "slices", quiet=quiet) as on_slice:
        found = look(table, base, sample, seed, on_slice)
    write_text(out, render_exploration_page(found, windows))
    if not quiet:
        totals = ", ".join(f"{count:,} {name}" for name, count in found.totals.items())
        click.echo(f"{found.dataset}: {totals}\nPage to open: {out}")
