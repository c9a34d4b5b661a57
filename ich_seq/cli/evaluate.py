"""`ichseq evaluate`: both stages on held-out patients, beside three floors."""

import json
from pathlib import Path

import click

from ich_seq.cli import options
from ich_seq.cli.steps import continue_run


@click.command()
@options.run
@options.device
@options.jobs
@options.as_json
@options.quiet
def evaluate(run_folder: Path, device: str, jobs: int, as_json: bool, quiet: bool) -> None:
    """Measure both stages of a run on its held-out patients, with 95 % intervals from resampling patients.

    Beside them stand three floors that use no network: the prevalence, the slice's position, its HU histogram.
    """
    context = continue_run(run_folder, device, jobs)
    from ich_seq.cli.stages import run_evaluate
    from ich_seq.evaluation.table import text_table

    evaluation, folder = run_evaluate(context, quiet=quiet or as_json)
    if as_json:
        click.echo(json.dumps(evaluation.model_dump(mode="json"), indent=2))
    elif not quiet:
        click.echo(
            f"{text_table(evaluation)}\n\nWritten to {folder}: evaluation.html, evaluation.json, table.md, scores.csv"
        )
