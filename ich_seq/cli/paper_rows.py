"""The rows of `ichseq papers`: what they share, each of them as a run of its own, and what a finished one leaves."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import ValidationError

from ich_seq.cli.pipeline import COHORT_FOLDER
from ich_seq.cli.stages import run_evaluate, run_extract_features, run_train_cnn, run_train_lstm, write_scores
from ich_seq.cli.steps import StepContext, begin_run_of, image_folder
from ich_seq.config import Config, TrainCnnConfig, describe_fault, load_config
from ich_seq.config.scale import at_scale, visits
from ich_seq.distrust import MOST_JSON, DamagedError, read_own, sealed, strict_object, unsealed
from ich_seq.errors import ConfigError, DatasetError, UsageError
from ich_seq.evaluation.finished_rows import FACTS_FILE, VALIDATION_FILE, RowFacts, is_finished
from ich_seq.evaluation.floors import prevalence_floor
from ich_seq.evaluation.held_out import VALIDATION, split_scores
from ich_seq.evaluation.run_cost import reading_ms, training_seconds
from ich_seq.files import make_folder, sha256_of, write_json
from ich_seq.labels import LABEL_NAMES
from ich_seq.manifest.split import SPLITS
from ich_seq.manifest.table import read_table
from ich_seq.slices.train import WEIGHTS_FILE
from ich_seq.tensors import tensor_shapes
from ich_seq.training.run import machine, open_run

if TYPE_CHECKING:
    import pandas as pd

SETTINGS_FILE, ROWS_FOLDER = "settings.json", "rows"
_TAUGHT_ALL = ("stage_one", "stage_two")
_ANTIALIASED = ", antialiased where a paper's are larger; paper 002 takes every n-th pixel"


@dataclass(frozen=True)
class Shared:
    """What all rows share: the folder, the table's config, its table of slices and their images, where to compute."""

    out: Path
    config: Config
    table_path: Path
    root: Path
    device: str
    jobs: int

    def row_folder(self, name: str) -> Path:
        """The run of a row."""
        return self.out / ROWS_FOLDER / name


def table_config(name: str, size: int | None, wanted: int | None, *, pretrained: bool) -> Config:
    """The config of what all rows share, with another size, other visits, or pretrained weights, where they are asked for.

    Raises:
        ConfigError: it cannot be used, or says no steps.
        UsageError: visits that do not make whole steps.
    """
    config = load_config(name)
    training = config.train_cnn
    if not training.steps_per_epoch:
        raise ConfigError(f"{name}: train_cnn.steps_per_epoch is missing; it says the slice visits of every row")
    content = config.model_dump(mode="json")
    if size is not None:
        content["preprocess"]["size"] = size
    if wanted is not None:
        each = training.epochs * training.batch_size
        if wanted % each:
            near = max(1, round(wanted / each)) * each
            raise UsageError(f"--visits {wanted}: give a multiple of {each}, such as {near}")
        content["train_cnn"]["steps_per_epoch"] = wanted // each
    if pretrained:
        content["cnn"]["weights"] = "imagenet"
    try:
        return Config.model_validate(content)
    except ValidationError as error:
        raise UsageError(f"--size {size}, --visits {wanted}: {describe_fault(error)}") from None


def claim(out: Path, config: Config, table_path: Path | None) -> None:
    """Marks the folder as this table's, or sees that it is; without a path the table of slices is the config's own cohort's.

    Raises:
        UsageError: it holds a table of other settings, or of another table of slices.
        OutputError: it cannot be written.
    """
    path = make_folder(out) / SETTINGS_FILE
    own = {
        "config": config.model_dump(mode="json", exclude={"about"}),
        "table_sha256": None if table_path is None else sha256_of(table_path),
    }
    try:
        known = unsealed(strict_object(read_own(path, MOST_JSON)))
    except FileNotFoundError:
        write_json(path, sealed(own))
        return
    except DamagedError as error:
        raise UsageError(f"{path}: damaged ({error}); choose another --out, or remove the folder") from error
    if known.get("config") != own["config"]:
        what = _first_change(known.get("config", {}), own["config"])
    elif known.get("table_sha256") != own["table_sha256"]:
        what = "another table of slices"
    else:
        return
    if any((out / name).exists() for name in (ROWS_FOLDER, COHORT_FOLDER)):
        raise UsageError(f"{out}: holds rows made with {what}; choose another --out, or remove the folder")
    write_json(path, sealed(own))  # whoever claimed it made nothing


