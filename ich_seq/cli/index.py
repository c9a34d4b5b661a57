"""`ichseq index`: a dataset's headers and labels as one table of slices, split by patient."""

import sys
from pathlib import Path

import click

from ich_seq.cli import options


@click.command()
@click.argument("dataset")
@click.option(
    "--root",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="Folder that holds the dataset, in its published layout.",
)
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), required=True, help="The table to write (.parquet)."
)
@click.option("--config", "config_name", help="Take the split's shares and seed from this config.")
@click.option("--seed", type=int, help="Seed of the split; instead of the config's.")
@click.option("--jobs", type=click.IntRange(min=0), default=0, show_default="all cores", help="Processes that read.")
@options.quiet
def index(
    dataset: str, root: Path, out: Path, *, config_name: str | None, seed: int | None, jobs: int, quiet: bool
) -> None:
    """Read a dataset's headers and labels into one table of slices, split by patient.

    DATASET is `rsna2019`, or `phantom` for what `ichseq phantom` writes.
    """
    from ich_seq.config import SplitConfig, load_config
    from ich_seq.files import make_folder
    from ich_seq.manifest.index import index_dataset, summarise
    from ich_seq.manifest.table import write_table

    split = load_config(config_name).split if config_name else SplitConfig()
    if seed is not None:
        split = split.model_copy(update={"seed": seed})
    make_folder(out.parent)
    with click.progressbar(length=1, label="reading headers", file=sys.stderr, hidden=quiet) as bar:

        def advance(done: int, total: int) -> None:
            bar.length = total
            bar.update(done - bar.pos)

        table, notes = index_dataset(dataset, root, split, jobs, advance)
    write_table(table, out)
    if not quiet:
        for note in notes:
            click.echo(f"note: {note}", err=True)
        click.echo(f"{summarise(table)}\n{out}")
