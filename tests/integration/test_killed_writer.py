"""`kill -9` of a process that writes embeddings: every scan that it acknowledged is there afterwards, bit for bit, and it goes on.

Of HDF5 files that are only flushed, 100 kills showed no fault and 300 lost what was acknowledged; hence a thousand in
`make campaign`, of which `make test` does a few. After each kill the same process takes up what is there, without repair.
"""

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import embedding_writer
import numpy as np
import pytest
from embedding_writer import READY, identity_of, scan, source_of

from ich_seq.embeddings.cache import open_cache, write_index
from ich_seq.embeddings.ledger import read_done
from ich_seq.embeddings.part import read_part
from ich_seq.errors import CacheError
from ich_seq.files import TEMPORARY_PREFIX

KILLS_PER_CACHE = 100
FIELDS = ("sop_instance_uids", "position_mm", "embedding", "logits")


@dataclass
class Tally:
    """Kills, those that met the process between two acknowledgements, what was acknowledged, and what became of it."""

    kills: int = 0
    left_something: int = 0
    acknowledged: list[int] = field(default_factory=list)
    lost: list[int] = field(default_factory=list)
    corrupt: list[int] = field(default_factory=list)


def kill_once(folder: Path, generator: np.random.Generator) -> list[int]:
    """Starts the writer, kills it at a moment drawn by the generator, and returns the scans that it acknowledged.

    One time in five it is killed as it takes up the cache, else up to 4 ms after an acknowledgement: a scan takes about 3.
    """
    words = [sys.executable, embedding_writer.__file__, str(folder)]
    taking_up = generator.random() < 0.2
    wanted = 1 if taking_up else int(generator.integers(2, 9))
    delay = generator.uniform(0, 0.02 if taking_up else 0.004)
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stderr
        said = [process.stdout.readline().strip() for _ in range(wanted)]
        time.sleep(delay)
        process.kill()
        rest, errors = process.communicate()
    assert process.returncode == -signal.SIGKILL, errors
    said += rest.split()
    assert said[0] == READY
    return [int(word) for word in said[1:]]


def check(folder: Path, numbers: list[int], tally: Tally) -> None:
    """Counts which of these scans are not noted, cannot be read, or are not what was written."""
    known = read_done(folder)
    for number in numbers:
        done = known.get(source_of(number))
        if done is None or done.identity != identity_of(number):
            tally.lost.append(number)
            continue
        try:
            found = read_part(folder / "parts", done.identity)
        except CacheError:
            tally.corrupt.append(number)
            continue
        wanted = scan(number)
        if not all(np.array_equal(getattr(found, name), getattr(wanted, name)) for name in FIELDS):
            tally.corrupt.append(number)


def kill_often(folder: Path, kills: int, seed: int) -> Tally:
    """So many kills, `KILLS_PER_CACHE` on one cache; what was acknowledged is read back after each, and all of it at the end."""
    generator, tally = np.random.default_rng(seed), Tally()
    for first in range(0, kills, KILLS_PER_CACHE):
        cache = folder / f"cache_{first}"
        cache.mkdir()
        acknowledged: list[int] = []
        for _ in range(min(KILLS_PER_CACHE, kills - first)):
            new = kill_once(cache, generator)
            assert not set(new) & set(acknowledged), "what was acknowledged before was done again"
            tally.kills += 1
            tally.left_something += any(path.name.startswith(TEMPORARY_PREFIX) for path in cache.rglob(".*"))
            check(cache, new, tally)
            acknowledged += new
        check(cache, acknowledged, tally)
        tally.acknowledged += acknowledged
        write_index(cache, "e" * 64, [identity_of(number) for number in sorted(acknowledged)])
        assert sum(1 for _ in open_cache(cache).series()) == len(acknowledged)
    return tally


def judge(tally: Tally, kills: int) -> None:
    assert (tally.kills, tally.lost, tally.corrupt) == (kills, [], [])
    assert len(tally.acknowledged) > kills, "too few were acknowledged to say anything"


@pytest.fixture
def told(record_property: Callable[[str, object], None]) -> Callable[[Tally, float], None]:
    """Into pytest's report, from which the campaign's page is made."""

    def tell(tally: Tally, seconds: float) -> None:
        facts = {"kills": tally.kills, "met a half-written file": tally.left_something}
        facts |= {"scans acknowledged": len(tally.acknowledged), "lost": len(tally.lost), "corrupt": len(tally.corrupt)}
        for name, value in (facts | {"kills a second": f"{tally.kills / seconds:.2f}"}).items():
            record_property(name, value)

    return tell


def test_a_few_kills_lose_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    judge(kill_often(tmp_path, 8, seed=1), 8)


def test_the_check_sees_a_scan_that_is_lost_and_one_that_is_not_what_was_written(tmp_path: Path) -> None:
    folder, tally = tmp_path / "cache", Tally()
    folder.mkdir()
    generator = np.random.default_rng(0)
    while len(tally.acknowledged) < 2:
        tally.acknowledged += kill_once(folder, generator)
    first, second = (folder / "parts" / f"{identity_of(number)}.h5" for number in tally.acknowledged[:2])
    content = bytearray(first.read_bytes())
    content[len(content) // 2] ^= 1
    first.write_bytes(content)
    second.unlink()
    check(folder, tally.acknowledged[:2], tally)
    assert (tally.corrupt, tally.lost) == (tally.acknowledged[:1], tally.acknowledged[1:2])


@pytest.mark.campaign
@pytest.mark.parametrize("kills", [1000])
def test_killed_writer(tmp_path: Path, kills: int, told: Callable[[Tally, float], None]) -> None:
    started = time.monotonic()
    tally = kill_often(tmp_path, kills, seed=2)
    told(tally, time.monotonic() - started)
    judge(tally, kills)
