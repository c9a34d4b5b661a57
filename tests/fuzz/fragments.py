"""Changes to encapsulated pixel data: offset tables and fragments. Source: DICOM PS3.5 annex A.4."""

import random
import struct
from dataclasses import replace

from fuzz.tokens import ITEM, PIXEL_DATA, SEQUENCE_END, UNDEFINED, Element, Tokens, encoded


def is_encapsulated(tokens: Tokens) -> bool:
    """Whether the pixel data are fragments."""
    at = tokens.at(PIXEL_DATA)
    return at >= 0 and tokens.elements[at].length == UNDEFINED


def changed(tokens: Tokens, rng: random.Random) -> tuple[str, Tokens, bool]:
    """What was done, the file, and whether its frames still are what they were, or else must not be read.

    Nobody can tell that one fragment of a single frame is gone, or is there twice, but by the decoder's complaint. That one of
    several frames is not in its place must be seen.
    """
    at = tokens.at(PIXEL_DATA)
    table, parts, end = _split(tokens.elements[at].value)
    kind = rng.choice(("table", "no table", "cut", "join", "drop", "repeat", "empty", "no end", "junk behind", "odd"))
    several = tokens.at(0x00280008) >= 0
    kept = several or kind in ("table", "no table", "cut", "join", "empty", "no end", "junk behind")
    if kind == "table":
        table = rng.choice(
            (rng.randbytes(4), rng.randbytes(8), b"\0\0\0\0" * rng.randrange(1, 9), struct.pack("<I", 8))
        )
    elif kind == "no table":
        table = b""
    elif kind == "cut":
        chosen = rng.randrange(len(parts))
        place = rng.randrange(0, len(parts[chosen]) + 1, 2)
        parts[chosen : chosen + 1] = [parts[chosen][:place], parts[chosen][place:]]
    elif kind == "join":
        parts = [b"".join(parts)]
    elif kind in ("drop", "repeat"):
        chosen = rng.randrange(len(parts))
        parts[chosen : chosen + 1] = [] if kind == "drop" else [parts[chosen]] * 2
    elif kind == "empty":
        parts.insert(rng.randrange(len(parts) + 1), b"")
    elif kind == "no end":
        end = b""
    elif kind == "junk behind":
        end += rng.randbytes(rng.randrange(1, 40))
    else:
        parts[-1] += b"\0"
    value = b"".join(encoded(Element(ITEM, b"", part), True, False) for part in (table, *parts)) + end
    elements = list(tokens.elements)
    elements[at] = replace(elements[at], value=value)
    return kind, tokens.with_elements(elements), kept


def _split(value: bytes) -> tuple[bytes, list[bytes], bytes]:
    """The offset table, the fragments, and what follows them."""
    items, at = [], 0
    while at + 8 <= len(value):
        group, number, length = struct.unpack_from("<HHI", value, at)
        if group << 16 | number == SEQUENCE_END or length > len(value):
            break
        items.append(value[at + 8 : at + 8 + length])
        at += 8 + length
    return (items[0] if items else b""), items[1:] or [b""], value[at:]
