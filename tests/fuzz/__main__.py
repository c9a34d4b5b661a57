"""One mutant made again, or a run of some: what became of them.

cd tests && PYTHONPATH=.. python -m fuzz show CAMPAIGN NUMBER [--real FOLDER]
cd tests && PYTHONPATH=.. python -m fuzz run CAMPAIGN COUNT [--processes N] [--real FOLDER]
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from fuzz.child import judged
from fuzz.crew import run
from fuzz.mutate import mutant_of
from fuzz.seeds import made_seeds, real_seeds


def main() -> int:
    """Says what became of it; 1 where anything is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("show", "run"))
    parser.add_argument("campaign")
    parser.add_argument("number", type=int)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--real", type=Path)
    parser.add_argument("--keep", type=Path, help="show: a folder for the files of the mutant")
    words = parser.parse_args()
    return show(words) if words.what == "show" else several(words)


def show(words: argparse.Namespace) -> int:
    """One mutant."""
    seeds = real_seeds(words.real) if words.real else made_seeds()
    mutant = mutant_of(seeds, words.campaign, words.number)
    with tempfile.TemporaryDirectory() as folder:
        home = words.keep or Path(folder)
        home.mkdir(exist_ok=True)
        outcome, code, wrong = judged(mutant, home)
    sys.stdout.write("\n".join([mutant.seed.name, *mutant.words, f"{outcome} {code}", *wrong]) + "\n")
    return bool(wrong)


def several(words: argparse.Namespace) -> int:
    """A run of mutants."""
    begun = time.monotonic()
    tally = run(words.campaign, words.number, words.processes, words.real)
    rows = [f"{name or '-':24} {dict(counts)}" for place in (0, 1) for name, counts in sorted(tally.by(place).items())]
    faults = [f"{fault['number']} {fault['seed']} {fault['done']}: {fault['fault']}" for fault in tally.faults]
    end = f"{sum(tally.counts.values())} in {time.monotonic() - begun:.0f} s, {tally.peak_bytes / 1024**2:.0f} MiB"
    sys.stdout.write("\n".join([*rows, str(tally.slowest), *faults, end]) + "\n")
    return bool(tally.faults)


if __name__ == "__main__":
    sys.exit(main())
