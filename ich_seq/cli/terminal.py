"""Text on the terminal: what comes from files is made inert, and facts stand under each other by name."""

import textwrap
from collections.abc import Mapping, Sequence

import click

_WIDTH = 110


def printable(text: str) -> str:
    """Text from a file made inert for a terminal: control, bidirectional and other invisible characters replaced."""
    return "".join(character if character.isprintable() else "�" for character in text)


def printable_lines(text: str) -> str:
    """As `printable`, line by line."""
    return "\n".join(printable(line) for line in text.split("\n"))


def minutes_and_seconds(seconds: float) -> str:
    """A span of time as `7:04`."""
    return f"{int(seconds) // 60:d}:{int(seconds) % 60:02d}"


def echo_paragraph(text: str) -> None:
    """One paragraph."""
    click.echo(_wrapped(printable(text), "", ""))


def echo_facts(facts: Mapping[str, str | int | Sequence[str]], name_columns: int = 16) -> None:
    """Each fact beside its name, several lines under each other."""
    for name, value in facts.items():
        for number, line in enumerate([str(value)] if isinstance(value, str | int) else value):
            head = f"  {name if number == 0 else '':<{name_columns}}"
            click.echo(_wrapped(printable(line), head, " " * (name_columns + 2)))


def _wrapped(text: str, head: str, indent: str) -> str:
    """Lines of at most _WIDTH columns; a path stays in one piece, so that it can be copied."""
    return textwrap.fill(
        text,
        _WIDTH,
        initial_indent=head,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
