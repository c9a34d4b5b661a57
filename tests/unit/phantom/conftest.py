from pathlib import Path

import pytest

from ich_seq.labels import SUBTYPE_NAMES
from ich_seq.phantom.cohort import CohortSpec, write_cohort

EVERYONE = dict.fromkeys(SUBTYPE_NAMES, 0.6)


@pytest.fixture(scope="session")
def small_spec() -> CohortSpec:
    """Few thick slices in the smallest matrices: quick, and all that is claimed of large studies holds for them too."""
    return CohortSpec(studies=4, seed=5, matrices=(128, 160), slices=(20, 22), prevalence=EVERYONE, any_prevalence=0.9)


@pytest.fixture(scope="session")
def cohort(small_spec: CohortSpec, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_cohort(small_spec, tmp_path_factory.mktemp("phantom") / "cohort")
