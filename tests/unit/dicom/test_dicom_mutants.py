"""Damaged files must end in a code or one of our errors, whatever was damaged."""

import contextlib
import random

import numpy as np
import pytest
from dicom_factory import SYNTAXES, make_multiframe, make_series

from ich_seq.dicom import read_study_files
from ich_seq.errors import IchSeqError
from ich_seq.volume import Volume


def mutant(raw: bytes, rng: random.Random) -> bytes:
    """The bytes with a few of them changed, removed or inserted after the preamble."""
    damaged = bytearray(raw)
    for _ in range(rng.choice((1, 1, 2, 5, 20))):
        at = rng.randrange(132, min(1500, len(damaged)))
        kind = rng.randrange(4)
        if kind == 0:
            damaged[at] = rng.randrange(256)
        elif kind == 1:
            del damaged[at : at + rng.randrange(1, 40)]
        elif kind == 2:
            damaged[at:at] = rng.randbytes(rng.randrange(1, 20))
        else:
            damaged[at : at + 4] = b"\xff\xff\xff\xff"  # an undefined length
    return bytes(damaged)


@pytest.mark.parametrize("syntax", [*SYNTAXES, "multiframe"])
def test_a_damaged_file_ends_in_a_code_or_in_our_error(tmp_path, syntax):
    rng = random.Random(f"seed of {syntax}")
    if syntax == "multiframe":
        paths = [make_multiframe(tmp_path / "enhanced.dcm", 3)]
    else:
        paths = make_series(tmp_path, 3, syntax=syntax)
    whole = paths[0].read_bytes()
    for _ in range(40):
        paths[0].write_bytes(mutant(whole, rng))
        with contextlib.suppress(IchSeqError):
            for study in read_study_files([tmp_path]).studies:
                assert (study.chosen is None) <= (study.refusal is not None)
                if study.chosen is not None:
                    volume = Volume(study.chosen)
                    assert all(np.isfinite(hu).all() for _, hu in volume.read())
                    volume.settled()
