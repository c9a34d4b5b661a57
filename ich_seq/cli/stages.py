"""The steps of a run with their progress on the terminal; `ichseq demo` runs the same ones in a row.

Each imports what it needs itself: torch, torchvision, scikit-learn and matplotlib together take seconds.
"""

import time
from pathlib import Path
from typing import TYPE_CHECKING

from ich_seq.cli.progress import counting, fitting
from ich_seq.cli.steps import StepContext, begin_tiles
from ich_seq.files import make_folder, sha256_of, write_json, write_text
from ich_seq.labels import LABEL_NAMES

if TYPE_CHECKING:
    from ich_seq.embeddings.cluster import Cluster
    from ich_seq.embeddings.extract import ExtractionReport
    from ich_seq.embeddings.stage import FeaturesReport
    from ich_seq.evaluation.evaluate import Evaluation
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
    digest = sha256_of(run.stage_one / WEIGHTS_FILE)
    _note_fit(context, "train-cnn", result, digest, time.monotonic() - started)
    return result


def run_extract_features(
    context: StepContext, *, quiet: bool, cluster: "Cluster | None" = None
) -> "FeaturesReport | None":
    """The embedding cache and the PCA of the run; None from all but the first of several processes."""
    from ich_seq.embeddings.stage import extract_features, extract_features_on

    run, table, root, started = context.run, context.table, context.root, time.monotonic()
    with counting("embeddings", "series", quiet=quiet) as on_series:
        if cluster is None:
            report = extract_features(run, table, root, context.device, on_series)
        else:
            report = extract_features_on(cluster, run, table, root, on_series)
    if report is None:
        return None
    facts = {
        "device": context.device,
        "threads": context.threads,
        "seconds": round(time.monotonic() - started, 1),
        "slices": report.cache.index.rows,
        "index_sha256": sha256_of(run.features / "index.json"),
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
    from ich_seq.model.assemble import assemble
    from ich_seq.sequence.dataset import label_scans
    from ich_seq.sequence.train import train_lstm
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
    with fitting("stage two", taught, "scans", quiet=quiet) as on_progress:
        result = train_lstm(run.config, grouped, run.stage_two, context.device, on_progress)
    info = assemble(run, context.table, _description(context))
    _note_fit(context, "train-lstm", result, info.weights_sha256, time.monotonic() - started)
    return result


def run_evaluate(context: StepContext, *, quiet: bool) -> tuple["Evaluation", Path]:
    """The evaluation on held-out patients; JSON, a page, Markdown and the scores it rests on stay in RUN/evaluation."""
    from ich_seq.evaluation.held_out import evaluate_run
    from ich_seq.evaluation.table import markdown_table
    from ich_seq.report.evaluation_page import render_evaluation_page

    run, started = context.run, time.monotonic()
    with counting("evaluation", "slices", quiet=quiet) as on_slice:
        evaluation, data, scores = evaluate_run(run, context.table, context.root, on_slice)
    folder = make_folder(run.folder / "evaluation")
    columns = ["series_instance_uid", "sop_instance_uid", "position_mm", *LABEL_NAMES]
    stages = [f"{stage}_{name}" for stage in ("one", "two") for name in LABEL_NAMES]
    write_text(folder / "scores.csv", scores[columns + stages].to_csv(index=False))
    write_text(folder / "table.md", markdown_table(evaluation))
    write_text(folder / "evaluation.html", render_evaluation_page(evaluation, data, run.config.name))
    write_json(folder / "evaluation.json", evaluation.model_dump(mode="json"))
    run.note("evaluate", {"seconds": round(time.monotonic() - started, 1), "slices": len(scores)})
    return evaluation, folder


def _note_fit(context: StepContext, step: str, result: "FitResult", digest: str, seconds: float) -> None:
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
    context.run.note(step, facts)


def _description(context: StepContext) -> str:
    from ich_seq.manifest.description import load_description

    dataset = load_description(str(context.table["dataset"].iloc[0]))
    return f"{dataset.title}. {' '.join(dataset.about.split())}"