def _first_change(known: dict[str, Any], own: dict[str, Any]) -> str:
    """Which setting differs, in words."""
    for section, value in own.items():
        before = known.get(section)
        if before == value:
            continue
        if isinstance(value, dict) and isinstance(before, dict):
            key = next(name for name in {**before, **value} if before.get(name) != value.get(name))
            return f"{section}.{key} = {before.get(key)}, not {value.get(key)}"
        return f"another {section}"
    return "other settings"


def shared_words(config: Config, table: "pd.DataFrame") -> dict[str, str]:
    """What all rows share, in words."""
    training, stage_two, splits = config.train_cnn, config.train_lstm, table["split"].value_counts()
    random = config.cnn.weights == "none"
    start = f"random; a rate meant for ImageNet weights is raised to {training.learning_rate:g} where it is lower"
    facts = machine()
    packages = ", ".join(
        f"{name} {facts['packages'][name]}" for name in ("torch", "torchvision", "numpy", "scikit-learn")
    )
    patients = table.groupby("split")["patient_id"].nunique()
    split = ", ".join(
        f"{name.replace('_', ' ')} {splits.get(name, 0):,} slices of {patients.get(name, 0)} patients"
        for name in SPLITS
    )
    return {
        "data": str(table["dataset"].iloc[0]),
        "split": split,
        "input": f"{config.preprocess.size} x {config.preprocess.size} pixels"
        + _ANTIALIASED * config.preprocess.antialias,
        "slice visits": f"{visits(config):,} in batches of {training.batch_size}, {_schedule(training)}, and the best epoch on "
        "validation patients",
        "initial weights": start if random else "ImageNet where the paper has them",
        "stage two": f"BiLSTM of {config.lstm.layers} layers, {config.lstm.hidden} a direction, {stage_two.epochs} epochs at most, "
        f"{stage_two.patients} patients, PCA to {config.features.pca_components} or to the embedding's width",
        "computed with": f"{packages}, Python {facts['python']}, {facts['system']}, cores: {facts['cores']}",
        "one fit a row": f"from seed {config.seed}: intervals say how far figures move with other patients, not with other fits",
    }


def _schedule(training: TrainCnnConfig) -> str:
    """The rate's schedule and the average of the weights, in words."""
    rate = "a constant rate" if training.schedule == "constant" else "a rate that rises and falls as a cosine"
    return rate + (f", weights averaged (decay {training.ema_decay:g})" if training.ema_decay else "")


def prevalence(table: "pd.DataFrame") -> np.ndarray:
    """The prevalence floor of the training patients [6]."""
    taught = table[table["split"].isin(_TAUGHT_ALL)]
    return prevalence_floor(taught[list(LABEL_NAMES)].to_numpy(np.int64), 1)[0]


