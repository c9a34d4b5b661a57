"""What `ichseq export` made of a model, in plain words, its digests verified."""

from pathlib import Path

from ich_seq.errors import BundleError
from ich_seq.files import sha256_of
from ich_seq.model.bundle import BundleInfo
from ich_seq.model.exported import FOLDER, ONNX_FILE, Exported, read_graph


def export_facts(exported: Exported) -> dict[str, str | int | list[str]]:
    """What was exported from a model, and what its precisions cost."""
    costs = [
        f"{precision}: a probability changed by {loss.largest_prob_change:.4f} at most, an AUC fell by {loss.largest_auc_drop:.4f} "
        f"at most ({loss.scans} scans, {loss.slices} slices: {loss.measured_on})"
        for precision, loss in exported.losses.items()
    ]
    whole = ", and the whole as pipeline.onnx" if exported.onnx_sha256 else ""
    return {
        "exported": f"OpenVINO graphs {', '.join(exported.graphs)}{whole}; in fp32 within {exported.largest_difference:.1g} of torch",
        "precisions": costs or "fp32; what bf16 changes was not measured (`ichseq export` with --run, or with --table)",
        "exported with": f"ichseq {exported.ichseq_version}, OpenVINO {exported.openvino_version}",
    }


def checked_export(folder: Path, info: BundleInfo) -> Exported | None:
    """What was exported, its digests verified.

    Raises:
        BundleError: a file is missing or changed.
    """
    exported = info.exported
    if exported is None:
        return None
    for name in exported.graphs:
        read_graph(folder, exported, name)
    path = folder / FOLDER / ONNX_FILE
    if exported.onnx_sha256 and not (path.is_file() and sha256_of(path) == exported.onnx_sha256):
        raise BundleError(f"{path}: missing or changed; run `ichseq export` again")
    return exported
