"""Changes to the elements of a data set: each gives what was done in words, and the changed file."""

import random
import struct
from collections.abc import Callable
from dataclasses import replace

from fuzz.tokens import ITEM, ITEM_END, PIXEL_DATA, SEQUENCE_END, UNDEFINED, Element, Tokens, encoded

_KNOWN_VRS = b"AE AS AT CS DA DS DT FL FD IS LO LT OB OD OF OL OV OW PN SH SL SQ SS ST SV TM UC UI UL UN UR US UT UV"
_VRS = (*_KNOWN_VRS.split(), b"XX", b"\0\0", b"  ", b"ds")
_NUMBER_TAGS = (0x00200032, 0x00200037, 0x00280030, 0x00281052, 0x00281053, 0x00180050, 0x00200013, 0x00280008)
_WORD_TAGS = (
    0x00280002,
    0x00280010,
    0x00280011,
    0x00280100,
    0x00280101,
    0x00280102,
    0x00280103,
    0x00280120,
    0x00280121,
)
_TEXT_TAGS = (
    0x00080005, 0x00080008, 0x00080016, 0x00080018, 0x00080060, 0x00100010, 0x00100020, 0x00100030, 0x0020000D, 0x0020000E,
    0x00200052, 0x0008103E, 0x00180015, 0x00181210, 0x00280004, 0x00281054, 0x00101010, 0x00200012, 0x00080032,
)  # fmt: skip
_NUMBERS = (
    b"", b" ", b"0", b"-0", b"1", b"-1024", b"-1014", b"1000", b"nan", b"inf", b"-inf", b"1e309", b"1e308", b"1e-320", b"1_0",
    b"0x10", b"1\\2", b"1\\", b"\\1", b"--1", b"1 2", b"1,5", b"+5", b".5", b"5.", b"1e5", b"99999999999999999999", b"1\0",
    b"\xb2", b"\xd9\xa3", b"10\n", b"\t7", b"2\\2", b"0\\0\\0", b"1\\0\\0\\0\\1\\0", b"-1\\0\\0\\0\\-1\\0", b"0\\1\\0\\1\\0\\0",
    b"0\\0\\1\\0\\1\\0", b"nan\\nan\\nan", b"0\\0\\1e300", b"-100\\-110\\55", b"-100\\-110\\1e9", b"5\\0.5", b"0.5\\nan",
)  # fmt: skip
_CLASSES = tuple(b"1.2.840.10008." + tail for tail in (b"5.1.4.1.1.2", b"5.1.4.1.1.2.1", b"5.1.4.1.1.7", b"1.3.10"))
_TEXTS = (
    b"", b" ", b"\0\0", b"../../etc/passwd", b"/etc/passwd\0", b"=cmd|' /C calc'!A0", b"<script>alert(1)</script>",
    b"\x1b[2J\x1b]0;x\x07", b"\r\nE-NO-CT: ok", b"\xe2\x80\xae\xe2\x81\xa6", b"\xff\xfe\xfd", b"ISO 2022 IR 87",
    b"ISO_IR 192\\nonsense", b"A" * 70, b"1.2." + b"3" * 80, b"1..2", b"CT", b"MR", *_CLASSES, b"MONOCHROME1", b"RGB",
    b"PALETTE COLOR", b"HU", b"US", b"ORIGINAL\\PRIMARY\\LOCALIZER", b"DERIVED\\PRIMARY\\MIP", b"%s%n{0.__class__}",
    b"00000000", b"030Y", b"\\\\\\\\", b"ID_1f6d1e8aeb",
)  # fmt: skip
_SYNTAXES = (
    b"1.2.840.10008.1.2", b"1.2.840.10008.1.2.1", b"1.2.840.10008.1.2.2", b"1.2.840.10008.1.2.1.99", b"1.2.840.10008.1.2.5",
    b"1.2.840.10008.1.2.4.50", b"1.2.840.10008.1.2.4.57", b"1.2.840.10008.1.2.4.70", b"1.2.840.10008.1.2.4.80",
    b"1.2.840.10008.1.2.4.90", b"1.2.840.10008.1.2.4.201", b"1.2.840.10008.1.2.4.100", b"1.2.3", b"", b"\xff" * 8,
)  # fmt: skip


