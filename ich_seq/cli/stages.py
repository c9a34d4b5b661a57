"""The steps of a run with their progress on the terminal; `ichseq demo` runs the same ones in a row.

Each imports what it needs itself: torch, torchvision, scikit-learn and matplotlib together take seconds.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ich_seq.cli.progress import FitProgress, counting, fitting
from ich_seq.cli.seeds import note_of, spread_line
from ich_seq.cli.steps import StepContext, begin_tiles, image_folder
from ich_seq.cli.teachers import training_tables_of
from ich_seq.cli.terminal import printable
from ich_seq.errors import DatasetError, OutputError
from ich_seq.files import make_folder, sha256_of, write_json, write_text
from ich_seq.labels import LABEL_NAMES
from ich_seq.training import ranks

HELD_OUT_KEY = "held-out"
"""Names the section of the model card on the patients that the run held out."""

if TYPE_CHECKING:
    import pandas as pd

    from ich_seq.config import TrainCnnConfig, TrainLstmConfig
    from ich_seq.embeddings.cluster import Cluster
    from ich_seq.embeddings.extract import ExtractionReport
    from ich_seq.embeddings.stage import FeaturesReport
    from ich_seq.evaluation.data import EvaluationInput
    from ich_seq.evaluation.result import Evaluation
    from ich_seq.training.loop import FitResult


def run_train_cnn(context: StepContext, *, quiet: bool, tiles: Path | None = None) -> "FitResult":
    """Stage one to its end, from the images or from the tile cache in `tiles`; what it did is noted in run.json."""
    from ich_seq.slices.train import WEIGHTS_FILE, train_cnn

    run, started = context.run, time.monotonic()
    splits = ("stage_one",) if run.config.train_lstm.patients == "reserved" else ("stage_one", "stage_two")
    origin = begin_tiles(context, tiles)
    slices = int(context.table["split"].isin(splits).sum())
    with fitting("stage one", slices, "slices", quiet=quiet) as on_progress:
        result = train_cnn(run.config, context.table, origin, run.stage_one, context.device, on_progress)
    _draw_curves(run.stage_one, f"Stage one of {run.config.name}", run.config.train_cnn)
    digest = sha256_of(run.stage_one / WEIGHTS_FILE)
    _note_fit(context, "train-cnn", result, digest, time.monotonic() - started, {})
    return result


def run_extract_features(
    context: StepContext, *, quiet: bool, cluster: "Cluster | None" = None
) -> "FeaturesReport | None":
    """The embedding cache and the PCA of the run; None from all but the first of several processes.

    The seconds noted are those of the call that computed; it also notes how many series it found there already.
    """
    from ich_seq.embeddings.stage import extract_features, extract_features_on

    run, table, root, started = context.run, context.table, context.root, time.monotonic()
    with counting("embeddings", "series", quiet=quiet) as on_series:
        if cluster is None:
            report = extract_features(run, table, root, context.device, on_series)
        else:
            report = extract_features_on(cluster, run, table, root, on_series)
    if report is None:
        return None
    digest = sha256_of(run.features / "index.json")
    before = run.record().get("steps", {}).get("extract-features", {})
    known = before.get("index_sha256") == digest and not report.extraction.computed
    facts = {
        "device": context.device,
        "threads": context.threads,
        "seconds": before["seconds"] if known else round(time.monotonic() - started, 1),
        "series_from_before": before.get("series_from_before", 0) if known else report.extraction.already_there,
        "precision": report.extraction.precision,
        "slices": report.cache.index.rows,
        "index_sha256": digest,
        "unreadable": len(report.extraction.unreadable),
        "variance_kept": report.variance_kept,
    }
    run.note("extract-features", facts)
    return report


def run_extract_share(context: StepContext, index: int, of: int, *, quiet: bool) -> "ExtractionReport":
    """The embeddings of every `of`-th series, beginning with number `index` from 0; the cache is not finished."""
    from ich_seq.embeddings.extract import Share
    from ich_seq.embeddings.stage import extract_share

    with counting(f"embeddings, shard {index + 1} of {of}", "series", quiet=quiet) as on_series:
        return extract_share(context.run, context.table, context.root, context.device, on_series, Share(index, of))


def run_train_lstm(context: StepContext, *, quiet: bool) -> "FitResult":
    """Stage two to its end, and the model bundle."""
    from ich_seq.embeddings.extract import open_current_cache
    from ich_seq.embeddings.reduced import read_reduced
    from ich_seq.evaluation.calibrate import fit_calibration, fit_thresholds
    from ich_seq.evaluation.held_out import validation_scores
    from ich_seq.model.assemble import Fitted, assemble
    from ich_seq.sequence.dataset import label_scans
    from ich_seq.sequence.seeds import keep_best, train_seeds
    from ich_seq.slices.train import load_cnn

    run, started = context.run, time.monotonic()
    cache = open_current_cache(run.features, load_cnn(run.config, run.stage_one))
    scans = label_scans(read_reduced(cache), context.table)
    split_of = context.table.drop_duplicates("series_instance_uid").set_index("series_instance_uid")["split"]
    grouped = {
        split: [scan for uid, scan in scans.items() if split_of[uid] == split]
        for split in ("stage_one", "stage_two", "validation")
    }
    reserved = run.config.train_lstm.patients == "reserved"
    taught = len(grouped["stage_two"]) + (0 if reserved else len(grouped["stage_one"]))
    count = run.config.train_lstm.seeds

    def watch(number: int) -> AbstractContextManager[Callable[[FitProgress], None]]:
        title = "stage two" if count == 1 else f"stage two, seed_{number} ({number + 1} of {count})"
        return fitting(title, taught, "scans", quiet=quiet)

    fits = train_seeds(run.config, grouped, run.stage_two, context.device, watch)
    kept = keep_best(fits, run.stage_two)
    name = f"Stage two of {run.config.name}" + (f", {kept.folder.name} of {count} seeds" if count > 1 else "")
    others = [each.folder for each in fits if each is not kept]
    _draw_curves(run.stage_two, name, run.config.train_lstm, others)
    seen = validation_scores(run, context.table)
    fitted = Fitted(fit_calibration(seen, run.config.calibration.method), fit_thresholds(seen))
    info = assemble(run, context.table, _description(context), fitted)
    _note_fit(context, "train-lstm", kept.result, info.weights_sha256, time.monotonic() - started, note_of(fits, kept))
    if count > 1 and not quiet:
        click.echo(spread_line(fits, kept))
    return kept.result


def run_evaluate(context: StepContext, *, quiet: bool) -> tuple["Evaluation", Path]:
    """The evaluation on held-out patients; JSON, a page, Markdown and the scores it rests on stay in RUN/evaluation.

    The figures go into the model's card too, where the run has written its model.
    """
    from ich_seq.evaluation.held_out import evaluate_run

    run, started = context.run, time.monotonic()
    with counting("evaluation", "slices", quiet=quiet) as on_slice:
        evaluation, data, scores = evaluate_run(run, context.table, context.root, on_slice)
    folder = make_folder(run.folder / "evaluation")
    _write_evaluation(folder, evaluation, data, scores, context.root)
    if (run.model / "model.json").exists():
        _add_to_card(run.model, evaluation, HELD_OUT_KEY)
    run.note("evaluate", {"seconds": round(time.monotonic() - started, 1), "slices": len(scores)})
    return evaluation, folder


@dataclass(frozen=True)
class ExternalTable:
    """A table to measure a model on: its path, its images' folder, tables that taught the model, and whether sharing is allowed."""

    path: Path
    root: Path | None
    training_tables: tuple[Path, ...]
    allow_training_patients: bool


