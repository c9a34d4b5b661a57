"""Every fault of `faults` on four good series, as a folder and as a zip: the codes that the catalogue wants, and no other.

The phantom whole and a seeded sample of the real series here; `make campaign` takes all, and makes a table of what each pair gave.
"""

import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bases import BASES, PHANTOM, REAL, Base, write_phantom
from faults import FAULTS, VARIANTS, Fault, Variant
from faults.good import zip_folder
from outcomes import Outcome, codes_of

SAMPLED = 8
IMPOSSIBLE_SHARE = 0.1


def pairs(table: dict[str, Any], bases: tuple[Base, ...]) -> list[tuple[str, str]]:
    """Each fault or variant with each base on which it can exist."""
    return [(name, base.name) for name, entry in table.items() for base in bases if base.name not in entry.impossible]


def sampled(table: dict[str, Any], count: int) -> list[tuple[str, str]]:
    """Some pairs with real series, the same every time."""
    return random.Random(11).sample(pairs(table, REAL), count)


@pytest.fixture(scope="session")
def good(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a base by its name, nothing but its slices in it; a real one is skipped, saying so, where it is absent."""
    made: dict[str, Path] = {}

    def folder(name: str) -> Path:
        if name not in made:
            if BASES[name].folder:
                real = request.getfixturevalue("real_data") / BASES[name].folder
                made[name] = tmp_path_factory.mktemp(name)
                for path in real.glob("*.dcm"):
                    shutil.copyfile(path, made[name] / path.name)
            else:
                made[name] = write_phantom(tmp_path_factory.mktemp("faults") / "phantom")
        return made[name]

    return folder


@pytest.fixture(scope="session")
def images(good: Callable[[str], Path]) -> Callable[[str], np.ndarray]:
    """HU of a base as it is; one base is kept at a time."""
    kept: dict[str, np.ndarray] = {}

    def of(name: str) -> np.ndarray:
        if name not in kept:
            kept.clear()
            kept[name] = volume_of(codes_of(good(name)))
        return kept[name]

    return of


def volume_of(outcome: Outcome) -> np.ndarray:
    assert outcome.volume is not None, f"refused: {sorted(outcome.codes)}"
    return outcome.volume.array()


def both_ways(entry: Fault | Variant, good: Path, work: Path) -> dict[str, Outcome]:
    """What is said of the changed series as a folder and as a zip."""
    entry.apply(good, work / "series")
    zipped = zip_folder(work / "series", work / "series.zip")
    return {"folder": codes_of(work / "series"), "zip": codes_of(zipped)}


def check_fault(name: str, base: str, good: Path, work: Path, record: Callable[[str, object], None]) -> None:
    fault = FAULTS[name]
    expected, own = fault.expected(base), BASES[base].own
    outcomes = both_ways(fault, good, work)
    shutil.rmtree(work / "series")
    wanted = expected - own
    record("expected", " ".join(sorted(expected)))
    for form, outcome in outcomes.items():
        record(form, " ".join(sorted(outcome.codes)))
    for form, outcome in outcomes.items():
        assert outcome.codes - own == wanted, f"{name} of {base} as {form}"
        refuses = outcome.refused - {"E-INCOMPLETE"}
        assert (outcome.volume is None) == bool(refuses), f"{name} of {base} as {form}: {refuses} and a volume"


def check_variant(name: str, base: str, good: Path, hu: np.ndarray, work: Path) -> None:
    variant = VARIANTS[name]
    for form, outcome in both_ways(variant, good, work).items():
        assert outcome.codes - BASES[base].own == variant.dropped, f"{name} of {base} as {form}"
        np.testing.assert_array_equal(volume_of(outcome), hu, err_msg=f"{name} of {base} as {form}")
        if variant.note:
            assert variant.note in outcome.notes
    shutil.rmtree(work / "series")


@pytest.mark.parametrize("base", BASES)
def test_a_good_series_is_read_without_a_warning(good: Callable[[str], Path], base: str) -> None:
    assert codes_of(good(base)).codes == BASES[base].own


def test_at_most_a_tenth_of_the_pairs_cannot_exist() -> None:
    impossible = sum(len(fault.impossible) for fault in FAULTS.values())
    assert len(FAULTS) >= 60
    assert impossible <= IMPOSSIBLE_SHARE * len(FAULTS) * len(BASES)
    assert all(reason for fault in FAULTS.values() for reason in fault.impossible.values())


@pytest.mark.parametrize(("name", "base"), [*pairs(FAULTS, (PHANTOM,)), *sampled(FAULTS, SAMPLED)])
def test_a_fault_gets_its_codes_and_no_other(
    good: Callable[[str], Path], name: str, base: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    check_fault(name, base, good(base), tmp_path, record_property)


@pytest.mark.parametrize(("name", "base"), [*pairs(VARIANTS, (PHANTOM,)), *sampled(VARIANTS, SAMPLED // 2)])
def test_a_harmless_variant_is_read_as_the_series_it_comes_from(
    good: Callable[[str], Path], images: Callable[[str], np.ndarray], name: str, base: str, tmp_path: Path
) -> None:
    check_variant(name, base, good(base), images(base), tmp_path)


@pytest.mark.campaign
@pytest.mark.parametrize(("name", "base"), [pair for base in BASES.values() for pair in pairs(FAULTS, (base,))])
def test_fault(
    good: Callable[[str], Path], name: str, base: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    check_fault(name, base, good(base), tmp_path, record_property)


@pytest.mark.campaign
@pytest.mark.parametrize(("name", "base"), [pair for base in BASES.values() for pair in pairs(VARIANTS, (base,))])
def test_variant(
    good: Callable[[str], Path], images: Callable[[str], np.ndarray], name: str, base: str, tmp_path: Path
) -> None:
    check_variant(name, base, good(base), images(base), tmp_path)