def _some(tokens: Tokens, rng: random.Random) -> int:
    """The place of an element: often one that matters."""
    if rng.random() < 0.6:
        at = tokens.at(rng.choice((*_NUMBER_TAGS, *_WORD_TAGS, *_TEXT_TAGS, PIXEL_DATA)))
        if at >= 0:
            return at
    return rng.randrange(max(1, len(tokens.elements)))


def _even(value: bytes, pad: bytes = b" ") -> bytes:
    return value + pad * (len(value) % 2)


def _put(tokens: Tokens, at: int, *elements: Element) -> Tokens:
    """The file with other elements in the place of one."""
    return tokens.with_elements([*tokens.elements[:at], *elements, *tokens.elements[at + 1 :]])


def _value(tokens: Tokens, rng: random.Random) -> tuple[str, Tokens]:
    """One element that matters has another value: a hostile, odd or merely different one."""
    tags = rng.choice((_NUMBER_TAGS, _NUMBER_TAGS, _WORD_TAGS, _TEXT_TAGS))
    at = tokens.at(rng.choice(tags))
    if at < 0:
        return _set_anew(tokens, rng)
    element = tokens.elements[at]
    value = _other_value(element, rng)
    return f"{element.name} {element.value[:24]!r} -> {value[:40]!r}", _put(tokens, at, replace(element, value=value))


def _other_value(element: Element, rng: random.Random) -> bytes:
    if element.tag in _WORD_TAGS:
        words = (0, 1, 2, 3, 7, 8, 11, 12, 15, 16, 32, 63, 64, 65, 128, 255, 256, 4096, 32767, 32768, 65535)
        order = "<" if rng.random() < 0.9 else ">"
        return b"".join(struct.pack(order + "H", rng.choice(words)) for _ in range(rng.choice((1, 1, 1, 1, 0, 2))))
    if element.tag in _NUMBER_TAGS and element.value and rng.random() < 0.6:
        return _retyped(element.value, rng)
    return _even(rng.choice(_NUMBERS if element.tag in _NUMBER_TAGS else _TEXTS))


def _retyped(value: bytes, rng: random.Random) -> bytes:
    """A number with one character changed, exchanged or doubled: a slip that no parser can see."""
    text = bytearray(value)
    at = rng.randrange(len(text))
    slip = rng.randrange(4)
    if slip == 0:
        text[at] = rng.choice(b"0123456789")
    elif slip == 1:
        text[at] = rng.choice(b"-+.eE\\ \0_,")
    elif slip == 2:
        text.insert(at, rng.choice(b"0123456789."))
    else:
        del text[at]
    return _even(bytes(text))


def _set_anew(tokens: Tokens, rng: random.Random) -> tuple[str, Tokens]:
    """An element that was not there, in its place."""
    tag, vr = rng.choice(
        (
            (0x00280120, b"US"),
            (0x00280121, b"US"),
            (0x00281054, b"LO"),
            (0x00280008, b"IS"),
            (0x00100030, b"DA"),
            (0x00080005, b"CS"),
        )
    )
    bare = Element(tag, vr, b"")
    element = replace(bare, value=_other_value(bare, rng))
    at = next((i for i, other in enumerate(tokens.elements) if other.tag > tag), len(tokens.elements))
    elements = [*tokens.elements[:at], element, *tokens.elements[at:]]
    return f"{element.name} set to {element.value!r}", tokens.with_elements(elements)


def _remove(tokens: Tokens, _other: Tokens, rng: random.Random) -> tuple[str, Tokens]:
    at = _some(tokens, rng)
    return tokens.elements[at].name, _put(tokens, at)