def run_evaluate_model(
    model: Path, asked: ExternalTable, out: Path, compute: tuple[str, int], *, quiet: bool
) -> tuple["Evaluation", Path]:
    """A bundle or ensemble on a table: the same outputs in `out`, and a section in its card; `compute` are device and threads.

    Raises:
        DatasetError: patients taught the model, or may have; too many slices cannot be read.
        BundleError, UsageError, OutputError: the model, the images' folder or `out` cannot be used.
    """
    from ich_seq.evaluation.external import evaluate_scored, score_rows
    from ich_seq.evaluation.overlap import rows_for_all
    from ich_seq.evaluation.scoring import ScoreStore
    from ich_seq.manifest.table import read_table
    from ich_seq.model.ensemble import read_model_info
    from ich_seq.model.runtime import Compute
    from ich_seq.study.model import load_model

    info, table, digest = read_model_info(model), read_table(asked.path), sha256_of(asked.path)
    teachers = training_tables_of(info.taught_by, [model], asked.training_tables)
    try:
        scope = rows_for_all(teachers, table, digest, asked.allow_training_patients)
    except DatasetError as error:
        error.message = f"{asked.path}: {error.message}"
        raise
    root = image_folder(table, asked.root)
    store = ScoreStore(make_folder(out) / "scored.jsonl", info.digest())
    loaded = load_model(model, Compute(*compute))
    with counting("scoring", "series", quiet=quiet) as on_series:
        scored = score_rows(loaded, scope.rows, root, store, on_series)
    evaluation, data = evaluate_scored(info, scope, scored)
    _write_evaluation(out, evaluation, data, scored.scores, root)
    store.remove()
    for line in scored.unreadable:
        click.echo(printable(f"left out: {line}"), err=True)
    try:
        _add_to_card(model, evaluation, digest[:16] if scope.external or scope.training_patients else HELD_OUT_KEY)
    except OutputError as error:
        click.echo(f"the model's card stays as it is: {error.message}", err=True)
    return evaluation, out


