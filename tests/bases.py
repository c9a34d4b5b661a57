"""The four good series that faults are made from: a synthetic head, and the real series where they are."""

import os
from dataclasses import dataclass
from pathlib import Path

from ich_seq.phantom.cohort import CohortSpec, write_cohort

PROJECT = Path(__file__).resolve().parent.parent
_SPEC = CohortSpec(
    studies=1, seed=6, matrices=(96,), slices=(21, 21), spacing_mm=(5.0, 5.0), tilt_deg=(0.0, 0.0), rotation_deg=0.0
)


@dataclass(frozen=True)
class Base:
    """A good series: its name, its folder below the real data (empty: the phantom), and the codes that it has by itself."""

    name: str
    folder: str
    own: frozenset[str] = frozenset()


PHANTOM = Base("phantom", "")
REAL = (
    Base("rsna", "rsna_series_ID_52c1ab5a"),
    Base("ge", "ge_tilt_variable_spacing"),
    Base("philips", "philips_phantom_5mm"),
)
BASES = {base.name: base for base in (PHANTOM, *REAL)}


def write_phantom(folder: Path) -> Path:
    """The synthetic head as CT files in a new folder: 21 slices of 96 x 96, 5 mm apart, 12 unsigned bits."""
    return write_cohort(_SPEC, folder) / "stage_2_train"


def real_folder() -> Path:
    """Where the real series are, if they are."""
    return Path(os.environ.get("ICHSEQ_REAL_DATA", PROJECT.parent / "shared" / "data"))
