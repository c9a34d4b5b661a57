"""`ichseq codes`: every code of reading with its sentence and what to do, on the terminal and as the page CODES.md."""

import json

import click

from ich_seq.cli import options
from ich_seq.cli.terminal import echo_facts, echo_paragraph, printable
from ich_seq.dicom import Code, Severity
from ich_seq.errors import UsageError

_SEVERITIES = {
    Severity.REFUSED: ("E", "refuses the series, or the archive", "Nothing is scored, and the command exits with 3."),
    Severity.DROPPED: (
        "D",
        "leaves one file out",
        "Where it was a slice of the series, the result is marked incomplete: no label reads absent.",
    ),
    Severity.WARNING: (
        "W",
        "is accepted with a warning",
        "The warning stands beside the scores; `ichseq check` exits with 10, and `--strict` refuses.",
    ),
    Severity.NOTE: ("N", "is a note", "Nothing is wrong; it is said so that nothing was done in silence."),
}
_CODE_COLUMNS = max(len(code.value) for code in Code) + 2
_INTRODUCTION = """# Codes

Whatever reading finds in a study, it answers with a code: in `result.json`, in the report beside the scores, on the terminal, and
in `ichseq check`. Codes are stable, their sentences may be reworded. `ichseq codes` prints them on the terminal; this page is made
from the program's own list by `ichseq codes --markdown > CODES.md`.
"""


@click.command()
@click.argument("names", nargs=-1, metavar="[CODE]...")
@click.option("--markdown", is_flag=True, help="Print all as the page CODES.md.")
@options.as_json
def codes(names: tuple[str, ...], markdown: bool, as_json: bool) -> None:
    """List every code that reading answers with: how grave it is, what it says, and what to do; with CODE, these only."""
    chosen = _chosen(names)
    if markdown:
        click.echo(codes_page(), nl=False)
        return
    if as_json:
        click.echo(json.dumps([_facts(code) for code in chosen], indent=2))
        return
    for severity, (letter, what, consequence) in _SEVERITIES.items():
        if of_it := [code for code in chosen if code.severity is severity]:
            echo_paragraph(f"{letter}: {what}. {consequence.replace('`', '')}")
            echo_facts({code.value: [code.text, code.remedy] for code in of_it}, _CODE_COLUMNS)
            click.echo()


def codes_page() -> str:
    """CODES.md: a table for each severity, codes in alphabetical order."""
    parts = [_INTRODUCTION]
    for severity, (letter, what, consequence) in _SEVERITIES.items():
        rows = [f"| `{code.value}` | {code.text} | {code.remedy} |" for code in _sorted() if code.severity is severity]
        head = "| code | what was found | what to do |\n| --- | --- | --- |"
        parts.append(f"\n## {letter}: {what}\n\n{consequence}\n\n{head}\n" + "\n".join(rows) + "\n")
    return "".join(parts)


def _chosen(names: tuple[str, ...]) -> list[Code]:
    known = {code.value: code for code in Code}
    unknown = [name for name in names if name.upper() not in known]
    if unknown:
        raise UsageError(f"{printable(unknown[0])}: no such code; `ichseq codes` lists all")
    return [known[name.upper()] for name in names] or _sorted()


def _sorted() -> list[Code]:
    return sorted(Code, key=lambda code: code.value)


def _facts(code: Code) -> dict[str, str]:
    return {
        "code": code.value,
        "severity": code.severity.name.lower(),
        "text": code.text,
        "what_to_do": code.remedy,
    }
