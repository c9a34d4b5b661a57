"""Rows of the papers' table made one after another, or, where a processor computes them, several at once."""

import os
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import compress

import click

from ich_seq.cli.paper_rows import Shared, make_row
from ich_seq.cli.terminal import printable
from ich_seq.errors import IchSeqError, OutputError, UsageError
from ich_seq.evaluation.finished_rows import is_finished
from ich_seq.files import write_text
from ich_seq.pools import in_order


@dataclass(frozen=True)
class MadeRow:
    """A row that came to its end: in how many seconds, and the error of one that failed, else nothing."""

    name: str
    seconds: float
    failed: str = ""


def made_rows(shared: Shared, names: Sequence[str], *, quiet: bool) -> Iterator[MadeRow]:
    """The rows as they are made, those first that were finished before; each says on the terminal when it begins.

    On a processor as many are made at once as there are cores (`shared.jobs`, or all), each in a process of its own on its share of
    them: small batches do not keep two cores busy, two rows do. On a GPU one follows the other.

    Raises:
        OutputError: a row cannot be written; the next would meet it too.
        UsageError: the device is not there.
        IchSeqError: a process was ended from outside.
    """
    numbered = list(enumerate(names, start=1))
    finished = [is_finished(shared.row_folder(name)) for name in names]
    for each in compress(numbered, finished):
        yield _made(shared, len(names), (quiet, True), each)
    todo = [each for each, there in zip(numbered, finished, strict=True) if not there]
    cores = shared.jobs or len(os.sched_getaffinity(0))
    at_once = max(1, min(cores, len(todo))) if on_processor(shared.device) else 1
    alone = at_once == 1
    own = replace(shared, jobs=shared.jobs if alone else cores // at_once)
    yield from in_order(partial(_made, own, len(names), (quiet, quiet or not alone)), todo, at_once)


def on_processor(device: str) -> bool:
    """Whether rows are computed on a processor.

    Raises:
        UsageError: the device is not there.
    """
    from ich_seq.training.compute import resolve_device

    try:
        return resolve_device(device) == "cpu"
    except ValueError as error:
        raise UsageError(str(error)) from None


def _made(shared: Shared, of: int, silent: tuple[bool, bool], numbered: tuple[int, str]) -> MadeRow:
    """A row from here to its end; `silent`: whether it says that it begins, and how it gets on."""
    number, name = numbered
    quiet, without_progress = silent
    started = time.monotonic()

    def say(text: str) -> None:
        if not quiet:
            click.echo(printable(f"[{number}/{of}] {text}"))

    try:
        make_row(shared, name, say, quiet=without_progress)
    except OutputError:
        raise
    except IchSeqError as error:
        return MadeRow(name, time.monotonic() - started, error.message)
    except (
        RuntimeError,
        ValueError,
        ArithmeticError,
        MemoryError,
    ) as error:  # a library's, such as memory that is full
        where = shared.row_folder(name) / "error.txt"
        write_text(where, traceback.format_exc())
        what = (str(error).strip() or "no message").splitlines()[0]
        return MadeRow(name, time.monotonic() - started, f"{type(error).__name__}: {what}; all of it is in {where}")
    return MadeRow(name, time.monotonic() - started)
