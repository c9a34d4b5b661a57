"""`ichseq submit`: the challenge's submission file."""

from pathlib import Path

import click

from ich_seq.cli import options


@click.command()
@click.option("--model", required=True, type=click.Path(path_type=Path), help="Folder of a model bundle.")
@click.option(
    "--root",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    required=True,
    help="Folder that holds the dataset, in its published layout.",
)
@click.option(
    "--dataset", default="rsna2019", show_default=True, help="Dataset whose images without labels are scored."
)
@click.option(
    "--sample",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The sample submission, where it lies elsewhere or has another name.",
)
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), required=True, help="The submission to write (.csv)."
)
@options.device
@options.jobs
@options.quiet
def submit(
    model: Path, root: Path, dataset: str, sample: Path | None, out: Path, device: str, jobs: int, quiet: bool
) -> None:
    """Score the images that a dataset gives without labels and write Kaggle's submission file, checked against the sample.

    Interrupted, it continues where it was when the same command is run again.
    """
    from ich_seq.cli.progress import counting
    from ich_seq.errors import DatasetError
    from ich_seq.evaluation.submission import read_sample, read_unlabelled, write_submission
    from ich_seq.files import make_folder
    from ich_seq.manifest.description import load_description
    from ich_seq.model.runtime import Compute
    from ich_seq.study.model import load_model

    description = load_description(dataset)
    if sample is None:
        if description.layout.sample_submission is None:
            raise DatasetError(f"{dataset}: has no sample submission; name one with --sample")
        sample = root / description.layout.sample_submission
    read_sample(sample)
    make_folder(out.parent)
    loaded = load_model(model, Compute(device, jobs))
    with counting("reading headers", "files", quiet=quiet) as on_file:
        table = read_unlabelled(description, root, jobs, on_file)
    with counting("scoring", "series", quiet=quiet) as on_series:
        rows = write_submission(loaded, table, root, sample, out, on_series)
    if not quiet:
        click.echo(
            f"{rows:,} rows of {len(table):,} images in {table['series_instance_uid'].nunique():,} series: {out}"
        )
