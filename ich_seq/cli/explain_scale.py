"""`ichseq explain-scale`: the scale on which `explain-study` draws, fitted on validation patients and put beside the model."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ich_seq.cli import options
from ich_seq.errors import ModelError, UsageError

if TYPE_CHECKING:
    from ich_seq.model.heat_scale import HeatScale


@click.command("explain-scale")
@click.option(
    "--run",
    "run_folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of a run: its model gets the scale, from its validation patients.",
)
@click.option("--model", type=click.Path(path_type=Path), help="Folder of a model bundle or an ensemble, with --table.")
@click.option(
    "--table",
    "table_path",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="With --model: a table that `ichseq index` wrote; its split `validation` is used.",
)
@options.root
@options.device
@options.jobs
@options.quiet
def explain_scale(
    run_folder: Path | None,
    model: Path | None,
    table_path: Path | None,
    root: Path | None,
    device: str,
    jobs: int,
    quiet: bool,
) -> None:
    """Fit the scale of explanations: per label the 99th percentile of heat on validation slices that have it.

    Writes explain.json into the model's folder, of an ensemble into each member's; the model itself, its name and its scores stay
    as they are.
    """
    if (run_folder is None) == (model is None) or (model is None) != (table_path is None):
        raise UsageError("give either --run RUN, or --model MODEL --table TABLE")
    from ich_seq.cli.progress import counting
    from ich_seq.cli.steps import image_folder
    from ich_seq.evaluation.heat_scale import fit_heat_scale
    from ich_seq.manifest.table import read_table
    from ich_seq.model.heat_scale import write_heat_scale
    from ich_seq.model.runtime import Compute
    from ich_seq.model.torch_backend import TorchModel
    from ich_seq.study.model import load_model

    if run_folder is not None:
        from ich_seq.cli.steps import continue_run

        context = continue_run(run_folder, device, jobs)
        folder, table, images = context.run.model, context.table, root or context.root
    else:
        folder, table = Path(str(model)), read_table(Path(str(table_path)))
        images = image_folder(table, root)
    for own in _bundles(folder):
        loaded = load_model(own, Compute(device, jobs))
        if not isinstance(loaded, TorchModel):
            raise ModelError(f"{own}: not a model of two stages; explain one such model")
        with counting("maps", "series", quiet=quiet) as on_series:
            scale = fit_heat_scale(loaded, table, images, on_series)
        path = write_heat_scale(own, scale)
        if not quiet:
            _print(scale, path)
    if not quiet:
        click.echo(f"Next: ichseq explain-study DIR_OR_ZIP --model {folder} --out DIR")


def _bundles(folder: Path) -> list[Path]:
    """The folder itself, or those of its members."""
    from ich_seq.model.ensemble import is_ensemble, member_folder, read_ensemble_info

    if not is_ensemble(folder):
        return [folder]
    return [member_folder(folder, place) for place in range(len(read_ensemble_info(folder).members))]


def _print(scale: "HeatScale", path: Path) -> None:
    click.echo(f"Scale of explanations from {scale.patients} validation patients ({scale.slices} slices): {path}")
    for stage in ("one", "two"):
        known = [each for each in scale.constants if each.stage == stage]
        lacking = [each.label for each in known if each.constant is None or each.threshold is None]
        if lacking:
            click.echo(
                f"Stage {stage} has no positives, negatives or heat, so nothing is drawn, for: {', '.join(lacking)}"
            )