def _write_evaluation(
    folder: Path, evaluation: "Evaluation", data: "EvaluationInput", scores: "pd.DataFrame", root: Path
) -> None:
    from ich_seq.evaluation.table import markdown_table
    from ich_seq.manifest.table import slice_places
    from ich_seq.report.evaluation_page import render_evaluation_page
    from ich_seq.report.mistakes import draw_mistakes

    wanted = scores[scores["sop_instance_uid"].isin([each.sop_instance_uid for each in evaluation.mistakes])]
    spacing = zip(wanted["row_spacing_mm"], wanted["column_spacing_mm"], strict=True)
    places = dict(zip(wanted["sop_instance_uid"], zip(slice_places(wanted, root), spacing, strict=True), strict=True))
    drawn = draw_mistakes(evaluation.mistakes, places)
    write_scores(folder / "scores.csv", scores)
    write_text(folder / "table.md", markdown_table(evaluation))
    write_text(folder / "evaluation.html", render_evaluation_page(evaluation, data, drawn))
    write_json(folder / "evaluation.json", evaluation.model_dump(mode="json"))


def write_scores(path: Path, scores: "pd.DataFrame") -> None:
    """Truth and both stages' probabilities, a row a slice; patients are numbered.

    Raises:
        OutputError: disk full, or the folder is not writable.
    """
    from ich_seq.report.json_csv import inert_cell

    columns = ["series_instance_uid", "sop_instance_uid", "position_mm", *LABEL_NAMES]
    stages = [f"{stage}_{name}" for stage in ("one", "two") for name in LABEL_NAMES]
    sheet = scores[columns + stages].assign(**{name: scores[name].map(inert_cell) for name in columns[:2]})
    sheet.insert(0, "patient", scores["patient_id"].rank(method="dense").astype(int))
    write_text(path, sheet.to_csv(index=False))


def _add_to_card(model: Path, evaluation: "Evaluation", key: str) -> None:
    from ich_seq.evaluation.card import card_section
    from ich_seq.model.card import add_section

    add_section(model, key, card_section(evaluation))


def _draw_curves(
    folder: Path, title: str, section: "TrainCnnConfig | TrainLstmConfig", others: Sequence[Path] = ()
) -> None:
    """The fit's learning curves as a picture in its folder; of several processes the first draws."""
    from ich_seq.report.learning_curves import write_learning_curves
    from ich_seq.training.settings import fit_settings, learning_rate_factor

    if ranks.rank() > 0:
        return
    settings = fit_settings(section, 0, "")

    def rate_after(epochs: float) -> float:
        return settings.learning_rate * learning_rate_factor(epochs / settings.epochs, settings)

    write_learning_curves(folder, title, rate_after, others)


def _note_fit(
    context: StepContext, step: str, result: "FitResult", digest: str, seconds: float, more: dict[str, Any]
) -> None:
    facts = {
        "device": context.device,
        "threads": context.threads,
        "seconds": round(seconds, 1),
        "best_epoch": result.best_epoch + 1,
        "epochs": len(result.records),
        "validation_loss": result.best_loss,
        "loss_had_stopped_falling": result.stopped_early,
        "weights_sha256": digest,
    }
    context.run.note(step, facts | more)


def _description(context: StepContext) -> str:
    from ich_seq.manifest.description import load_description

    dataset = load_description(str(context.table["dataset"].iloc[0]))
    return f"{dataset.title}. {' '.join(dataset.about.split())}"
