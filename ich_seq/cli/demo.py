"""`ichseq demo`: the whole pipeline on synthetic scans, from making them to a report on held-out ones."""

import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click

from ich_seq.cli import options
from ich_seq.cli.terminal import minutes_and_seconds
from ich_seq.errors import UsageError

DEMO, QUICK = "demo", "demo_quick"


@dataclass
class _Clock:
    """Says each step and how long it took."""

    quiet: bool
    started: float

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        begun = time.monotonic()
        if not self.quiet:
            click.echo(f"[{minutes_and_seconds(begun - self.started)}] {title}")
        yield
        if not self.quiet:
            click.echo(f"        {time.monotonic() - begun:.0f} s")


@click.command()
@click.option(
    "--run",
    "run_folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for the scans, the weights, the evaluation, the model and the reports.  [default: runs/demo, or runs/demo_quick]",
)
@click.option("--quick", is_flag=True, help="Few scans, about a minute: shows that the installation works, no more.")
@click.option("--config", "config_name", help="Another config with a [cohort]; by default the demo's own.")
@options.device
@options.jobs
@options.quiet
def demo(run_folder: Path | None, quick: bool, config_name: str | None, device: str, jobs: int, quiet: bool) -> None:
    """Make synthetic scans, train both stages on them, evaluate on held-out patients, and score some of those.

    Interrupted, it continues where it was when the same command is run again.
    """
    from ich_seq.cli.pipeline import cohort_and_table, score_held_out
    from ich_seq.cli.stages import run_evaluate, run_extract_features, run_train_cnn, run_train_lstm
    from ich_seq.cli.steps import begin_run
    from ich_seq.config import load_config
    from ich_seq.evaluation.table import text_table

    if quick and config_name:
        raise UsageError("--quick is a config of its own; give --quick or --config, not both")
    name = config_name or (QUICK if quick else DEMO)
    run_folder = run_folder or Path("runs") / name
    config = load_config(name)
    clock = _Clock(quiet, time.monotonic())
    with clock.step("Synthetic scans"):
        root, table_path, sentence = cohort_and_table(config, run_folder, jobs, quiet=quiet)
        _say(quiet, sentence)
    context = begin_run(run_folder, name, table_path, root, device, jobs)
    with clock.step("Stage one: a slice classifier learns to tell bleeds, slice by slice"):
        run_train_cnn(context, quiet=quiet)
    with clock.step("Embeddings of every slice, and their PCA"):
        run_extract_features(context, quiet=quiet)
    with clock.step("Stage two: an LSTM learns to read whole scans, on patients that stage one never saw"):
        run_train_lstm(context, quiet=quiet)
    with clock.step("Evaluation on held-out patients"):
        evaluation, _ = run_evaluate(context, quiet=quiet)
    with clock.step("Scoring held-out scans as one would score any scan"):
        reports = score_held_out(context)
    if not quiet:
        click.echo(f"\n{text_table(evaluation)}\n")
        for report in reports:
            click.echo(report.sentence)
        click.echo(f"\nModel: {context.run.model}\nReport to open: {reports[0].page}")
        click.echo(
            f"Everything took {minutes_and_seconds(time.monotonic() - clock.started)}. Score a scan of your own:"
        )
        click.echo(f"  {_ichseq()} score-study DIR_OR_ZIP --model {context.run.model} --out scored")
        click.echo("This model knows synthetic heads only: what it says of a real one means nothing.")


def _ichseq() -> str:
    """How to call ichseq again: by name where the shell finds it, else by its path."""
    called = Path(sys.argv[0])
    return "ichseq" if shutil.which("ichseq") or called.name != "ichseq" else os.path.relpath(called)


def _say(quiet: bool, text: str) -> None:
    if not quiet:
        click.echo(text)
