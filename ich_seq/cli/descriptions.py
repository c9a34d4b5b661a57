"""What models, caches, runs, results and tables are, in plain words; libraries are imported where they are needed."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ich_seq.errors import BundleError, CacheError, DatasetError, InputRefusedError
from ich_seq.labels import LABEL_NAMES

Facts = dict[str, str | int | list[str]]

_KAGGLE_HEADER = ["ID", "Label"]


@dataclass(frozen=True, slots=True)
class Description:
    """A kind in one word, a summary in one sentence, and facts by name, each a value or several lines."""

    kind: str
    summary: str
    facts: Facts = field(default_factory=dict)


def of_model(folder: Path) -> Description:
    """A model bundle, its digests checked and all of its numbers seen to be finite.

    Raises:
        BundleError: damaged, changed, or of another version.
    """
    from ich_seq.cli.export_description import checked_export, export_facts
    from ich_seq.model.bundle import WEIGHTS_FILE, read_bundle
    from ich_seq.model.card import describe_calibration, describe_thresholds

    bundle = read_bundle(folder)
    info, trained = bundle.info, bundle.info.trained_on
    size = info.preprocess.size
    learnt = sum(values.size for name, values in bundle.weights.items() if _is_parameter(name))
    megabytes = (folder / WEIGHTS_FILE).stat().st_size / 1e6
    losses = [f"{stage.replace('_', ' ')}: {loss:.4f}" for stage, loss in info.validation_loss.items()]
    exported = checked_export(folder, info)
    return Description(
        "model",
        f"a trained pipeline named {info.name}, whole and unchanged",
        {
            "trained on": trained.description,
            "training data": f"{trained.patients} patients, {trained.scans} scans, {trained.slices} slices ({trained.dataset})",
            "stage one": f"{info.cnn.backbone} on {size} x {size} pixels, {info.preprocess.describe()}",
            "between": f"{info.embedding_width}-d embedding, PCA to {info.reduced_width}",
            "stage two": f"bidirectional LSTM, {info.lstm.layers} x {info.lstm.hidden} units per direction",
            "labels": ", ".join(info.labels),
            "final score": _blend(bundle.part("lstm").get("blend")),
            "size": f"{learnt:,} learnt numbers, {megabytes:,.1f} MB",
            "validation loss": losses,
            "calibration": describe_calibration(info.calibration),
            "thresholds": describe_thresholds(info.thresholds),
            "digest": info.digest(),
            "weights": f"SHA-256 {info.weights_sha256}, verified",
            "written by": f"ichseq {info.ichseq_version}",
            **({"exported": "not yet, see `ichseq export`"} if exported is None else export_facts(exported)),
            "intended use": info.intended_use,
        },
    )


def of_cache(folder: Path) -> Description:
    """An embedding cache, finished or begun.

    Raises:
        CacheError: its index is damaged, or parts are missing.
    """
    from ich_seq.embeddings.cache import open_cache
    from ich_seq.embeddings.part import part_name

    if not (folder / "index.json").exists():
        parts = len(list((folder / "parts").glob("*.h5")))
        return Description(
            "cache",
            "an embedding cache that was begun; the same `ichseq extract-features` continues it",
            {"series": parts, "extractor": (folder / "extractor.txt").read_text(encoding="utf-8").strip()[:64]},
        )
    index = open_cache(folder).index
    names = [part_name(part.identity) for part in index.parts]
    gone = [name for name in names if not (folder / "parts" / name).is_file()]
    if gone:
        raise CacheError(
            f"{folder}: {len(gone)} of {len(names)} parts are missing, {gone[0]} first; run `ichseq extract-features` again"
        )
    size = sum((folder / "parts" / name).stat().st_size for name in names) / 1e6
    return Description(
        "cache",
        f"a finished embedding cache of {len(names)} series",
        {
            "slices": f"{index.rows:,} rows of {index.embedding_width}-d embeddings",
            "size": f"{size:,.1f} MB, every part present; their digests are verified on reading",
            "extractor": f"{index.extractor} (weights and preprocessing)",
            "PCA": "fitted" if (folder / "pca.safetensors").exists() else "not fitted",
        },
    )


def of_tiles(folder: Path) -> Description:
    """A tile cache: what its tiles are, and how many parts there are.

    Raises:
        CacheError: its description is damaged.
    """
    from ich_seq.slices.tile_part import PARTS, part_paths, read_format

    form, parts = read_format(folder), part_paths(folder / PARTS)
    return Description(
        "tiles",
        f"a tile cache of {len(parts)} parts, each of whole series",
        {
            "tiles": str(form),
            "size": f"{sum(path.stat().st_size for path in parts) / 1e9:.3g} GB",
            "complete": "for which tables, `ichseq cache-tiles` says; run again, it adds only what is missing",
        },
    )


def of_run(folder: Path) -> Description:
    """A run folder: which experiment, which steps are done, and whether its model is there.

    Raises:
        UsageError: a config of another version.
    """
    from ich_seq.training.run import open_run

    run = open_run(folder)
    steps = run.record().get("steps", {})
    done = [f"{step}, finished {facts.get('finished', 'at an unknown time')}" for step, facts in steps.items()]
    pictures = [str(path) for path in sorted(folder.glob("stage_*/curves.png"))]
    return Description(
        "run",
        f"a run of the experiment {run.config.name}",
        {
            "about": run.config.about,
            "seed": run.config.seed,
            "steps done": done or ["none"],
            "learning curves": pictures or "not yet",
            "model": str(run.model) if (run.model / "model.json").exists() else "not yet",
        },
    )


def of_result(path: Path) -> Description:
    """What `score-study` wrote about one study.

    Raises:
        InputRefusedError: not a result, or one of another major version.
    """
    from ich_seq.study.result import StudyResult

    try:
        result = StudyResult.model_validate_json(path.read_text(encoding="utf-8"))
    except (ValidationError, UnicodeDecodeError) as error:
        raise InputRefusedError(f"{path}: not a result of this version; score the study again") from error
    scores = []
    for score in result.scan:
        calibrated = "" if score.calibrated is None else f", calibrated {score.calibrated:.3f}"
        scores.append(f"{score.title} {score.stage_two.probability:.3f}{calibrated}, {score.reading}")
    return Description(
        "result",
        f"the scores of one study, status {result.status.value.replace('_', ' ')}",
        {
            "study": result.study_instance_uid,
            "series": f"{result.series_instance_uid}, {result.series.slices} slices",
            "scores": scores,
            "model": f"{result.model.name} ({result.model.digest[:12]}), trained on: {result.model.trained_on}",
            "notice": result.notice,
        },
    )


def of_table(path: Path) -> Description:
    """A table of slices (Parquet), or a CSV such as the challenge's labels.

    Raises:
        DatasetError: neither.
    """
    return _of_csv(path) if path.suffix == ".csv" else _of_parquet(path)


def of_results(paths: Sequence[Path]) -> Description:
    """The results of several studies, each in a folder of its own.

    Raises:
        InputRefusedError: one is not a result of this version.
    """
    facts: Facts = {path.parent.name: of_result(path).summary for path in paths}
    return Description("results", f"the results of {len(paths)} scored studies", facts)


def of_config(path: Path) -> Description:
    """A config, every key and value of which is known to this version.

    Raises:
        ConfigError: it is not.
    """
    from ich_seq.config import load_config

    config = load_config(str(path))
    return Description(
        "config", f"a config named {config.name}: {' '.join(config.about.split())}", {"seed": config.seed}
    )


def _blend(kept: Any) -> str:
    """How both stages make the final score.

    Raises:
        BundleError: the model does not say.
    """
    if kept is None or kept.shape != (len(LABEL_NAMES),):
        raise BundleError("weights.safetensors: lstm.blend does not fit model.json; get the model again")
    shares = kept.tolist()
    if all(share == 1 for share in shares):
        return "stage two's"
    each = ", ".join(f"{name} {share:.0%}" for name, share in zip(LABEL_NAMES, shares, strict=True))
    return f"a mean of both stages' logits; stage two's share: {each}"


def _is_parameter(name: str) -> bool:
    """Whether a tensor is learnt by gradient descent: not the PCA, not batch norm's running statistics, not the preprocessing."""
    kept_by_counting = ("running_mean", "running_var", "num_batches_tracked")
    return not name.startswith(("pca.", "cnn.preprocess.", "cnn.head.membership", "lstm.blend")) and not name.endswith(
        kept_by_counting
    )