def _duplicate(tokens: Tokens, other: Tokens, rng: random.Random) -> tuple[str, Tokens]:
    """The element twice: the same, with another value, or with the value of another file; beside it or elsewhere."""
    at = _some(tokens, rng)
    element = tokens.elements[at]
    twin = element
    if rng.random() < 0.7 and element.length is None and element.tag != PIXEL_DATA:
        twin = replace(element, value=_other_value(element, rng))
    elif (found := other.at(element.tag)) >= 0:
        twin = replace(element, value=other.elements[found].value, length=other.elements[found].length)
    elements = list(tokens.elements)
    place = rng.choice((at, at + 1, rng.randrange(len(elements) + 1), len(elements)))
    elements.insert(place, twin)
    return f"{element.name} again at place {place} as {twin.value[:24]!r}", tokens.with_elements(elements)


def _vr(tokens: Tokens, _other: Tokens, rng: random.Random) -> tuple[str, Tokens]:
    at, vr = _some(tokens, rng), rng.choice(_VRS)
    element = tokens.elements[at]
    return f"{element.name} {element.vr!r} -> {vr!r}", _put(tokens, at, replace(element, vr=vr))


def _length(tokens: Tokens, _other: Tokens, rng: random.Random) -> tuple[str, Tokens]:
    at = _some(tokens, rng)
    element = tokens.elements[at]
    size = len(element.value)
    length = rng.choice(
        (size - 2, size - 1, size + 1, size + 2, size + 8, 0, 2, 0xFFFF, 0x7FFFFFFE, 0xFFFFFFFE, UNDEFINED)
    )
    return f"{element.name} {size} -> {length}", _put(tokens, at, replace(element, length=length & UNDEFINED))


def _order(tokens: Tokens, _other: Tokens, rng: random.Random) -> tuple[str, Tokens]:
    elements = list(tokens.elements)
    if rng.random() < 0.3:
        rng.shuffle(elements)
        return "all elements shuffled", tokens.with_elements(elements)
    moved = elements.pop(_some(tokens, rng))
    place = rng.choice((0, len(elements), rng.randrange(len(elements) + 1)))
    elements.insert(place, moved)
    return f"{moved.name} to place {place}", tokens.with_elements(elements)


def _group(tokens: Tokens, _other: Tokens, rng: random.Random) -> tuple[str, Tokens]:
    at = _some(tokens, rng)
    element = tokens.elements[at]
    group = rng.choice((element.tag >> 16 ^ 1, element.tag >> 16 ^ 0x100, 2, 8, 0x7FE0, 0x7FDF, 0xFFFE, 0xFFFF, 0))
    tag = group << 16 | rng.choice((element.tag & 0xFFFF, element.tag & 0xFFFF, rng.randrange(65536)))
    changed = replace(element, tag=tag)
    return f"{element.name} -> {changed.name}", _put(tokens, at, changed)


def _delimiter(tokens: Tokens, _other: Tokens, rng: random.Random) -> tuple[str, Tokens]:
    """A sequence broken at one of its delimiters, or one put where there is no sequence."""
    order = ">" if tokens.big else "<"
    marks = [struct.pack(order + "HH", tag >> 16, tag & 0xFFFF) for tag in (ITEM, ITEM_END, SEQUENCE_END)]
    holders = [
        i for i, e in enumerate(tokens.elements) if e.tag != PIXEL_DATA and any(mark in e.value for mark in marks)
    ]
    if not holders or rng.random() < 0.3:
        at = rng.randrange(len(tokens.elements) + 1)
        stray = Element(rng.choice((ITEM, ITEM_END, SEQUENCE_END)), b"", b"", rng.choice((0, 8, UNDEFINED)))
        elements = [*tokens.elements[:at], stray, *tokens.elements[at:]]
        return f"{stray.name} at place {at}", tokens.with_elements(elements)
    at = rng.choice(holders)
    element, mark = tokens.elements[at], rng.choice(marks)
    found = [i for i in range(0, len(element.value) - 3, 2) if element.value[i : i + 4] == mark]
    if not found:
        return f"{element.name} of undefined length", _put(tokens, at, replace(element, length=UNDEFINED))
    start = rng.choice(found)
    new = rng.choice(
        (b"", mark + b"\xff\xff\xff\xff", mark + b"\0\0\0\0", rng.choice(marks) + element.value[start + 4 : start + 8])
    )
    value = element.value[:start] + new + element.value[start + 8 :]
    return f"{element.name} at {start}: {new!r}", _put(tokens, at, replace(element, value=value))


