"""The tables that taught models, where they are at hand: named by the user, or beside the model in its run."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ich_seq.errors import UsageError
from ich_seq.files import sha256_of

if TYPE_CHECKING:
    from ich_seq.evaluation.overlap import Teacher
    from ich_seq.model.bundle import TrainedOn


def training_tables_of(
    taught_by: "Sequence[TrainedOn]", models: Sequence[Path], named: Sequence[Path]
) -> "list[Teacher]":
    """Each of what taught the models, with its table, or None where that is not at hand; told by SHA-256, not by name.

    Raises:
        UsageError: a table that was named taught none of the models.
        DatasetError: one is no table of slices.
    """
    from ich_seq.manifest.table import read_table

    beside = [path for model in models if (path := model.resolve().parent / "table.parquet").exists()]
    found = {sha256_of(path): path for path in (*beside, *named)}
    wanted = {each.table_sha256 for each in taught_by}
    for path in named:
        if sha256_of(path) not in wanted:
            raise UsageError(f"{path}: not the table that the model was trained with (its SHA-256 is another)")
    tables = {digest: read_table(path) for digest, path in found.items() if digest in wanted}
    return [(each, tables.get(each.table_sha256)) for each in taught_by]
