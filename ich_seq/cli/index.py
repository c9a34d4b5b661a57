"""`ichseq index`: a dataset's headers and labels as one table of slices, split by patient."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ich_seq.cli import options
from ich_seq.cli.terminal import printable

if TYPE_CHECKING:
    from ich_seq.config import SplitConfig


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
@click.option(
    "--folds", type=click.IntRange(min=2), help="Divide the patients into so many folds, one of them held out."
)
@click.option("--fold", type=click.IntRange(min=0), default=0, show_default=True, help="Which fold is held out.")
@click.option(
    "--labels",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The file of labels, where it lies elsewhere or has another name.",
)
@click.option(
    "--exclude",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    multiple=True,
    help="Leave out the patients of this table; may be given again.",
)
@options.processes
@options.quiet
def index(
    dataset: str,
    root: Path,
    out: Path,
    *,
    config_name: str | None,
    seed: int | None,
    folds: int | None,
    fold: int,
    labels: Path | None,
    exclude: tuple[Path, ...],
    jobs: int,
    quiet: bool,
) -> None:
    """Read a dataset's headers and labels into one table of slices, split by patient.

    DATASET is `rsna2019`, `cq500`, `ct_ich`, `bhsd`, `phantom` for what `ichseq phantom` writes, or `own`: any folder of DICOM
    or NIfTI with a CSV of labels.
    """
    from ich_seq.cli.progress import counting
    from ich_seq.errors import UsageError
    from ich_seq.files import make_folder, write_json
    from ich_seq.manifest.description import load_description
    from ich_seq.manifest.index import IndexChoices, index_dataset, split_record, summarise
    from ich_seq.manifest.table import write_table

    split = _split(config_name, seed, folds, fold)
    load_description(dataset)
    if out.suffix != ".parquet":
        raise UsageError(f"{out}: the table is a Parquet file; name it with --out NAME.parquet")
    make_folder(out.parent)
    with counting("reading headers", "files", quiet=quiet) as on_file:
        table, notes = index_dataset(dataset, root, split, IndexChoices(labels, exclude, jobs), on_file)
    write_table(table, out)
    record = split_record(table, split)
    write_json(out.with_suffix(".split.json"), record)
    if not quiet:
        for note in notes:
            click.echo(printable(f"note: {note}"), err=True)
        click.echo(f"{summarise(table)}\nsplit {record['rule']}, digest {record['digest'][:16]}\n{out}")


def _split(config_name: str | None, seed: int | None, folds: int | None, fold: int) -> "SplitConfig":
    """The config's split with what the command line changes."""
    from ich_seq.config import SplitConfig, load_config
    from ich_seq.errors import UsageError

    split = load_config(config_name).split if config_name else SplitConfig()
    if fold and folds is None:
        raise UsageError(f"--fold {fold} needs --folds: into how many the patients are divided")
    changes = {} if seed is None else {"seed": seed}
    if folds is not None:
        if fold >= folds:
            raise UsageError(f"--fold {fold} is not below --folds {folds}; folds count from 0")
        changes |= {"folds": folds, "fold": fold}
    return split.model_copy(update=changes)
