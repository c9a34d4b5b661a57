"""A cohort on disk in RSNA's layout: DICOM, labels, masks, truth; written study by study, resumable, the same bytes every time."""

import contextlib
import csv
import errno
import io
import json
import os
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from ich_seq import labels
from ich_seq.errors import OutputError
from ich_seq.phantom.plan import StudyPlan, plan_cohort
from ich_seq.phantom.render import PhantomStudy, render_plan, render_study
from ich_seq.phantom.spec import CohortSpec
from ich_seq.phantom.truth import cohort_header, study_record
from ich_seq.phantom.writer import name_study, study_files
from ich_seq.pools import in_order

__all__ = ["CohortSpec", "PhantomStudy", "read_truth", "render_study", "write_cohort"]

PARTIAL = ".partial"
TRUTH = "truth.json"
TABLE = "stage_2_train.csv"


@contextlib.contextmanager
def _output(out: Path) -> Iterator[None]:
    """Turn the file system's refusals into one line."""
    try:
        yield
    except OSError as error:
        reason = "the disk is full" if error.errno == errno.ENOSPC else (error.strerror or str(error))
        message = f"{out}: cannot write the cohort: {reason}; free space or choose another folder, then repeat the command to go on"
        raise OutputError(message, path=out) from error


def _put(path: Path, data: bytes, partial: Path) -> None:
    """Write to a temporary name, then rename: a file is complete or absent."""
    temporary = partial / f"{path.name}.tmp{os.getpid()}"
    temporary.write_bytes(data)
    path.parent.mkdir(parents=True, exist_ok=True)
    os.replace(temporary, path)


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=1) + "\n").encode()


def _write_study(spec: CohortSpec, out: Path, plan: StudyPlan) -> None:
    """Render and write one study; its record comes last and says that the study is complete."""
    study = render_plan(spec, plan)
    names = name_study(spec, study)
    files = study_files(spec, study, names)
    own = {"index": plan.index, "patient_index": plan.patient, "visit": plan.visit, **names.record()}
    record = study_record(study.truth, study.geometry, own)
    partial = out / PARTIAL
    with _output(out):
        for path, data in files.items():
            _put(out / path, data, partial)
        _put(_record_path(out, plan.index), _json(record), partial)


def _record_path(out: Path, index: int) -> Path:
    return out / PARTIAL / f"study_{index:06d}.json"


def _claim(spec: CohortSpec, out: Path) -> bool:
    """Make the folder ours; True where the same cohort is already complete in it.

    Raises:
        OutputError: the folder holds something else, or another cohort.
    """
    with _output(out):
        out.mkdir(parents=True, exist_ok=True)
        stated = out / TRUTH if (out / TRUTH).exists() else out / PARTIAL / "spec.json"
        if stated.exists():
            known = json.loads(stated.read_bytes())["spec"]
            if known != spec.model_dump(mode="json"):
                raise OutputError(
                    f"{out}: holds another cohort (see {stated.name}); choose another folder or remove it", path=out
                )
            return stated.name == TRUTH
        if any(path.name != PARTIAL for path in out.iterdir()):
            raise OutputError(f"{out}: not empty, and not a cohort of ours; choose another folder", path=out)
        (out / PARTIAL).mkdir(exist_ok=True)
        _put(stated, _json({"spec": spec.model_dump(mode="json")}), out / PARTIAL)
    return False


def _finish(spec: CohortSpec, out: Path) -> None:
    """Write the label table, then the truth, then clear away what marked progress."""
    with _output(out):
        records = [json.loads(_record_path(out, index).read_bytes()) for index in range(spec.studies)]
        rows = sorted((entry["file"], entry["labels"]) for record in records for entry in record["slices"])
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        table.writerow(("ID", "Label"))
        table.writerows((f"{stem}_{name}", value[name]) for stem, value in rows for name in labels.LABEL_NAMES)
        _put(out / TABLE, text.getvalue().encode(), out / PARTIAL)
        _put(out / TRUTH, _json({**cohort_header(spec), "studies": records}), out / PARTIAL)
        shutil.rmtree(out / PARTIAL)


def write_cohort(
    spec: CohortSpec, out: Path, jobs: int = 1, on_study: Callable[[int, int], None] | None = None
) -> Path:
    """Write the cohort into `out` and return `out`; the same spec gives the same bytes whatever `jobs`.

    An interrupted cohort is continued; one that is already complete is left alone. `on_study(done, total)` is called as studies
    are finished.

    Raises:
        ValueError: `jobs` is below 1.
        OutputError: the folder cannot be written, is full, or holds something else.
    """
    if jobs < 1:
        raise ValueError(f"jobs must be at least 1, not {jobs}")
    if _claim(spec, out):
        shutil.rmtree(out / PARTIAL, ignore_errors=True)
        return out
    todo = [plan for plan in plan_cohort(spec) if not _record_path(out, plan.index).exists()]
    done = spec.studies - len(todo)
    if on_study and done:
        on_study(done, spec.studies)
    for _ in in_order(partial(_write_study, spec, out), todo, jobs):
        done += 1
        if on_study:
            on_study(done, spec.studies)
    _finish(spec, out)
    return out


def is_cohort_of(spec: CohortSpec, out: Path) -> bool:
    """Whether `out` may take this cohort: it holds none, or the same one, finished or begun."""
    stated = next((path for path in (out / TRUTH, out / PARTIAL / "spec.json") if path.exists()), None)
    return stated is None or json.loads(stated.read_bytes())["spec"] == spec.model_dump(mode="json")


def read_truth(out: Path) -> dict[str, Any]:
    """truth.json of a complete cohort."""
    return json.loads((out / TRUTH).read_bytes())
