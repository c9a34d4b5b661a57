"""`ichseq inspect`: says in plain words what a path holds, without loading anything that computes."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

from ich_seq.cli import options
from ich_seq.cli.descriptions import Description
from ich_seq.cli.terminal import echo_facts, echo_paragraph
from ich_seq.errors import InputRefusedError, NoDicomError


@click.command()
@click.argument("path", type=click.Path(path_type=Path))
@options.as_json
def inspect(path: Path, as_json: bool) -> None:
    """Say in plain words what PATH is: a model, an ensemble, a study, a cache of embeddings or tiles, a run, results, a table of
    slices, or a config.

    A study may be a folder, a zip or a file; its series are listed, with the one that would be scored and why. Of a NIfTI volume it
    says how it lies and whether its values can be HU.
    """
    description = describe(path)
    if as_json:
        click.echo(
            json.dumps({"kind": description.kind, "summary": description.summary, **description.facts}, indent=2)
        )
        return
    echo_paragraph(f"{path}: {description.summary}")
    echo_facts(description.facts)


def describe(path: Path) -> Description:
    """What a path holds; told by the files in it, never by its name alone where it is a folder.

    Raises:
        InputRefusedError: nothing there, or nothing that ichseq knows.
        ModelError: a model or a cache that is damaged.
        UsageError: a run of another version.
    """
    try:
        there = path.exists()
    except OSError as error:
        raise InputRefusedError(f"{path}: {error.strerror}") from error
    if not there:
        raise InputRefusedError(f"{path}: no such file or folder")
    kinds = _folder_kinds(path) if path.is_dir() else _file_kinds(path)
    return next(read(of) for fits, read, of in kinds if fits)


_Kind = tuple[bool, Callable[[Any], Description], Any]


def _folder_kinds(path: Path) -> Iterator[_Kind]:
    """What a folder may be, told by what lies in it: whether it is, who describes it, and from what."""
    from ich_seq.cli import descriptions

    inside = {item.name for item in path.iterdir()}
    yield "ensemble.json" in inside, _of_ensemble, path
    yield "model.json" in inside, descriptions.of_model, path
    yield "extractor.txt" in inside or {"index.json", "parts"} <= inside, descriptions.of_cache, path
    yield "tiles.json" in inside, descriptions.of_tiles, path
    yield "config.json" in inside, descriptions.of_run, path
    yield "result.json" in inside, descriptions.of_result, path / "result.json"
    results = sorted(path.glob("*/result.json"))
    yield bool(results), descriptions.of_results, results
    yield True, _of_study, path


def _file_kinds(path: Path) -> Iterator[_Kind]:
    """What a file may be: part of a model, a cache, a run or a result, a table, a config, or DICOM."""
    from ich_seq.cli import descriptions

    is_parquet = path.is_file() and _starts_as_parquet(path)  # a pipe would be waited for
    folder = path.parent
    model, result = (folder / "model.json").exists(), folder / "result.json"
    yield path.name == "ensemble.json", _of_ensemble, folder
    yield model and path.name in ("model.json", "weights.safetensors"), descriptions.of_model, folder
    yield path.name == "index.json", descriptions.of_cache, folder
    yield path.name in ("config.json", "run.json"), descriptions.of_run, folder
    yield result.exists() and path.name in ("result.json", "report.html"), descriptions.of_result, result
    yield is_parquet or path.suffix in (".parquet", ".csv"), descriptions.of_table, path
    yield path.suffix == ".toml", descriptions.of_config, path
    yield True, _of_study, path


def _of_ensemble(path: Path) -> Description:
    from ich_seq.cli.ensemble_description import of_ensemble

    return of_ensemble(path)


def _starts_as_parquet(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"PAR1"


def _of_study(path: Path) -> Description:
    from ich_seq.cli.study_description import of_nifti, of_study
    from ich_seq.study.inputs import nifti_in

    try:
        volume = nifti_in(path)
        return of_study(path) if volume is None else of_nifti(volume)
    except NoDicomError as error:
        message = f"{error.message}; nor is it anything else that `ichseq inspect --help` lists"
        raise NoDicomError(message, code=error.code) from error
