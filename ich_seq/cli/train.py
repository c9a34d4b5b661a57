"""`ichseq train-cnn`, `extract-features` and `train-lstm`: the three steps from a table of slices to a model."""

import time
from pathlib import Path

import click

from ich_seq.cli import options
from ich_seq.cli.steps import begin_run, continue_run


@click.command("train-cnn")
@options.config
@options.table
@options.root
@options.run
@options.device
@options.jobs
@options.quiet
def train_cnn(
    config_name: str, table_path: Path, root: Path | None, run_folder: Path, device: str, jobs: int, quiet: bool
) -> None:
    """Train stage one, the slice classifier, in the folder --run.

    Interrupted, it continues where it was when the same command is run again, with the same result.
    """
    context = begin_run(run_folder, config_name, table_path, root, device, jobs)
    from ich_seq.cli.stages import run_train_cnn

    started = time.monotonic()
    run_train_cnn(context, quiet=quiet)
    _say(quiet, f"Stage one is trained ({_minutes(started)}). Next: ichseq extract-features --run {run_folder}")


@click.command("extract-features")
@options.run
@options.device
@options.jobs
@options.quiet
def extract_features(run_folder: Path, device: str, jobs: int, quiet: bool) -> None:
    """Run stage one over every series of the run, keep the embeddings, fit the PCA on training patients.

    Interrupted, it continues where it was when the same command is run again.
    """
    context = continue_run(run_folder, device, jobs)
    from ich_seq.cli.stages import run_extract_features

    started = time.monotonic()
    report = run_extract_features(context, quiet=quiet)
    extraction = report.extraction
    _say(
        quiet,
        f"{report.cache.index.rows} slices of {len(report.cache.index.parts)} series are in the cache "
        f"({extraction.computed} series computed, {extraction.already_there} there already; {_minutes(started)}). "
        f"PCA keeps {report.variance_kept:.1%} of the variance. Next: ichseq train-lstm --run {run_folder}",
    )
    for line in extraction.unreadable:
        click.echo(f"left out: {line}", err=True)


@click.command("train-lstm")
@options.run
@options.device
@options.jobs
@options.quiet
def train_lstm(run_folder: Path, device: str, jobs: int, quiet: bool) -> None:
    """Train stage two, the sequence network, and write the model to RUN/model.

    Stage two learns from patients that stage one never saw (`train_lstm.patients = "reserved"`), so the probabilities that it
    reads are as uncertain as they will be in use; `"all"` is the published way, which is optimistic.
    """
    context = continue_run(run_folder, device, jobs)
    from ich_seq.cli.stages import run_train_lstm

    started = time.monotonic()
    run_train_lstm(context, quiet=quiet)
    _say(
        quiet,
        f"Stage two is trained ({_minutes(started)}); the model is in {run_folder / 'model'}. "
        f"Next: ichseq evaluate --run {run_folder}",
    )


def _say(quiet: bool, text: str) -> None:
    if not quiet:
        click.echo(text)


def _minutes(started: float) -> str:
    seconds = time.monotonic() - started
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.1f} min"
