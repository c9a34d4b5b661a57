"""What a fault is, and the two tables that the decorators fill."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from .good import GoodSeries, as_it_is

Make = Callable[[GoodSeries, Path], None]


@dataclass(frozen=True)
class Fault:
    """One fault: what it is called, its case in the catalogue, and what reading must answer with.

    `codes` are all codes from D, W and E on, and no other; where one of them is an E the series is refused with it. `differs` names
    other codes for a base whose headers say more or less, `impossible` why the fault cannot exist on a base.
    """

    name: str
    case: int
    codes: frozenset[str]
    make: Make = field(repr=False)
    differs: Mapping[str, frozenset[str]] = field(default_factory=dict)
    impossible: Mapping[str, str] = field(default_factory=dict)

    def expected(self, base: str) -> frozenset[str]:
        """The codes on one base."""
        return self.differs.get(base, self.codes)

    def apply(self, good: Path, out: Path) -> None:
        """Write the faulty series of the good one in folder `good` into the new folder `out`."""
        _apply(self.make, good, out)


@dataclass(frozen=True)
class Variant:
    """A series written in another way that says the same: HU and order must not change, and nothing above a note is said.

    `dropped` are codes of files that never were slices; `note` is a code that must be said, if one must.
    """

    name: str
    make: Make = field(repr=False)
    dropped: frozenset[str] = frozenset()
    note: str = ""
    impossible: Mapping[str, str] = field(default_factory=dict)

    def apply(self, good: Path, out: Path) -> None:
        """As `Fault.apply`."""
        _apply(self.make, good, out)


def _apply(make: Make, good: Path, out: Path) -> None:
    out.mkdir(parents=True)
    with as_it_is():
        make(GoodSeries(good), out)


FAULTS: dict[str, Fault] = {}
VARIANTS: dict[str, Variant] = {}


def fault(
    case: int,
    *codes: str,
    differs: Mapping[str, Iterable[str]] | None = None,
    impossible: Mapping[str, str] | None = None,
) -> Callable[[Make], Make]:
    """Enter a function into `FAULTS` under its own name."""
    others = {base: frozenset(own) for base, own in (differs or {}).items()}

    def enter(make: Make) -> Make:
        FAULTS[make.__name__] = Fault(make.__name__, case, frozenset(codes), make, others, impossible or {})
        return make

    return enter


def variant(*dropped: str, note: str = "", impossible: Mapping[str, str] | None = None) -> Callable[[Make], Make]:
    """Enter a function into `VARIANTS` under its own name."""

    def enter(make: Make) -> Make:
        VARIANTS[make.__name__] = Variant(make.__name__, make, frozenset(dropped), note, impossible or {})
        return make

    return enter
