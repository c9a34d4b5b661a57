"""`ichseq score-study`: the scores of one or several head CTs, as files and as a summary to read at a glance."""

import contextlib
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click

from ich_seq.cli import options
from ich_seq.cli.summary import print_summary, slices_progress
from ich_seq.cli.terminal import printable
from ich_seq.dicom import ReadOptions
from ich_seq.errors import SomeStudiesFailedError
from ich_seq.files import make_folder, output_errors
from ich_seq.model.runtime import Compute, Precision, Runtime
from ich_seq.report.worklist import Listed, write_worklist
from ich_seq.report.write import write_study
from ich_seq.study.score import FailedStudy, ScoredStudy, score_studies

DEFAULT_OUT = Path("scores")


@dataclass(frozen=True, slots=True)
class _Asked:
    """What was asked for on the command line, beside what to score."""

    out: Path | None
    as_json: bool
    quiet: bool
    show_patient: bool


@click.command("score-study")
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--model",
    required=True,
    type=click.Path(path_type=Path),
    help="Folder of a model bundle; the demo's is runs/demo/model.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Folder for result.json, slices.csv and report.html; of several studies a sub-folder each, and worklist.html and .csv.  "
    "[default: scores/ID, ID being a digest of the StudyInstanceUID]",
)
@click.option("--series", "series_uid", help="SeriesInstanceUID to score instead of the one that would be chosen.")
@options.reading
@click.option(
    "--show-patient",
    is_flag=True,
    help="Put name, ID, birth date and study date into report.html; nothing else ever holds them.",
)
@options.runtime
@options.precision
@options.device
@options.jobs
@options.as_json
@options.quiet
def score_study(
    paths: tuple[Path, ...],
    model: Path,
    out: Path | None,
    series_uid: str | None,
    reading: ReadOptions,
    show_patient: bool,
    runtime: Runtime,
    precision: Precision,
    device: str,
    jobs: int,
    as_json: bool,
    quiet: bool,
) -> None:
    """Score a head CT: PATHS are folders, zips or files, which may hold several studies: DICOM, or NIfTI in HU.

    A NIfTI volume is a file that is named, or a folder with nothing else in it; beside DICOM, NIfTI files are left out.

    Writes result.json, slices.csv and report.html once a study is scored, never half. Research software, not for clinical use.
    """
    asked = _Asked(out, as_json, quiet, show_patient)
    with output_folder(out or DEFAULT_OUT) as folder, slices_progress(silent=quiet or as_json) as on_slices:
        outcomes = score_studies(
            paths,
            model,
            series_uid=series_uid,
            options=reading,
            compute=Compute(device, jobs, runtime, precision),
            on_slices=on_slices,
        )
        failed, scored = _write_all(outcomes, folder, asked)
        raise_failures(failed, scored, paths)


def study_folder_name(study_instance_uid: str) -> str:
    """The name of a study's sub-folder: no identifier from a file becomes a path, so the first 12 hex digits of its SHA-256."""
    return hashlib.sha256(study_instance_uid.encode()).hexdigest()[:12]


def _write_all(
    outcomes: Iterator[ScoredStudy | FailedStudy], folder: Path, asked: _Asked
) -> tuple[list[FailedStudy], int]:
    """Writes each study as soon as it is scored; returns the failed ones and how many were scored.

    Of several studies a worklist is written, also of those that are done when the others are interrupted.
    """
    failed: list[FailedStudy] = []
    listed: list[Listed] = []
    studies = 0
    try:
        for outcome in outcomes:
            studies = outcome.studies
            if isinstance(outcome, FailedStudy):
                failed.append(outcome)
                listed.append(Listed.failed(outcome.study_instance_uid, outcome.error))
                _say_failure(outcome, asked)
                continue
            own_folder = studies > 1 or asked.out is None
            place = folder / study_folder_name(outcome.result.study_instance_uid) if own_folder else folder
            result, page = write_study(outcome, place, show_patient=asked.show_patient)
            listed.append(Listed.scored(result, place.name))
            if asked.as_json:
                click.echo(result.model_dump_json(ensure_ascii=True))
            elif not asked.quiet:
                print_summary(result, page)
    finally:
        if studies > 1:
            page = write_worklist(listed, folder)
            if not (asked.as_json or asked.quiet):
                click.echo(f"Worklist of {len(listed)} studies, most urgent first: {page}")
    return failed, len(listed) - len(failed)


def _say_failure(outcome: FailedStudy, asked: _Asked) -> None:
    if asked.as_json:
        fact = {
            "study_instance_uid": outcome.study_instance_uid,
            "error": outcome.error.message,
            "exit_code": outcome.error.exit_code,
        }
        click.echo(json.dumps(fact))


def raise_failures(failed: list[FailedStudy], scored: int, paths: tuple[Path, ...]) -> None:
    """A single study's own error; where there are several, one line each and the error that counts them."""
    if not failed:
        return
    if len(failed) + scored == 1:
        error = failed[0].error
        if not error.message.startswith(f"{paths[0].name}: "):
            error.message = f"{paths[0] if len(paths) == 1 else f'{len(paths)} paths'}: {error.message}"
        raise error
    for outcome in failed:
        click.echo(printable(f"study {outcome.study_instance_uid}: {outcome.error.message}"), err=True)
    raise SomeStudiesFailedError(f"{len(failed)} of {len(failed) + scored} studies were not scored; see above")


@contextlib.contextmanager
def output_folder(folder: Path) -> Iterator[Path]:
    """The folder, shown to be writable before anything is computed; if nothing comes of it, it is not left behind empty."""
    with output_errors(folder):
        made = next((path for path in reversed([folder, *folder.parents]) if not path.exists()), None)
    make_folder(folder)
    try:
        yield folder
    except BaseException:
        if made is not None:
            for path in [*sorted(made.rglob("*"), reverse=True), made]:
                with contextlib.suppress(OSError):
                    path.rmdir()
        raise
