"""Where a cold `ichseq score-study` spends its time: each phase by itself, one after another, in a process of its own.

    python -m benchmarks.cold_start STUDY MODEL OUT RUNTIME PRECISION SPAWNED_AT

The command itself reads slices while stage one computes, so its whole is shorter than the sum. SPAWNED_AT is the time in seconds since
1970 at which whoever starts this started it. Prints a JSON object of seconds by phase.
"""

import json
import sys
import time

_first_line = time.time()

from pathlib import Path  # noqa: E402 - the clock is read before anything is imported

PHASES = {
    "interpreter": "the interpreter, to its first line",
    "imports": "imports: ichseq, numpy, pydicom, OpenVINO or torch",
    "model": "the model: digests, weights, compiling",
    "headers": "headers of all files, the series chosen",
    "files": "the files' bytes, cached by the operating system",
    "decoding": "bytes to HU, with all checks and the digest",
    "stage_one": "stage one, all slices",
    "stage_two": "stage two",
    "writing": "result.json, slices.csv and report.html, key slices drawn",
}


def main() -> None:
    """Scores a study phase by phase."""
    study, folder, out = map(Path, sys.argv[1:4])
    runtime, precision, spawned = sys.argv[4], sys.argv[5], float(sys.argv[6])
    seconds = {"interpreter": _first_line - spawned}
    before = _first_line

    def ends(phase: str) -> None:
        nonlocal before
        now = time.time()
        seconds[phase] = now - before
        before = now

    import ich_seq.cli.score_study  # noqa: F401 - the command and what it draws with
    from ich_seq.model.runtime import Compute
    from ich_seq.report.write import write_study
    from ich_seq.study.assemble import ScanProbabilities, assemble
    from ich_seq.study.chunks import CHUNK_SLICES, in_chunks
    from ich_seq.study.inputs import find_studies
    from ich_seq.study.model import load_model, read_chunk, use_of
    from ich_seq.study.score import ScoredStudy

    _import_the_library(runtime)
    ends("imports")
    model = load_model(folder, Compute("cpu", 0, runtime, precision))  # type: ignore[arg-type]
    ends("model")
    inputs = find_studies([study])
    opened = inputs.studies[0].open()
    ends("headers")
    bytes_read = sum(len(path.read_bytes()) for path in study.rglob("*.dcm"))
    ends("files")
    slices = list(opened.scan.read())
    ends("decoding")
    seconds["decoding"] -= seconds["files"]
    read = [read_chunk(model, chunk) for chunk in in_chunks(iter(slices), CHUNK_SLICES, 0)]
    ends("stage_one")
    import numpy as np

    prob, reduced = (np.concatenate(parts) for parts in zip(*read, strict=True))
    both = ScanProbabilities(prob, model.refine(reduced, prob))
    ends("stage_two")
    result = assemble(opened.scan.settled(), both, use_of(model), opened.candidates, inputs.dropped, {})
    write_study(ScoredStudy(result, opened.scan.settled(), 1), out)
    ends("writing")
    print(json.dumps({"seconds": seconds, "megabytes": bytes_read / 1e6}))


def _import_the_library(runtime: str) -> None:
    if runtime == "openvino":
        import openvino  # noqa: F401 - its import is what is timed
    else:
        import ich_seq.model.torch_backend  # noqa: F401 - so is torch's


if __name__ == "__main__":
    main()
