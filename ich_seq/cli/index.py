"""`ichseq index`: a dataset's headers and labels as one table of slices, split by patient."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ich_seq.cli import options

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
@click.option("--jobs", type=click.IntRange(min=0), default=0, show_default="all cores", help="Processes that read.")
@options.quiet
def index(dataset: str, root: Path, out: Path, *, jobs: int, quiet: bool, **chosen: Any) -> None:
    """Read a dataset's headers and labels into one table of slices, split by patient.

    DATASET is `rsna2019`, `cq500`, `ct_ich`, `bhsd`, `phantom` for what `ichseq phantom` writes, or `own`: any folder of DICOM
    or NIfTI with a CSV of labels.
    """
    from ich_seq.errors import UsageError
    from ich_seq.files import make_folder, write_json
    from ich_seq.manifest.description import load_description
    from ich_seq.manifest.index import IndexChoices, index_dataset, split_record, summarise
    from ich_seq.manifest.table import write_table

    split = _split(chosen)
    load_description(dataset)
    if out.suffix != ".parquet":
        raise UsageError(f"{out}: the table is a Parquet file; name it with --out NAME.parquet")
    make_folder(out.parent)
    with click.progressbar(length=1, label="reading headers", file=sys.stderr, hidden=quiet) as bar:

        def advance(done: int, total: int) -> None:
            bar.length = total
            bar.update(done - bar.pos)

        choices = IndexChoices(chosen["labels"], chosen["exclude"], jobs)
        table, notes = index_dataset(dataset, root, split, choices, advance)
    write_table(table, out)
    record = split_record(table, split)
    write_json(out.with_suffix(".split.json"), record)
    if not quiet:
        for note in notes:
            click.echo(f"note: {note}", err=True)
        click.echo(f"{summarise(table)}\nsplit {record['rule']}, digest {record['digest'][:16]}\n{out}")


def _split(chosen: dict[str, Any]) -> "SplitConfig":
    """The config's split with what the command line changes."""
    from ich_seq.config import SplitConfig, load_config
    from ich_seq.errors import UsageError

    split = load_config(chosen["config_name"]).split if chosen["config_name"] else SplitConfig()
    changes = {name: chosen[name] for name in ("seed", "folds") if chosen[name] is not None}
    if chosen["folds"] is not None:
        if chosen["fold"] >= chosen["folds"]:
            raise UsageError(f"--fold {chosen['fold']} is not below --folds {chosen['folds']}; folds count from 0")
        changes["fold"] = chosen["fold"]
    return split.model_copy(update=changes)
