"""`ichseq export`: OpenVINO graphs and one ONNX file inside a bundle, and what each precision costs."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ich_seq.cli import options
from ich_seq.errors import UsageError

if TYPE_CHECKING:
    from ich_seq.evaluation.precision import Limits, MeasuredOn
    from ich_seq.model.exported import Exported


@click.command("export")
@click.option(
    "--run",
    "run_folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of a run: its model and its table.",
)
@click.option("--model", type=click.Path(path_type=Path), help="Folder of a model bundle, instead of --run.")
@click.option(
    "--table",
    "table_path",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="With --model: a table that `ichseq index` wrote, to calibrate and to measure with; without it nothing is measured.",
)
@options.root
@click.option(
    "--int8", is_flag=True, help="Also quantise to int8, and keep that if it loses no more than the two limits below."
)
@click.option(
    "--max-prob-change",
    type=click.FloatRange(0, 1),
    default=0.1,
    show_default=True,
    help="int8 may change a probability of a validation slice by so much.",
)
@click.option(
    "--max-auc-drop",
    type=click.FloatRange(0, 1),
    default=0.002,
    show_default=True,
    help="int8 may lower a label's AUC over the validation slices by so much.",
)
@click.option(
    "--calibration-slices",
    type=click.IntRange(min=1),
    default=300,
    show_default=True,
    help="Training slices that show int8 the ranges of activations.",
)
@click.option(
    "--validation-scans",
    type=click.IntRange(min=1),
    default=200,
    show_default=True,
    help="Validation scans to measure on, at most.",
)
@click.option("--onnx/--no-onnx", default=True, show_default=True, help="Write the whole network as one ONNX file too.")
@options.jobs
@options.as_json
@options.quiet
def export(
    run_folder: Path | None,
    model: Path | None,
    table_path: Path | None,
    root: Path | None,
    *,
    int8: bool,
    max_prob_change: float,
    max_auc_drop: float,
    calibration_slices: int,
    validation_scans: int,
    onnx: bool,
    jobs: int,
    as_json: bool,
    quiet: bool,
) -> None:
    """Make a model quick on processors: OpenVINO graphs and one ONNX file inside its bundle, HU in and probabilities out.

    `score-study` then uses them by itself, without loading torch. With --run, or --model and --table, it also measures on validation
    patients what bf16 and int8 change, and writes the figures into model.json.
    """
    folder = _folder(run_folder, model, table_path, int8)
    from ich_seq.evaluation.precision import Gate, Limits, measure_precisions
    from ich_seq.model.export import export as export_graphs
    from ich_seq.training.compute import set_threads

    def say(step: str) -> None:
        if not (quiet or as_json):
            click.echo(f"{step} ...", err=True)

    set_threads(jobs)
    on = _measured_on(run_folder, table_path, root, Limits(calibration_slices, validation_scans))
    exported = export_graphs(folder, onnx=onnx, on_step=say)
    if on is not None:
        exported = measure_precisions(folder, on, jobs, Gate(max_prob_change, max_auc_drop) if int8 else None, say)
    if as_json:
        click.echo(json.dumps(exported.model_dump(mode="json"), indent=2))
    elif not quiet:
        _print(folder, exported)


def _folder(run: Path | None, model: Path | None, table: Path | None, int8: bool) -> Path:
    """The bundle's folder.

    Raises:
        UsageError: neither or both forms, or int8 with nothing to measure it on.
    """
    if (run is None) == (model is None):
        raise UsageError("give either --run RUN, or --model MODEL (with --table TABLE to measure what precisions cost)")
    if run is not None:
        if table is not None:
            raise UsageError("--table belongs to --model; a run has its own table")
        return run / "model"
    if int8 and table is None:
        raise UsageError(
            "--int8 needs --table too: slices to calibrate with, and validation patients to measure its loss on"
        )
    return Path(str(model))


def _measured_on(run: Path | None, table_path: Path | None, root: Path | None, limits: "Limits") -> "MeasuredOn | None":
    """What to calibrate and to measure with, or None.

    Raises:
        UsageError: the run or the images' folder cannot be used.
        DatasetError: the table cannot be used.
    """
    from ich_seq.cli.steps import image_folder
    from ich_seq.evaluation.precision import rows_to_measure
    from ich_seq.files import sha256_of
    from ich_seq.manifest.table import read_table
    from ich_seq.training.run import open_run

    if run is not None:
        opened = open_run(run)
        table_path = opened.table
        indexed = opened.record().get("steps", {}).get("index", {}).get("root")
        root = root or (Path(indexed) if indexed else None)
    if table_path is None:
        return None
    table = read_table(table_path)
    return rows_to_measure(table, image_folder(table, root), sha256_of(table_path), limits)


def _print(folder: Path, exported: "Exported") -> None:
    from ich_seq.cli.export_description import export_facts
    from ich_seq.cli.terminal import echo_facts, echo_paragraph

    echo_paragraph(f"{folder / 'openvino'}: score-study uses it from now on")
    echo_facts(export_facts(exported))