def make_row(shared: Shared, name: str, say: Callable[[str], None], *, quiet: bool) -> None:
    """One row from its training to its evaluation; a finished one is kept, an interrupted one goes on.

    Raises:
        IchSeqError: what its steps raise; other rows need not suffer from it.
    """
    folder, table = shared.row_folder(name), read_table(shared.table_path)
    if is_finished(folder):
        refuse_other_method(shared, name, table)
        _drop_checkpoints(folder)  # of a row that was interrupted in doing so
        say(f"{name}: finished before")
        return
    config = row_config(shared.config, name, table)
    say(f"{name}: {method(config)}; {visits(config):,} visits")
    context = begin_run_of(folder, config, shared.table_path, shared.root, shared.device, shared.jobs)
    run_train_cnn(context, quiet=quiet)
    behind = replace(context, table=read_behind_stage_one(config, table))
    run_extract_features(behind, quiet=quiet)
    run_train_lstm(context, quiet=quiet)
    run_evaluate(context, quiet=quiet)
    write_scores(folder / VALIDATION_FILE, split_scores(context.run, context.table, VALIDATION))
    write_json(folder / FACTS_FILE, sealed(_facts(context, name).model_dump(mode="json")))
    _drop_checkpoints(folder)


def refuse_other_method(shared: Shared, name: str, table: "pd.DataFrame") -> None:
    """Nothing, unless a finished row was made by another config than the one that ships under its name now.

    Raises:
        UsageError: it was, and nothing of it can stand beside rows made now.
        IchSeqError: one of the two configs cannot be read.
    """
    folder = shared.row_folder(name)
    known, own = (
        config.model_dump(mode="json", exclude={"about"})
        for config in (open_run(folder).config, row_config(shared.config, name, table))
    )
    if known != own:
        raise UsageError(
            f"{folder}: made with {_first_change(known, own)}; remove it, and the same command makes it anew"
        )


def read_behind_stage_one(config: Config, table: "pd.DataFrame") -> "pd.DataFrame":
    """The slices whose embeddings somebody reads: without stage one's own patients, where those of stage two suffice for its PCA."""
    others = table[table["split"] != "stage_one"]
    enough = (table["split"] == "stage_two").sum() > config.features.pca_components
    return others if config.train_lstm.patients == "reserved" and enough else table


def row_config(shared: Config, name: str, table: "pd.DataFrame") -> Config:
    """The config that a row is trained with.

    Raises:
        ConfigError: its method does not go with the table's size.
        DatasetError: fewer training slices than one batch.
    """
    paper = load_config(name)
    splits = ("stage_one",) if shared.train_lstm.patients == "reserved" else _TAUGHT_ALL
    rows = table[table["split"].isin(splits)]
    taught = rows[rows["any"] == 1] if paper.train_cnn.sampling == "positives" else rows
    try:
        return at_scale(paper, shared, len(taught))
    except ValidationError as error:
        raise ConfigError(f"{name}: {describe_fault(error)}") from None
    except ValueError as error:
        raise DatasetError(f"{name}: {error}; use a larger table") from None


def method(config: Config) -> str:
    """A row's classifier in words."""
    output = "" if config.cnn.output == "sigmoid" else f", {config.cnn.output.replace('_', ' ')}"
    return f"{config.cnn.backbone}{output}, {config.preprocess.size} px, {config.preprocess.describe()}"


def images_of(table_path: Path, root: Path | None) -> Path:
    """The folder of a table's images."""
    return image_folder(read_table(table_path), root)


def _facts(context: StepContext, name: str) -> RowFacts:
    run = context.run
    training = visits(run.config)
    counted = {
        tensor: shape
        for tensor, shape in tensor_shapes(run.stage_one / WEIGHTS_FILE).items()
        if not tensor.startswith("preprocess.") and not tensor.endswith("num_batches_tracked")
    }
    return RowFacts(
        config=name,
        method=method(run.config),
        visits=training,
        batch_size=run.config.train_cnn.batch_size,
        learning_rate=run.config.train_cnn.learning_rate,
        weights=run.config.cnn.weights,
        parameters=sum(int(np.prod(shape)) for shape in counted.values()),
        training_ms=1000 * training_seconds(run.stage_one) / training,
        reading_ms=reading_ms(run.record()["steps"]["extract-features"]),
    )


def _drop_checkpoints(folder: Path) -> None:
    """A finished row needs no optimiser any more, which is two thirds of its size."""
    for path in folder.glob("stage_*/*.pt"):
        path.unlink()