def _of_parquet(path: Path) -> Description:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        file = parquet.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise DatasetError(f"{path}: not a Parquet file; make it again with `ichseq index`") from error
    columns = file.schema_arrow.names
    facts: Facts = {"rows": file.metadata.num_rows, "columns": ", ".join(columns)}
    for column in ("patient_id", "series_instance_uid"):
        if column in columns:
            values = file.read([column]).column(column)
            facts[{"patient_id": "patients", "series_instance_uid": "series"}[column]] = len(values.unique())
    if "split" in columns:
        counted = file.read(["split"]).column("split").value_counts().to_pylist()
        facts["split"] = [f"{item['values']}: {item['counts']} slices" for item in counted]
    is_slices = {"series_instance_uid", "sop_instance_uid", "path", "split"} <= set(columns)
    return Description("table", "a table of slices made by `ichseq index`" if is_slices else "a Parquet table", facts)


def _of_csv(path: Path) -> Description:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            columns = next(reader, [])
            rows = sum(1 for _ in reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"{path}: not a CSV file in UTF-8; export it again") from error
    if columns == _KAGGLE_HEADER:
        what = f"labels in the format of the RSNA 2019 challenge: {rows // 6:,} images x 6 labels"
    elif "stage_two_any" in columns:
        what = f"the slices of one scored study: {rows:,} slices"
    else:
        what = "a CSV table"
    return Description("table", what, {"rows": rows, "columns": ", ".join(columns)})
