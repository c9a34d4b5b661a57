"""Mutants of good series, each made again from the name of its campaign and its number alone."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from fuzz import fragments, structure
from fuzz.seeds import Seed
from fuzz.tokens import BROKEN, Tokens, tokens_of

_WEIGHTS = {"explicit": 4, "implicit": 4, "big": 3, "deflated": 3, "private": 3, "private-implicit": 3}
"""How much more often than the others a seed is taken: what costs least and has most to read."""
_INTERESTING = (
    b"\xff\xff\xff\xff", b"\xfe\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\0\0", b"\xff\xff", b"\0\0", b"\1\0", b"\0\x80",
    b"\xfe\xff\0\xe0", b"\xfe\xff\x0d\xe0", b"\xfe\xff\xdd\xe0", b"\xe0\x7f\x10\0", b"SQ", b"UN", b"OB", b"\\", b"DICM",
)  # fmt: skip


@dataclass
class Mutant:
    """The files of one mutant, which file of the seed each was, and what was done to each.

    `changes` counts what was done to each; `pixels_kept`: nothing touched its pixel data, but perhaps how they are cut into
    fragments.
    """

    number: int
    seed: Seed
    slots: list[int]
    files: list[bytes]
    kinds: list[str] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    pixels_kept: list[bool] = field(default_factory=list)
    changes: list[int] = field(default_factory=list)


def mutant_of(seeds: Sequence[Seed], campaign: str, number: int) -> Mutant:
    """Mutant `number` of a campaign: a seed, one of its files or all, and one to six changes."""
    rng = random.Random(f"{campaign}/{number}")
    seed = rng.choices(seeds, [_WEIGHTS.get(seed.name, 1) for seed in seeds])[0]
    whole = len(seed.files) > 1 and rng.random() < 0.09
    slots = list(range(len(seed.files))) if whole else [rng.randrange(len(seed.files))]
    made = Mutant(
        number,
        seed,
        slots,
        [seed.files[slot] for slot in slots],
        pixels_kept=[True] * len(slots),
        changes=[0] * len(slots),
    )
    if whole and rng.random() < 0.3:
        _change_series(made, seeds, rng)
    hit = rng.sample(range(len(slots)), rng.choice((1, 1, 1, 2, len(slots))) if whole else 1)
    for place in hit if len(made.kinds) == 0 or rng.random() < 0.5 else ():
        for _ in range(rng.choice((1, 1, 1, 1, 2, 3, 6))):
            _change_file(made, place, seeds, rng)
    return made


def _change_file(made: Mutant, place: int, seeds: Sequence[Seed], rng: random.Random) -> None:
    """One change to one file: of its structure where that can be read, else of its bytes."""
    raw = made.files[place]
    tokens = None
    if rng.random() < 0.7:
        try:
            tokens = tokens_of(raw)
        except BROKEN:
            tokens = None
    if tokens is None or not tokens.elements:
        kind, words, changed, kept = bytes_changed(raw, seeds, rng)
    else:
        kind, words, changed, kept = _structure_changed(tokens, made.seed, seeds, rng)
    cuts = (
        [words, *(told for told in made.words if told.startswith(f"file {place}: fragments"))]
        if kind == "fragments"
        else []
    )
    if len(cuts) > 1 and any(told.endswith(("drop", "repeat")) for told in cuts):
        kept = False  # together they may be one fragment in the place of another, which nobody can see
    made.files[place] = changed
    made.kinds.append(kind)
    made.words.append(f"file {place}: {kind}: {words}")
    made.pixels_kept[place] = made.pixels_kept[place] and kept
    made.changes[place] += 1


def _structure_changed(
    tokens: Tokens, seed: Seed, seeds: Sequence[Seed], rng: random.Random
) -> tuple[str, str, bytes, bool]:
    compressed = fragments.is_encapsulated(tokens)
    if compressed and rng.random() < 0.25:
        words, changed, kept = fragments.changed(tokens, rng)
        return "fragments", words, changed.joined(), kept
    kind = rng.choice(tuple(structure.CHANGES))
    other = tokens_of(rng.choice(rng.choice(seeds).files if rng.random() < 0.2 else seed.files))
    words, changed = structure.CHANGES[kind](tokens, other, rng)
    before, after = tokens.at(0x7FE00010), changed.at(0x7FE00010)
    kept = before >= 0 and after >= 0 and changed.elements[after] == tokens.elements[before]
    return kind, words, changed.joined(), kept


def bytes_changed(raw: bytes, seeds: Sequence[Seed], rng: random.Random) -> tuple[str, str, bytes, bool]:
    """One change of bytes, mostly before the pixel data; those of a deflated data set are changed as they lie in the file."""
    pixels = max(raw.rfind(b"\xe0\x7f\x10\x00"), raw.rfind(b"\x7f\xe0\x00\x10"))
    end = pixels if pixels > 0 and rng.random() < 0.85 else len(raw)
    at = rng.randrange(max(1, end))
    if end > 400 and rng.random() < 0.7:
        at = rng.randrange(132, end)
    kind = rng.choice(tuple(_BYTES))
    changed, words = _BYTES[kind](raw, at, rng, seeds)
    kept = pixels > 0 and changed.endswith(raw[pixels:]) and kind != "truncate"
    return kind, f"at {at}: {words}", changed, kept


def _flip(raw: bytes, at: int, rng: random.Random, _seeds: Sequence[Seed]) -> tuple[bytes, str]:
    bit = 1 << rng.randrange(8)
    return raw[:at] + bytes([raw[at] ^ bit]) + raw[at + 1 :] if raw else raw, f"bit {bit}"


def _overwrite(raw: bytes, at: int, rng: random.Random, _seeds: Sequence[Seed]) -> tuple[bytes, str]:
    value = rng.choice(_INTERESTING) if rng.random() < 0.7 else rng.randbytes(rng.choice((1, 2, 4, 8)))
    return raw[:at] + value + raw[at + len(value) :], repr(value)


def _insert(raw: bytes, at: int, rng: random.Random, _seeds: Sequence[Seed]) -> tuple[bytes, str]:
    value = rng.choice(_INTERESTING) if rng.random() < 0.5 else rng.randbytes(rng.randrange(1, 33))
    return raw[:at] + value + raw[at:], repr(value)


def _delete(raw: bytes, at: int, rng: random.Random, _seeds: Sequence[Seed]) -> tuple[bytes, str]:
    count = rng.choice((1, 2, 4, 8, rng.randrange(1, 200)))
    return raw[:at] + raw[at + count :], f"{count} bytes"


def _truncate(raw: bytes, at: int, rng: random.Random, _seeds: Sequence[Seed]) -> tuple[bytes, str]:
    keep = rng.choice((at, len(raw) - 1, len(raw) - 2, rng.randrange(len(raw) + 1)))
    return raw[: max(0, keep)], f"to {keep} bytes"


def _splice(raw: bytes, at: int, rng: random.Random, seeds: Sequence[Seed]) -> tuple[bytes, str]:
    seed = rng.choice(seeds)
    other = rng.choice(seed.files)
    start, count = rng.randrange(len(other)), rng.choice((8, 16, 64, 300))
    cut = rng.choice((0, count))
    return raw[:at] + other[start : start + count] + raw[at + cut :], f"{count} bytes of {seed.name} from {start}"


def _exchange(raw: bytes, at: int, rng: random.Random, _seeds: Sequence[Seed]) -> tuple[bytes, str]:
    count, apart = rng.choice((1, 2, 4, 16)), rng.randrange(1, 200)
    first, second = raw[at : at + count], raw[at + count + apart : at + 2 * count + apart]
    between = raw[at + count : at + count + apart]
    return raw[:at] + second + between + first + raw[
        at + 2 * count + apart :
    ], f"{count} bytes with those {apart} behind"


_BYTES: dict[str, Callable[[bytes, int, random.Random, Sequence[Seed]], tuple[bytes, str]]] = {
    "flip": _flip,
    "overwrite": _overwrite,
    "insert": _insert,
    "delete": _delete,
    "truncate": _truncate,
    "splice": _splice,
    "exchange": _exchange,
}


def _change_series(made: Mutant, seeds: Sequence[Seed], rng: random.Random) -> None:
    """One file of a series replaced: by another file of it, by one of another series, or by one in another syntax."""
    place = rng.randrange(len(made.files))
    kind = rng.choice(("same", "other series", "exchanged"))
    if kind == "same":
        source = rng.randrange(len(made.files))
        made.files[place], made.slots[place] = made.seed.files[made.slots[source]], made.slots[source]
        words = f"file {place} is file {source} again"
    elif kind == "exchanged":
        made.files.reverse()
        made.slots.reverse()
        words = "files in reverse order"
    else:
        other = rng.choice([seed for seed in seeds if len(seed.files) > place])
        tokens = tokens_of(made.seed.files[place])
        graft = {e.tag: e for e in tokens.elements if e.tag in (0x0020000D, 0x0020000E, 0x00200052)}
        mixed = tokens_of(other.files[place])
        kept = [graft.get(e.tag, e) if rng.random() < 0.9 else e for e in mixed.elements]
        made.files[place] = mixed.with_elements(kept).joined()
        made.pixels_kept[place] = False
        made.changes[place] = 2
        words = f"file {place} is that of {other.name} under this series' UID"
    made.kinds.append("files")
    made.words.append(words)
