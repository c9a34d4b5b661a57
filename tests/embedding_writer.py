"""A process that writes generated embeddings through the product's own cache code until it is killed, without torch or pandas.

`python embedding_writer.py FOLDER` takes up the cache in FOLDER as `extract-features` does, says `ready`, and then the number of each
scan once its part and its line in the ledger are written: from then on it must never be lost.
"""

import hashlib
import itertools
import os
import sys
from pathlib import Path

import numpy as np

from ich_seq.embeddings.ledger import Done, Ledger, read_done
from ich_seq.embeddings.part import SeriesFeatures, is_whole, write_part
from ich_seq.files import remove_dead_leftovers

WIDTH = 2048
READY = "ready"


def identity_of(number: int) -> str:
    """The part's identity of a generated scan, as 64 hexadecimal digits."""
    return hashlib.sha256(f"scan {number}".encode()).hexdigest()


def source_of(number: int) -> str:
    """What the ledger knows the scan by."""
    return hashlib.sha256(f"source {number}".encode()).hexdigest()


def scan(number: int) -> SeriesFeatures:
    """What a scan's embeddings must be: of 5 to 14 slices, from its number alone."""
    generator = np.random.default_rng(number)
    slices = 5 + number % 10
    return SeriesFeatures(
        f"1.2.{number}",
        tuple(f"1.2.{number}.{place}" for place in range(slices)),
        np.arange(slices) * 5.0,
        generator.random((slices, WIDTH), np.float32).astype(np.float16),
        generator.standard_normal((slices, 6), np.float32),
    )


def write(folder: Path) -> None:
    """Writes one scan after another, those that are noted as done left out."""
    parts = folder / "parts"
    parts.mkdir(exist_ok=True)
    for place in (parts, folder):
        remove_dead_leftovers(place)
    known, ledger = read_done(folder), Ledger(folder, "0-of-1")
    for number in itertools.count():
        if source_of(number) in known:
            continue
        if not is_whole(parts, identity_of(number)):
            write_part(parts, identity_of(number), scan(number))
        ledger.add(source_of(number), Done(identity_of(number), ()))
        say(str(number))


def say(word: str) -> None:
    """One line, at once and whole."""
    os.write(1, f"{word}\n".encode())


if __name__ == "__main__":
    say(READY)
    write(Path(sys.argv[1]))
