"""`ichseq train-cnn`, `extract-features` and `train-lstm`: the three steps from a table of slices to a model."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ich_seq.cli import options
from ich_seq.cli.steps import begin_run, continue_run, in_precision
from ich_seq.cli.terminal import printable
from ich_seq.errors import UsageError
from ich_seq.training import ranks

if TYPE_CHECKING:
    from ich_seq.embeddings.stage import FeaturesReport
    from ich_seq.training.compute import Precision


def _shard(_ctx: click.Context, _parameter: click.Parameter, value: str | None) -> tuple[int, int] | None:
    """`2/3` as (2, 3)."""
    if value is None:
        return None
    index, _, of = value.partition("/")
    if not (index.isdecimal() and of.isdecimal() and 1 <= int(index) <= int(of)):
        raise click.BadParameter("give I/N with I from 1 to N, such as 2/3")
    return int(index), int(of)


def _pem(name: str, text: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    return click.option(name, type=click.Path(exists=True, dir_okay=False, path_type=Path), help=text)


@click.command("train-cnn")
@options.config
@options.table
@options.root
@click.option(
    "--tiles",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder that `ichseq cache-tiles` filled; read instead of the images.",
)
@options.run
@options.device
@options.jobs
@options.quiet
def train_cnn(
    config_name: str,
    table_path: Path,
    root: Path | None,
    tiles: Path | None,
    run_folder: Path,
    device: str,
    jobs: int,
    quiet: bool,
) -> None:
    """Train stage one, the slice classifier, in the folder --run.

    Interrupted, it continues where it was when the same command is run again, with the same result.
    """
    context = begin_run(run_folder, config_name, table_path, root, device, jobs)
    from ich_seq.cli.stages import run_train_cnn

    started = time.monotonic()
    run_train_cnn(context, quiet=quiet, tiles=tiles)
    _say(quiet, f"Stage one is trained ({_minutes(started)}). Next: ichseq extract-features --run {run_folder}")


@click.command("extract-features")
@options.run
@click.option(
    "--shard",
    metavar="I/N",
    callback=_shard,
    help="Do only every N-th series, beginning with the I-th, 1/N to N/N; without it the command then makes the whole of all.",
)
@click.option("--dask", metavar="ADDRESS", help="Let the workers of a Dask cluster compute: its scheduler's address.")
@_pem("--tls-ca", "Mutual TLS with the cluster: certificate of the authority (PEM).")
@_pem("--tls-cert", "Mutual TLS: own certificate.")
@_pem("--tls-key", "Mutual TLS: own key.")
@click.option(
    "--precision",
    type=click.Choice(["auto", "fp32", "bf16"]),
    help="Of stage one's network; auto takes bf16 on a GPU that has it and fp32 on a processor, with --dask what this machine has.  "
    "[default: features.precision of the config]",
)
@options.device
@options.jobs
@options.quiet
def extract_features(
    run_folder: Path,
    shard: tuple[int, int] | None,
    dask: str | None,
    tls_ca: Path | None,
    tls_cert: Path | None,
    tls_key: Path | None,
    precision: "Precision | None",
    device: str,
    jobs: int,
    quiet: bool,
) -> None:
    """Run stage one over every series of the run, keep the embeddings, fit the PCA on training patients.

    Interrupted, it continues where it was when the same command is run again. On several machines that see the same folders: torchrun,
    --shard on each, or --dask, whose workers must see the run's folder and the images under the same paths.
    """
    if shard and (dask or ranks.world() > 1):
        raise UsageError("--shard, --dask and torchrun each divide the series; choose one")
    if dask is None and (tls_ca or tls_cert or tls_key):
        raise UsageError("--tls-ca, --tls-cert and --tls-key go with --dask")
    context = in_precision(continue_run(run_folder, device, jobs), precision)
    from ich_seq.cli.stages import run_extract_features, run_extract_share

    started = time.monotonic()
    if shard:
        done = run_extract_share(context, shard[0] - 1, shard[1], quiet=quiet)
        _say(
            quiet,
            f"Shard {shard[0]} of {shard[1]} is done: {done.computed} series computed, {done.already_there} there already "
            f"({_minutes(started)}). When all are: ichseq extract-features --run {run_folder}",
        )
        return
    cluster = None
    if dask is not None:
        from ich_seq.embeddings.cluster import Cluster

        cluster = Cluster(dask, tls_ca, tls_cert, tls_key, context.threads)
    report = run_extract_features(context, quiet=quiet, cluster=cluster)
    if report is not None:
        _say(quiet, _extracted(report, _minutes(started), run_folder))
        for line in report.extraction.unreadable:
            click.echo(printable(f"left out: {line}"), err=True)


def _extracted(report: "FeaturesReport", took: str, run_folder: Path) -> str:
    extraction = report.extraction
    return (
        f"{report.cache.index.rows} slices of {len(report.cache.index.parts)} series are in the cache "
        f"({extraction.computed} series computed, {extraction.already_there} there already; {took}). "
        f"PCA keeps {report.variance_kept:.1%} of the variance. Next: ichseq train-lstm --run {run_folder}"
    )


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
