"""`ichseq explain-study`: heat maps of why a head CT has its scores, as a page, pictures, JSON and, if asked for, DICOM."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ich_seq.cli import options
from ich_seq.cli.score_study import output_folder, raise_failures, study_folder_name
from ich_seq.cli.summary import slices_progress
from ich_seq.dicom import ReadOptions
from ich_seq.errors import BundleError, IchSeqError, ModelError
from ich_seq.labels import LABEL_NAMES
from ich_seq.model.runtime import Compute
from ich_seq.study.model import load_model
from ich_seq.study.result import StudyResult
from ich_seq.study.score import FailedStudy, ScoredStudy, score_studies

if TYPE_CHECKING:
    from ich_seq.model.heat_scale import HeatScale, Stage
    from ich_seq.model.torch_backend import TorchModel
    from ich_seq.study.ensemble import EnsembleModel


@dataclass(frozen=True, slots=True)
class _Wish:
    """What was asked for on the command line, beside what to explain."""

    out: Path
    labels: tuple[str, ...]
    every_slice: bool
    stage: "Stage"
    dicom: bool
    quiet: bool


@click.command("explain-study")
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--model",
    required=True,
    type=click.Path(path_type=Path),
    help="Folder of a model bundle with a scale for explanations (`ichseq explain-scale`), or of an ensemble of such.",
)
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    help="Folder for explanation.html, explanation.json and the pictures, and for a sub-folder each where there are several studies.",
)
@click.option(
    "--label",
    "labels",
    multiple=True,
    type=click.Choice(LABEL_NAMES),
    help="A label to explain; may be repeated.  [default: all six]",
)
@click.option(
    "--slices",
    type=click.Choice(["key", "all"]),
    default="key",
    show_default=True,
    help="Explain the slices on which labels have their highest scores, or all.",
)
@click.option(
    "--stage",
    type=click.Choice(["one", "two"]),
    default="two",
    show_default=True,
    help="Explain the scores of the slice alone, or those with the whole scan.",
)
@click.option("--dicom", is_flag=True, help="Write each picture as a DICOM secondary capture too, in the same study.")
@click.option("--series", "series_uid", help="SeriesInstanceUID to explain instead of the one that would be chosen.")
@options.reading
@options.device
@options.jobs
@options.quiet
def explain_study(
    paths: tuple[Path, ...],
    model: Path,
    out: Path,
    labels: tuple[str, ...],
    slices: str,
    stage: "Stage",
    dicom: bool,
    series_uid: str | None,
    reading: ReadOptions,
    device: str,
    jobs: int,
    quiet: bool,
) -> None:
    """Draw why a head CT has its scores: PATHS are what `score-study` takes.

    Grad-CAM per slice and label, back through both stages, on a scale that is the same for every scan; below the label's threshold and
    outside the head nothing is drawn. Nothing that is written names the patient. Research software, not for clinical use.
    """
    wish = _Wish(out, labels or LABEL_NAMES, slices == "all", stage, dicom, quiet)
    loaded, scales = _model_and_scales(model, Compute(device, jobs))
    with output_folder(out), slices_progress(silent=quiet) as on_slices:
        outcomes = score_studies(paths, loaded, series_uid=series_uid, options=reading, on_slices=on_slices)
        failed, explained = _explain_all(outcomes, loaded, scales, wish)
        raise_failures(failed, explained, paths)


def _model_and_scales(folder: Path, compute: Compute) -> "tuple[TorchModel | EnsembleModel, tuple[HeatScale, ...]]":
    """The model and its scale, of an ensemble each member's, which are read first: whoever lacks one hears so at once.

    Raises:
        BundleError: the model or a scale cannot be used.
        ModelError: not a model of two stages.
    """
    from ich_seq.model.bundle import read_info
    from ich_seq.model.ensemble import is_ensemble, member_folder, read_ensemble_info
    from ich_seq.model.heat_scale import read_heat_scale

    members = read_ensemble_info(folder).members if is_ensemble(folder) else (read_info(folder),)
    owns = [member_folder(folder, place) for place in range(len(members))] if is_ensemble(folder) else [folder]
    try:
        scales = tuple(read_heat_scale(*each) for each in zip(owns, members, strict=True))
    except BundleError:
        from ich_seq.slices.backbones import WITHOUT_MAP, no_map_words

        for name in (member.cnn.backbone for member in members):
            if name in WITHOUT_MAP:  # no scale can be made for it either
                raise ModelError(no_map_words(name)) from None
        raise
    from ich_seq.model.torch_backend import TorchModel
    from ich_seq.study.ensemble import EnsembleModel

    loaded = load_model(folder, compute)
    if not isinstance(loaded, TorchModel | EnsembleModel):
        raise ModelError(f"{folder}: not a model of two stages; explain one such model")
    return loaded, scales


def _explain_all(
    outcomes: Iterator[ScoredStudy | FailedStudy],
    model: "TorchModel | EnsembleModel",
    scales: "tuple[HeatScale, ...]",
    wish: _Wish,
) -> tuple[list[FailedStudy], int]:
    """Explains each study as soon as it is scored; returns those that failed and how many did not."""
    failed: list[FailedStudy] = []
    explained = 0
    for outcome in outcomes:
        if isinstance(outcome, FailedStudy):
            failed.append(outcome)
            continue
        name = outcome.result.study_instance_uid
        folder = wish.out / study_folder_name(name) if outcome.studies > 1 else wish.out
        try:
            _explain(outcome, model, scales, folder, wish)
        except IchSeqError as error:
            if error.exit_code != 3:  # what concerns the model or the disk concerns every study
                raise
            failed.append(FailedStudy(name, error, outcome.studies))
        else:
            explained += 1
    return failed, explained


def _explain(
    scored: ScoredStudy,
    model: "TorchModel | EnsembleModel",
    scales: "tuple[HeatScale, ...]",
    folder: Path,
    wish: _Wish,
) -> None:
    from ich_seq.report.write_explanation import write_explanation
    from ich_seq.study.ensemble import EnsembleModel
    from ich_seq.study.explain import Asked, explain_study
    from ich_seq.study.explain_ensemble import explain_ensemble

    places = range(len(scored.result.slices)) if wish.every_slice else key_places(scored.result, wish.labels)
    asked = Asked(tuple(places), wish.labels, wish.stage)
    if isinstance(model, EnsembleModel):
        explanation = explain_ensemble(scored, model, scales, asked)
    else:
        explanation = explain_study(scored, model, scales[0], asked)
    page = write_explanation(explanation, folder, dicom=wish.dicom)
    if wish.quiet:
        return
    drawn = sorted({index + 1 for (index, _), heat in explanation.heats.items() if heat.verdict == "drawn"})
    told = f"heat drawn on {', '.join(map(str, drawn))}" if drawn else "no score at its threshold, so no heat is drawn"
    click.echo(f"{len(explanation.places)} of {len(scored.result.slices)} slices explained: {told}")
    click.echo(f"Page to open: {page}\nResearch software, not for clinical use.")


def key_places(result: StudyResult, labels: Sequence[str]) -> list[int]:
    """The slices on which the labels have their highest scores, by either stage."""
    peaks = [result.label(name) for name in labels]
    return sorted({peak.slice_index for score in peaks for peak in (score.stage_one, score.stage_two)})
