"""The child, but mutant 3 kills the process, 5 never ends and 7 takes memory without end: for the test of who watches it."""

import os
import signal
import sys
import time

from fuzz import child
from fuzz.mutate import Mutant
from fuzz.seeds import Seed


def _badly(mutant: Mutant, _folder: object) -> tuple[str, str, tuple[str, ...]]:
    if mutant.number == 3:
        os.kill(os.getpid(), signal.SIGSEGV)
    while mutant.number == 5:
        pass
    if mutant.number == 7:
        held = bytearray(os.urandom(1024) * 400 * 1024)
        time.sleep(30)
        del held
    return "same", "", ()


if __name__ == "__main__":
    child.judged = _badly
    child.made_seeds = lambda: [Seed("none", (bytes(400),), ())]
    sys.exit(child.main(*sys.argv[1:]))
