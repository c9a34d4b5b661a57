"""What lower precisions change in a trained model, as `make bench` measures it: a copy of a run's, on its validation patients."""

import shutil
from pathlib import Path

from benchmarks.bench_row import Part
from ich_seq.errors import ModelError
from ich_seq.evaluation.precision import Gate, Limits, MeasuredOn, measure_precisions, rows_to_measure
from ich_seq.files import sha256_of
from ich_seq.manifest.table import read_table
from ich_seq.model.bundle import read_info
from ich_seq.model.export import export
from ich_seq.model.exported import PrecisionLoss
from ich_seq.training.run import open_run


def trained(folder: Path, work: Path, cores: int) -> Part:
    """bf16 and int8 against fp32 on a trained model, and what the gate says of int8."""
    run = open_run(folder)
    model = work / f"trained_{folder.name}"
    shutil.copytree(folder / "model", model)
    table, root = read_table(run.table), Path(run.record()["steps"]["index"]["root"])
    on = rows_to_measure(table, root, sha256_of(run.table), Limits())
    export(model, onnx=False)
    refusal = _refusal(model, on, cores)
    info = read_info(model)
    losses = info.exported.losses if info.exported else {}
    lines = [f"- {name}: {_words(loss)}" for name, loss in losses.items()]
    lines.append(f"- the gate of `export --int8`: {refusal}")
    words = (
        f"{info.cnn.backbone} at {info.preprocess.size} px, trained on {info.trained_on.patients} patients of "
        f"{info.trained_on.dataset}; fp32 against lower precisions, both stages, all labels."
    )
    title = f"What bf16 and int8 change in a trained model: {run.config.name}"
    return Part(title, words, note="\n".join(lines))


def _refusal(model: Path, on: MeasuredOn, cores: int) -> str:
    """What the command says of int8, with its usual limits."""
    try:
        measure_precisions(model, on, cores, Gate())
    except ModelError as error:
        return error.message.partition(": ")[2]
    return "it passes"


def _words(loss: PrecisionLoss) -> str:
    auc = ", ".join(f"{label} {change:+.4f}" for label, change in loss.auc_change.items())
    return (
        f"largest change of a probability {loss.largest_prob_change:.4f}, largest fall of an AUC {loss.largest_auc_drop:.4f} "
        f"({auc}) on {loss.slices} slices of {loss.patients} validation patients"
    )
