"""`ichseq ensemble`: several models as one, chosen on the validation patients of a table."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ich_seq.cli import options
from ich_seq.cli.terminal import echo_paragraph, printable
from ich_seq.errors import DatasetError, UsageError

if TYPE_CHECKING:
    from ich_seq.combining import Method, Metric
    from ich_seq.config import CalibrationMethod
    from ich_seq.evaluation.make_ensemble import ChosenOn, Made, Wish
    from ich_seq.model.members import Member

SCORES_FOLDER, CHOICE = "scored", "choice"


@click.command()
@click.argument("models", nargs=-1, required=True, metavar="MODEL_OR_RUN...", type=click.Path(path_type=Path))
@options.table
@options.root
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="Folder for the ensemble (OUT/model), how it was chosen (OUT/choice.md, .json) and the members' scores (OUT/scored).",
)
@click.option(
    "--method",
    type=click.Choice(["average", "vote", "weighted", "fitted"]),
    default="average",
    show_default=True,
    help="Mean; majority vote at each model's own thresholds; mean weighted by --metric; weights with the lowest log loss.",
)
@click.option(
    "--metric",
    type=click.Choice(["accuracy", "auc", "log_loss"]),
    help="With --method weighted: what a model's weight is in proportion to; accuracy over all labels, the others label by label.",
)
@click.option(
    "--level",
    type=click.Choice(["slice", "scan"]),
    default="slice",
    show_default=True,
    help="Choose thresholds, weights and subsets on validation slices, or on scans, the maxima over combined slices.",
)
@click.option(
    "--search", is_flag=True, help="Try every subset of the models, keep the best, and say how much of it is luck."
)
@click.option(
    "--calibration",
    type=click.Choice(["none", "temperature", "isotonic"]),
    default="temperature",
    show_default=True,
    help="How the ensemble's own scores are calibrated on the validation patients.",
)
@click.option("--name", default="ensemble", show_default=True, help="Name of the ensemble in every output.")
@options.training_tables
@click.option(
    "--allow-training-patients",
    is_flag=True,
    help="Choose although validation patients taught a model, or may have; the card says so.",
)
@options.device
@options.jobs
@options.as_json
@options.quiet
def ensemble(
    models: tuple[Path, ...],
    table_path: Path,
    root: Path | None,
    out: Path,
    *,
    method: "Method",
    metric: "Metric | None",
    level: str,
    search: bool,
    calibration: "CalibrationMethod",
    name: str,
    training_tables: tuple[Path, ...],
    allow_training_patients: bool,
    device: str,
    jobs: int,
    as_json: bool,
    quiet: bool,
) -> None:
    """Make several models one, which score-study, evaluate and explain-study take like any other.

    MODEL_OR_RUN are bundles, or runs whose models are taken; they are copied. The split `validation` of --table chooses thresholds,
    weights and calibration. Each model is scored on it once: run again, or with another --method, the command reads what is there.
    """
    _refuse_choice(len(models), method, metric, search=search)
    from ich_seq.evaluation.make_ensemble import Wish
    from ich_seq.model.members import find_members, refuse_place, write_ensemble

    members = find_members(models)
    refuse_place(out / "model", members)
    wish = Wish(method, metric, level, search, calibration, name)
    silent = quiet or as_json
    on, images = _chosen_on(members, (table_path, root), training_tables, allow_training_patients)
    made = _make(members, on, (images, out / SCORES_FOLDER), wish, (device, jobs), quiet=silent)
    write_ensemble(out / "model", made.info, made.members)
    content = _write_choice(out, made)
    if as_json:
        click.echo(json.dumps(content, indent=2))
    elif not quiet:
        _print(out, made)


def _refuse_choice(models: int, method: "Method", metric: "Metric | None", *, search: bool) -> None:
    """Nothing, unless options do not go together."""
    if (method == "weighted") != (metric is not None):
        raise UsageError("--metric goes with --method weighted, which needs one: accuracy, auc or log_loss")
    if search and models < 2:
        raise UsageError("--search needs two models at least")
    if search and method == "fitted":
        raise UsageError(
            "--method fitted leaves out by a weight of 0 whom it does not need; --search goes with the other methods"
        )


def _chosen_on(
    members: "list[Member]", table_at: tuple[Path, Path | None], named: tuple[Path, ...], allow: bool
) -> "tuple[ChosenOn, Path]":
    """The validation rows on which the ensemble is chosen, and the folder of their images."""
    from ich_seq.cli.steps import image_folder
    from ich_seq.cli.teachers import training_tables_of
    from ich_seq.evaluation.make_ensemble import ChosenOn
    from ich_seq.evaluation.overlap import rows_to_choose_on
    from ich_seq.files import sha256_of
    from ich_seq.manifest.table import read_table

    path, root = table_at
    table, digest = read_table(path), sha256_of(path)
    known = training_tables_of([member.info.trained_on for member in members], [each.folder for each in members], named)
    teachers = [(str(member.folder), teacher) for member, teacher in zip(members, known, strict=True)]
    try:
        scope = rows_to_choose_on(teachers, table, digest, allow)
    except DatasetError as error:
        error.message = f"{path}: {error.message}"
        raise
    return ChosenOn(digest, scope), image_folder(table, root)


def _make(
    members: "list[Member]",
    on: "ChosenOn",
    places: tuple[Path, Path],
    wish: "Wish",
    compute: tuple[str, int],
    *,
    quiet: bool,
) -> "Made":
    """`places` are the images' folder and the scores'; `compute` are device and threads."""
    from ich_seq.cli.progress import counting
    from ich_seq.evaluation.make_ensemble import make_ensemble
    from ich_seq.evaluation.member_scores import score_members
    from ich_seq.model.runtime import Compute
    from ich_seq.study.model import load_model

    with counting(f"scoring with {len(members)} models", "series", quiet=quiet) as on_series:
        scored = score_members(
            members, lambda member: load_model(member.folder, Compute(*compute)), on.scope.rows, *places, on_series
        )
    for line in scored.unreadable:
        click.echo(printable(f"left out: {line}"), err=True)
    return make_ensemble(members, scored, on, wish)


def _write_choice(out: Path, made: "Made") -> dict:
    from ich_seq.files import write_json, write_text
    from ich_seq.report.ensemble_choice import choice_markdown, choice_values

    content = choice_values(made)
    write_text(out / f"{CHOICE}.md", choice_markdown(made))
    write_json(out / f"{CHOICE}.json", content)
    return content


def _print(out: Path, made: "Made") -> None:
    from ich_seq.evaluation.table import aligned
    from ich_seq.model.card import describe_choice, describe_combination
    from ich_seq.report.ensemble_choice import figure_cells, remarks

    rows = [["", "loss by slice", "loss by scan", "AUC any by slice", "by scan"], *map(figure_cells, made.figures)]
    for line in aligned(rows):
        click.echo(printable(line))
    click.echo()
    if made.found is not None:
        kept = ", ".join(made.offered[place] for place in made.found.subsets[0].members)
        echo_paragraph(f"Best subset: {kept}.")
    for text in (describe_combination(made.info), f"Chosen on {describe_choice(made.info)}", *remarks(made)):
        echo_paragraph(text)
    click.echo(
        f"\nWritten to {out}: {CHOICE}.md, {CHOICE}.json, the members' scores, and the ensemble in {out / 'model'}"
    )
    click.echo(f"Next: ichseq score-study DIR_OR_ZIP --model {out / 'model'}")
