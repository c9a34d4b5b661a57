"""`ichseq phantom`: a synthetic cohort on disk, and a contact sheet of what is in it."""

import os
from collections import Counter
from pathlib import Path
from typing import Any

import click

from ich_seq import labels
from ich_seq.cli import options
from ich_seq.cli.progress import counting
from ich_seq.errors import UsageError


def _prevalence(_context: click.Context, _option: click.Parameter, values: tuple[str, ...]) -> dict[str, float]:
    """`subdural=0.2` and the like, as a dictionary."""
    shares = {}
    for value in values:
        name, _, number = value.partition("=")
        try:
            shares[name] = float(number)
        except ValueError:
            raise click.BadParameter(f"{value!r} is not NAME=SHARE, such as subdural=0.2") from None
    return shares


@click.command("phantom")
@click.option(
    "--out", type=click.Path(path_type=Path), help="Folder to write the cohort into; new, empty or interrupted."
)
@click.option("--studies", type=click.IntRange(min=1), default=60, show_default=True, help="Number of studies.")
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="The same seed gives the same bytes."
)
@click.option("--jobs", type=click.IntRange(min=0), default=0, show_default="all cores", help="Processes.")
@click.option(
    "--matrix", type=int, multiple=True, help="Rows and columns to draw from; repeat it.  [default: 256 320 512]"
)
@click.option("--slices", type=click.IntRange(min=1), help="Slices of every study.  [default: 20 to 60, drawn]")
@click.option(
    "--prevalence",
    multiple=True,
    callback=_prevalence,
    help="Share of patients, NAME=SHARE; repeat it.  [default: RSNA's]",
)
@click.option("--min-area-mm2", type=float, default=20.0, show_default=True, help="Area that makes a slice positive.")
@click.option("--no-mimics", is_flag=True, help="No calcifications, dense vessels or streaks.")
@click.option("--rsna-like", is_flag=True, help="Headers as RSNA's: ID_ identifiers, no InstanceNumber.")
@click.option(
    "--contact-sheet",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Draw a picture of a head and its bleeds (PNG).",
)
@options.quiet
def phantom(out: Path | None, jobs: int, contact_sheet: Path | None, quiet: bool, **wanted: Any) -> None:
    """Write synthetic head CTs with bleeds of known place and volume.

    RSNA's layout: OUT/stage_2_train/ID_*.dcm and OUT/stage_2_train.csv, beside OUT/masks/*.nii.gz and OUT/truth.json. Interrupted, it
    continues when the same command is run again.
    """
    if out is None and contact_sheet is None:
        raise click.UsageError("nothing to do: give --out FOLDER, --contact-sheet FILE, or both")
    if contact_sheet is not None:
        _draw(contact_sheet, wanted["seed"], quiet)
    if out is not None:
        _write(out, jobs or os.cpu_count() or 1, wanted, quiet)


def _draw(path: Path, seed: int, quiet: bool) -> None:
    from ich_seq.phantom.sheet import draw_contact_sheet

    draw_contact_sheet(path, seed)
    if not quiet:
        click.echo(f"Contact sheet: {path}")


def _spec(wanted: dict[str, Any]) -> Any:
    """The cohort that the flags ask for."""
    from pydantic import ValidationError

    from ich_seq.phantom.cohort import CohortSpec

    values = {name: wanted[name] for name in ("studies", "seed", "min_area_mm2", "rsna_like", "prevalence")}
    values["mimics"] = not wanted["no_mimics"]
    if wanted["matrix"]:
        values["matrices"] = wanted["matrix"]
    if wanted["slices"]:
        values["slices"] = (wanted["slices"], wanted["slices"])
    try:
        return CohortSpec(**values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UsageError(f"{where}: {first['msg'].removeprefix('Value error, ')}") from error


def _write(out: Path, jobs: int, wanted: dict[str, Any], quiet: bool) -> None:
    spec = _spec(wanted)
    from ich_seq.phantom.cohort import read_truth, write_cohort

    with counting("Scanning synthetic heads", "studies", quiet=quiet) as advance:
        write_cohort(spec, out, jobs, advance)
    if not quiet:
        click.echo(_summary(out, read_truth(out)["studies"]))


def _summary(out: Path, studies: list[dict[str, Any]]) -> str:
    """Counts per label, where it lies, what to do next."""
    slices = sum(len(study["slices"]) for study in studies)
    patients = len({study["patient_id"] for study in studies})
    lines = [f"{len(studies)} studies of {patients} patients, {slices} slices, in {out}", ""]
    per_study = Counter(name for study in studies for name, value in study["labels"].items() if value)
    per_slice = Counter(
        name for study in studies for entry in study["slices"] for name, value in entry["labels"].items() if value
    )
    lines.append(f"  {'':18s}{'studies':>9s}{'slices':>9s}")
    lines += [f"  {name:18s}{per_study[name]:9d}{per_slice[name]:9d}" for name in labels.LABEL_NAMES]
    lines += [
        "",
        f"Truth: {out / 'truth.json'}   masks: {out / 'masks'}",
        f"Next: ichseq index phantom --root {out} --out {out / 'slices.parquet'}",
    ]
    return "\n".join(lines)
