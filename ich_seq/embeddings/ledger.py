"""Which series are done: lines that each extraction adds to a file of its own, so that another run need not read them again."""

import json
import re
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

from ich_seq.distrust import DamagedError, sealed, whole_lines
from ich_seq.errors import CacheError
from ich_seq.files import output_errors, write_text

_IDENTITY = re.compile(r"[0-9a-f]{64}|")


@dataclass(frozen=True)
class Done:
    """What became of one series: its part's identity, empty where no slice could be read, and why slices could not be."""

    identity: str
    unreadable: tuple[str, ...]


class Ledger:
    """The lines of one extraction; several write to one cache at a time, each to its own file."""

    def __init__(self, folder: Path, name: str) -> None:
        """Takes up what is there, or begins.

        Raises:
            CacheError: there is something else of its name.
            OutputError: the file cannot be written.
        """
        self.path = folder / f"done-{name}.jsonl"
        lines = [json.dumps(sealed(line)) + "\n" for line in _lines_of(self.path)]
        write_text(self.path, "".join(lines))

    def add(self, source: str, done: Done) -> None:
        """Notes one series, after its part is on disk.

        Raises:
            OutputError: the line cannot be written.
        """
        line = {"source": source, "identity": done.identity, "unreadable": list(done.unreadable)}
        with output_errors(self.path), self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(sealed(line)) + "\n")


def read_done(folder: Path) -> dict[str, Done]:
    """What all extractions noted of series whose part is there, by source.

    Raises:
        CacheError: something else than a file has the name of one.
    """
    found = {}
    with output_errors(folder):
        paths = sorted(folder.glob("done-*.jsonl"))
    for path in paths:
        for line in _lines_of(path):
            done = Done(line["identity"], tuple(line["unreadable"]))
            if not done.identity or (folder / "parts" / f"{done.identity}.h5").is_file():
                found[line["source"]] = done
    return found


def _lines_of(path: Path) -> list[dict[str, Any]]:
    """The lines before the one that a kill cut short, that was changed, or that says something else."""
    try:
        return list(takewhile(_is_done, whole_lines(path)))
    except DamagedError as error:
        raise CacheError(f"{path}: {error}; remove it and run `ichseq extract-features` again", path=path) from error


def _is_done(line: dict[str, Any]) -> bool:
    texts = [line.get("source"), line.get("identity")]
    reasons = line.get("unreadable")
    if not isinstance(reasons, list) or not all(isinstance(text, str) for text in [*texts, *reasons]):
        return False
    return len(line) == 3 and _IDENTITY.fullmatch(line["identity"]) is not None
