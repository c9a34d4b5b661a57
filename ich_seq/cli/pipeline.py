"""What the demo does beside the steps of any run: its cohort before, the scoring of held-out scans after."""

import os
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from ich_seq.cli.progress import counting
from ich_seq.cli.steps import StepContext
from ich_seq.config import Config, describe_fault
from ich_seq.errors import ConfigError, UsageError
from ich_seq.files import make_folder
from ich_seq.labels import ANY, SUBTYPE_NAMES
from ich_seq.manifest.index import IndexChoices, index_dataset, summarise
from ich_seq.manifest.table import write_table
from ich_seq.model.runtime import Compute
from ich_seq.phantom.cohort import CohortSpec, is_cohort_of, write_cohort
from ich_seq.report.write import write_study
from ich_seq.study.model import load_model
from ich_seq.study.score import FailedStudy, score_studies

DATASET = "phantom"


@dataclass(frozen=True)
class ScoredScan:
    """One held-out scan: a sentence that compares score and truth, and its report."""

    sentence: str
    page: Path


COHORT_FOLDER = "cohort"
"""In a run or a table of runs: the synthetic scans."""


def cohort_and_table(config: Config, run_folder: Path, jobs: int, *, quiet: bool) -> tuple[Path, Path, str]:
    """Writes the config's synthetic cohort and its table of slices; returns root, table and a sentence about both.

    Raises:
        ConfigError: the config has no cohort, or one that is out of range.
        UsageError: the folder holds a demo with another cohort.
        OutputError: disk full or folder not writable.
    """
    if not config.cohort:
        raise ConfigError(f"config {config.name}: has no [cohort]; the demo makes its own scans and needs one")
    try:
        spec = CohortSpec.model_validate(config.cohort)
    except ValidationError as error:
        raise ConfigError(f"config {config.name}: [cohort]: {describe_fault(error, CohortSpec)}") from None
    processes = jobs or len(os.sched_getaffinity(0))
    root = make_folder(run_folder) / COHORT_FOLDER
    if not is_cohort_of(spec, root):
        raise UsageError(
            f"{run_folder}: holds a demo with other synthetic scans; choose another folder with --run, or remove this one"
        )
    with counting("synthetic scans", "scans", quiet=quiet) as on_study:
        write_cohort(spec, root, jobs=processes, on_study=on_study)
    table_path = run_folder / "slices.parquet"
    table, _ = index_dataset(DATASET, root, config.split, IndexChoices(jobs=processes))
    write_table(table, table_path)
    shares = ", ".join(f"{name} {spec.prevalence[name]:.0%}" for name in spec.prevalence)
    sentence = (
        f"Bleeds are more common here than in life, so that few scans suffice. Patients with each: {shares}.\n"
        f"{summarise(table)}"
    )
    return root, table_path, sentence


def score_held_out(context: StepContext) -> list[ScoredScan]:
    """Scores two held-out scans, one with the most bleeding slices and one without any, by the same call as a user's.

    Raises:
        OutputError: a report cannot be written.
    """
    held_out = context.table[context.table["split"] == "test"]
    burden = held_out.groupby("study_instance_uid")[ANY.name].sum().sort_values(kind="stable")
    chosen = {"with": burden.index[-1], "without": burden.index[0]}
    model = load_model(context.run.model, Compute(context.device, context.threads))
    scored = []
    for name, study_uid in chosen.items():
        rows = held_out[held_out["study_instance_uid"] == study_uid]
        (outcome,) = score_studies([context.root / path for path in rows["path"]], model)
        if isinstance(outcome, FailedStudy):
            raise outcome.error
        result, page = write_study(outcome, context.run.folder / "scored" / f"{name}_haemorrhage")
        truth = ", ".join(label for label in SUBTYPE_NAMES if rows[label].any()) or "none"
        score = result.label(ANY.name).stage_two.probability
        scored.append(
            ScoredScan(f"Held-out scan {name} haemorrhage (truth: {truth}): any haemorrhage {score:.2f}", page)
        )
    return scored
