"""The metrics of a fit as JSON lines, one record a line; a resumed fit continues where its checkpoint stands."""

import json
import math
from pathlib import Path
from typing import Any

from ich_seq.files import output_errors, write_text


class MetricsLog:
    """Appends records to a file of JSON lines; a NaN is written as null."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, record: dict[str, Any]) -> None:
        """Adds one record.

        Raises:
            OutputError: disk full or file not writable.
        """
        line = json.dumps({key: _finite(value) for key, value in record.items()}, allow_nan=False)
        with output_errors(self.path), self.path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    def keep_epochs_before(self, epoch: int) -> None:
        """Drops the records of `epoch` and later, which a resumed fit writes again, and a line cut short by a kill."""
        if self.path.exists():
            kept = [record for record in self.records() if record["epoch"] < epoch]
            write_text(self.path, "".join(json.dumps(record) + "\n" for record in kept))

    def records(self) -> list[dict[str, Any]]:
        """Every whole record, in order of writing."""
        if not self.path.exists():
            return []
        records = []
        for line in self.path.read_text(encoding="utf-8").splitlines():
            try:
                records.append(json.loads(line))
            except json.JSONDecodeError:  # a kill in the middle of a write leaves part of the last line
                break
        return records


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