def _nest(tokens: Tokens, _other: Tokens, rng: random.Random) -> tuple[str, Tokens]:
    """Elements moved into a sequence, or a deep sequence put before them."""
    at, deep = _some(tokens, rng), rng.choice((1, 2, 20, 70))
    length = rng.choice((None, UNDEFINED))
    inner = tokens.elements[at]
    tag = rng.choice((0x00082218, 0x00409096, 0x00283000, 0x52009229, 0x52009230, 0x0009101F))
    if inner.tag == PIXEL_DATA and deep > 2:
        deep = 2
    value = encoded(inner, tokens.implicit, tokens.big)
    for level in range(deep):
        item = encoded(Element(ITEM, b"", value, length), tokens.implicit, tokens.big)
        value = item + (_end(ITEM_END, tokens) + _end(SEQUENCE_END, tokens) if length else b"")
        if level < deep - 1:
            value = encoded(Element(tag, b"SQ", value, length), tokens.implicit, tokens.big)
    sequence = Element(tag, b"SQ", value, length)
    kept = (inner,) if rng.random() < 0.5 else ()
    return f"{inner.name} {deep} deep in {sequence.name}, {'copied' if kept else 'moved'}", _put(
        tokens, at, sequence, *kept
    )


def _end(tag: int, tokens: Tokens) -> bytes:
    return encoded(Element(tag, b"", b""), tokens.implicit, tokens.big)


def _graft(tokens: Tokens, other: Tokens, rng: random.Random) -> tuple[str, Tokens]:
    """The value that the same element has in another file: another slice's position, another patient, another series."""
    shared = [
        i for i, e in enumerate(tokens.elements) if (j := other.at(e.tag)) >= 0 and other.elements[j].value != e.value
    ]
    if not shared:
        return _value(tokens, rng)
    at = rng.choice(shared)
    element = tokens.elements[at]
    found = other.elements[other.at(element.tag)]
    return f"{element.name} as elsewhere: {found.value[:32]!r}", _put(
        tokens, at, replace(element, value=found.value, length=found.length)
    )


def _meta(tokens: Tokens, _other: Tokens, rng: random.Random) -> tuple[str, Tokens]:
    """Another transfer syntax, no meta information, another preamble."""
    kind = rng.choice(("syntax", "syntax", "syntax", "no meta", "no preamble", "preamble", "group length"))
    head = tokens.head
    at = head.find(b"\2\0\x10\0UI")
    if kind == "syntax" and at >= 0:
        length = int.from_bytes(head[at + 6 : at + 8], "little")
        uid = _even(rng.choice(_SYNTAXES), b"\0")
        head = head[: at + 6] + struct.pack("<H", len(uid)) + uid + head[at + 8 + length :]
        kind = f"syntax {uid!r}"
    elif kind == "no meta":
        head = head[:132] if rng.random() < 0.5 else b""
    elif kind == "no preamble":
        head = head[132:]
    elif kind == "preamble":
        head = rng.choice((b"MZ", b"%PDF-1.7\n", b"PK\3\4", b"\x7fELF", b"II*\0")).ljust(128, b"\0") + head[128:]
    else:
        head = head[:140] + struct.pack("<I", rng.choice((0, 1, 50, 0xFFFF, UNDEFINED))) + head[144:]
    return kind, replace(tokens, head=head)


def _value_of(tokens: Tokens, _other: Tokens, rng: random.Random) -> tuple[str, Tokens]:
    return _value(tokens, rng)


CHANGES: dict[str, Callable[[Tokens, Tokens, random.Random], tuple[str, Tokens]]] = {
    "value": _value_of,
    "graft": _graft,
    "remove": _remove,
    "duplicate": _duplicate,
    "vr": _vr,
    "length": _length,
    "order": _order,
    "group": _group,
    "delimiter": _delimiter,
    "nest": _nest,
    "meta": _meta,
}
