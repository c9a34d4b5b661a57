"""`ichseq inspect`: says in plain words what a path holds, without loading anything that computes."""

import json
from pathlib import Path

import click

from ich_seq.cli import options
from ich_seq.cli.descriptions import Description, printable
from ich_seq.errors import InputRefusedError

_WIDTH = 110


@click.command()
@click.argument("path", type=click.Path(path_type=Path))
@options.as_json
def inspect(path: Path, as_json: bool) -> None:
    """Say in plain words what PATH is: a model, a study, an embedding cache, a run, a result, or a table of slices.

    A study may be a folder, a zip or a file; its series are listed, with the one that would be scored and why.
    """
    description = describe(path)
    if as_json:
        click.echo(
            json.dumps({"kind": description.kind, "summary": description.summary, **description.facts}, indent=2)
        )
        return
    click.echo(click.wrap_text(f"{path}: {description.summary}", _WIDTH))
    for name, value in description.facts.items():
        for number, line in enumerate(value if isinstance(value, list) else [str(value)]):
            head = f"  {name if number == 0 else '':<16}"
            click.echo(click.wrap_text(printable(line), _WIDTH, initial_indent=head, subsequent_indent=" " * 18))


def describe(path: Path) -> Description:
    """What a path holds; told by the files in it, never by its name alone where it is a folder.

    Raises:
        InputRefusedError: nothing there, or nothing that ichseq knows.
        ModelError: a model or a cache that is damaged.
        UsageError: a run of another version.
    """
    from ich_seq.cli import descriptions

    if not path.exists():
        raise InputRefusedError(f"{path}: no such file or folder")
    folder, inside = (path, {item.name for item in path.iterdir()}) if path.is_dir() else (path.parent, {path.name})
    if "model.json" in inside:
        return descriptions.of_model(folder)
    if "extractor.txt" in inside or {"index.json", "parts"} <= inside or path.name == "index.json":
        return descriptions.of_cache(folder)
    if "config.json" in inside:
        return descriptions.of_run(folder)
    if "result.json" in inside:
        return descriptions.of_result(folder / "result.json")
    if path.is_file() and path.suffix in (".parquet", ".csv"):
        return descriptions.of_table(path)
    from ich_seq.cli.study_description import of_study

    return of_study(path)
