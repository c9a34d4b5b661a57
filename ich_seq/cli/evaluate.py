"""`ichseq evaluate`: a run on its held-out patients, or a model on any table."""

import json
from pathlib import Path

import click

from ich_seq.cli import options
from ich_seq.errors import UsageError

_WRITTEN = "evaluation.html, evaluation.json, table.md, scores.csv"


@click.command()
@click.option(
    "--run",
    "run_folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of the run whose held-out patients are measured.",
)
@click.option(
    "--model",
    type=click.Path(path_type=Path),
    help="Folder of a model bundle or an ensemble, to be measured on --table.",
)
@click.option(
    "--table",
    "table_path",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="With --model: a table that `ichseq index` wrote, of any dataset.",
)
@options.root
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), help="With --model: folder for what is written."
)
@options.training_tables
@click.option(
    "--allow-training-patients",
    is_flag=True,
    help="With --model: evaluate although patients taught the model, or may have; every output says so.",
)
@options.device
@options.jobs
@options.as_json
@options.quiet
def evaluate(
    run_folder: Path | None,
    model: Path | None,
    table_path: Path | None,
    root: Path | None,
    out: Path | None,
    *,
    training_tables: tuple[Path, ...],
    allow_training_patients: bool,
    device: str,
    jobs: int,
    as_json: bool,
    quiet: bool,
) -> None:
    """Measure both stages with 95 % intervals from resampling patients.

    With --run on the run's held-out patients, beside three floors that use no network: the prevalence, the slice's position, its
    HU histogram. With --model and --table on another dataset, with the thresholds and the calibration that the model ships;
    interrupted, the same command continues.
    """
    optional = {"--root": root, "--training-table": training_tables[0] if training_tables else None}
    optional["--allow-training-patients"] = Path() if allow_training_patients else None
    _check_form(run_folder, model, {"--table": table_path, "--out": out}, optional)
    from ich_seq.cli.stages import ExternalTable, run_evaluate, run_evaluate_model
    from ich_seq.evaluation.table import text_table

    silent = quiet or as_json
    if run_folder is not None:
        from ich_seq.cli.steps import continue_run

        evaluation, folder = run_evaluate(continue_run(run_folder, device, jobs), quiet=silent)
    elif model is not None and table_path is not None and out is not None:
        asked = ExternalTable(table_path, root, training_tables, allow_training_patients)
        evaluation, folder = run_evaluate_model(model, asked, out, (device, jobs), quiet=silent)
    else:
        raise UsageError("give --run RUN, or --model MODEL --table TABLE --out DIR")
    if as_json:
        click.echo(json.dumps(evaluation.model_dump(mode="json"), indent=2))
    elif not quiet:
        click.echo(f"{text_table(evaluation)}\n\nWritten to {folder}: {_WRITTEN}")


def _check_form(
    run: Path | None, model: Path | None, needed: dict[str, Path | None], optional: dict[str, Path | None]
) -> None:
    """Nothing, when exactly one of the two forms was asked for.

    Raises:
        UsageError: neither or both, a flag that the form needs is missing, or one of the other form is there.
    """
    if (run is None) == (model is None):
        raise UsageError(
            "give either --run RUN (its held-out patients) or --model MODEL --table TABLE --out DIR (any table), "
            f"{'not both' if run else 'one of the two'}"
        )
    if model is not None:
        if missing := [name for name, value in needed.items() if value is None]:
            raise UsageError(f"--model needs {' and '.join(missing)} too")
    elif wrong := [name for name, value in (needed | optional).items() if value is not None]:
        raise UsageError(f"{', '.join(wrong)} belongs to --model; a run has its own table and folder")
