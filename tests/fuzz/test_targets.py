"""What the coverage-guided fuzzer calls holds on its seeds and on a few hundred mutants of each, also where atheris is not there."""

import random
from importlib import import_module

import pytest

from fuzz.mutate import bytes_changed
from fuzz.seeds import Seed
from fuzz.targets import NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_damaged_input_ends_in_an_error_of_ours(name):
    target = import_module(f"fuzz.targets.{name}")
    seeds = [Seed(str(number), (raw,), ()) for number, raw in enumerate(target.seeds())]
    rng = random.Random(name)
    for seed in seeds:
        target.check(seed.files[0])
    for _ in range(300):
        (raw,) = rng.choice(seeds).files
        for _ in range(rng.choice((1, 1, 2, 5))):
            raw = bytes_changed(raw or b"\0", seeds, rng)[2]
        target.check(raw)
