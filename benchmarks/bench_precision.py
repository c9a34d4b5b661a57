"""What lower precisions change in a trained model, as `make bench` measures it: a copy of a run's, on its validation patients."""

import shutil
from pathlib import Path

from benchmarks.bench_row import Part
from ich_seq.errors import ModelError
from ich_seq.evaluation.precision import Gate, Limits, measure_precisions, rows_to_measure
from ich_seq.files import sha256_of
from ich_seq.manifest.table import read_table
from ich_seq.model.bundle import read_info
from ich_seq.model.export import export
from ich_seq.model.exported import PrecisionLoss
from ich_seq.training.run import open_run

_STRICT = Gate(prob_change=0.0, auc_drop=0.0)


def trained(folder: Path, work: Path, cores: int) -> Part:
    """bf16 and int8 against fp32 on a trained model, and the gate with limits that no rounding meets."""
    run = open_run(folder)
    model = work / "trained"
    shutil.copytree(folder / "model", model)
    table, root = read_table(run.table), Path(run.record()["steps"]["index"]["root"])
    on = rows_to_measure(table, root, sha256_of(run.table), Limits())
    export(model, onnx=False)
    try:
        measure_precisions(model, on, cores, _STRICT)
        strict = "Limits of 0 were met."
    except ModelError as error:
        strict = f"Asked for no change at all, `export --int8` refuses: {error.message.partition(': ')[2]}."
    exported = measure_precisions(model, on, cores, Gate())
    info = read_info(model)
    lines = [f"- {name}: {_words(loss)}" for name, loss in exported.losses.items()]
    words = (
        f"The model of `{run.config.name}` ({info.cnn.backbone}, {info.preprocess.size} px), "
        f"trained on {info.trained_on.patients} patients; fp32 against lower precisions, both stages, all labels."
    )
    return Part("What bf16 and int8 change in a trained model", words, note="\n".join(lines) + f"\n\n{strict}")


def _words(loss: PrecisionLoss) -> str:
    auc = ", ".join(f"{label} {change:+.4f}" for label, change in loss.auc_change.items())
    return (
        f"largest change of a probability {loss.largest_prob_change:.4f}, largest fall of an AUC {loss.largest_auc_drop:.4f} "
        f"({auc}) on {loss.slices} slices of {loss.patients} validation patients"
    )
