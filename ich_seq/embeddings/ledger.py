"""Which series are done: lines that each extraction adds to a file of its own, so that another run need not read them again."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from ich_seq.files import output_errors, write_text
from ich_seq.manifest.table import slice_places


@dataclass(frozen=True)
class Done:
    """What became of one series: its part's identity, empty where no slice could be read, and why slices could not be."""

    identity: str
    unreadable: tuple[str, ...]


def source_of(extractor: str, rows: pd.DataFrame, root: Path) -> str:
    """SHA-256 over what a series' part is made from, unread: extractor, identifiers, positions, files' sizes and times."""
    digest = hashlib.sha256(extractor.encode())
    for column in ("series_instance_uid", "sop_instance_uid", "path"):
        digest.update("\n".join(rows[column].astype(str)).encode())
    digest.update(rows[["position_mm", "slice_index"]].to_numpy("float64").tobytes())
    for path in dict.fromkeys(path for path, _ in slice_places(rows, root)):
        try:
            facts = path.stat()
            digest.update(f"{facts.st_size} {facts.st_mtime_ns}".encode())
        except OSError:
            digest.update(b"absent")
    return digest.hexdigest()


class Ledger:
    """The lines of one extraction; several write to one cache at a time, each to its own file."""

    def __init__(self, folder: Path, name: str) -> None:
        self.path = folder / f"done-{name}.jsonl"
        lines = [json.dumps(line) + "\n" for line in _whole_lines(self.path)]
        write_text(self.path, "".join(lines))

    def add(self, source: str, done: Done) -> None:
        """Notes one series, after its part is on disk.

        Raises:
            OutputError: the line cannot be written.
        """
        line = {"source": source, "identity": done.identity, "unreadable": list(done.unreadable)}
        with output_errors(self.path), self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def read_done(folder: Path) -> dict[str, Done]:
    """What all extractions noted of series whose part is there, by source."""
    found = {}
    for path in sorted(folder.glob("done-*.jsonl")):
        for line in _whole_lines(path):
            done = Done(str(line["identity"]), tuple(map(str, line["unreadable"])))
            if not done.identity or (folder / "parts" / f"{done.identity}.h5").is_file():
                found[str(line["source"])] = done
    return found


def _is_done(line: dict[str, Any]) -> bool:
    named = isinstance(line.get("source"), str) and isinstance(line.get("identity"), str)
    return named and isinstance(line.get("unreadable"), list)


def _whole_lines(path: Path) -> list[dict[str, Any]]:
    """The lines before the one that a kill may have cut short."""
    lines: list[dict[str, Any]] = []
    if path.is_file():
        for text in path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                line = json.loads(text)
            except json.JSONDecodeError:
                break
            if not isinstance(line, dict) or not _is_done(line):
                break
            lines.append(line)
    return lines
