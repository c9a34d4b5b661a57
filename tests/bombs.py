"""Small files that ask for much: of memory, of time or of depth. Each says by which code it has to be refused.

Written byte by byte, so that sizes may lie as no writer would let them; only the sound slice around a bomb is pydicom's.
"""

import random
import re
import struct
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dicom_factory import SYNTAXES, make_slice, write

from ich_seq.dicom import read_study_files
from ich_seq.errors import IchSeqError, NoCtError, NoDicomError
from ich_seq.volume import Volume

MIB = 1024 * 1024
UNDEFINED = 0xFFFFFFFF
ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
REFERENCED = 0x00081140
_CODE = re.compile(r"\b[EDW]-[A-Z0-9]+(?:-[A-Z0-9]+)*")


@dataclass(frozen=True)
class Bomb:
    """A file, made by `make(folder)`, and the code that refuses it; `slow` ones take more than a moment to write."""

    name: str
    code: str
    make: Callable[[Path], Path]
    slow: bool = False


def codes_of(path: Path) -> tuple[bool, set[str]]:
    """Whether a slice of it came through, and every code that reading and decoding it gave."""
    try:
        inventory = read_study_files([path])
    except IchSeqError as error:
        kind = {NoDicomError: "E-NO-DICOM", NoCtError: "E-NO-CT"}.get(type(error), "")
        return False, {*_CODE.findall(str(error)), getattr(error, "code", kind)}
    found = {item.code.value for item in inventory.dropped}
    through = False
    for study in inventory.studies:
        found |= set(_CODE.findall(str(study.refusal)))
        if study.chosen is None:
            continue
        volume = Volume(study.chosen)
        try:
            through |= any(True for _ in volume.read())
        except IchSeqError as error:
            found |= set(_CODE.findall(str(error)))
        found |= {item.code.value for item in [*volume.findings, *volume.lost.values()]}
    return through, found


def element(tag: int, vr: bytes, length: int, value: bytes = b"") -> bytes:
    """One explicit little endian element; `length` need not be that of the value."""
    head = struct.pack("<HH", tag >> 16, tag & 0xFFFF)
    if vr in (b"OB", b"OW", b"SQ", b"UN", b"UT"):
        return head + vr + b"\0\0" + struct.pack("<I", length) + value
    return head + vr + struct.pack("<H", length) + value


def mark(tag: int, length: int = 0) -> bytes:
    """An element without VR: of an implicit data set, an item, or an end."""
    return struct.pack("<HHI", tag >> 16, tag & 0xFFFF, length)


def sound(path: Path, syntax: str = "explicit", edit: Callable | None = None) -> tuple[bytes, bytes]:
    """One sound slice as the bytes up to its data set, and the data set."""
    dataset = make_slice(0)
    if edit is not None:
        edit(dataset)
    write(dataset, path, syntax)
    raw = path.read_bytes()
    start = 132 + 12 + int.from_bytes(raw[140:144], "little")
    return raw[:start], raw[start:]


def inserted(name: str, code: str, payload: Callable[[], bytes], syntax: str = "explicit", slow: bool = False) -> Bomb:
    """A sound slice with something before its first element."""

    def make(folder: Path) -> Path:
        path = folder / f"{name}.dcm"
        meta, data = sound(path, syntax)
        path.write_bytes(meta + payload() + data)
        return path

    return Bomb(name, code, make, slow)


def deflated(name: str, code: str, plain: Callable[[bytes], list[bytes]], slow: bool = False) -> Bomb:
    """A deflated slice whose data set is what `plain` makes of a sound one, piece by piece."""

    def make(folder: Path) -> Path:
        path = folder / f"{name}.dcm"
        _, data = sound(path)
        meta, _ = sound(path, "deflated")
        packer = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
        packed = b"".join(packer.compress(piece) for piece in plain(data))
        path.write_bytes(meta + packed + packer.flush())
        return path

    return Bomb(name, code, make, slow)


def nested(levels: int, tag: int = REFERENCED, vr: bytes = b"SQ") -> bytes:
    """So many sequences of undefined length, one in the other, none of which ends."""
    return (element(tag, vr, UNDEFINED) + mark(ITEM, UNDEFINED)) * levels


def nested_implicit(levels: int) -> bytes:
    """The same without VRs."""
    return (mark(REFERENCED, UNDEFINED) + mark(ITEM, UNDEFINED)) * levels


def nested_groups(levels: int) -> bytes:
    """The sequence of functional groups of stated length, in whose items sequences go on and on."""
    inner = (element(0x00209113, b"SQ", UNDEFINED) + mark(ITEM, UNDEFINED)) * levels
    return element(0x52009230, b"SQ", UNDEFINED) + mark(ITEM, UNDEFINED) + inner


def items(count: int, one: bytes = mark(ITEM)) -> bytes:  # bytes do not change
    """One sequence of so many items."""
    return element(REFERENCED, b"SQ", UNDEFINED) + one * count + mark(SEQUENCE_END)


def huge(rows: int, columns: int, frames: int | None = None) -> Callable:
    """An edit that states dimensions and nothing else."""

    def edit(dataset) -> None:
        dataset.Rows, dataset.Columns = rows, columns
        if frames is not None:
            dataset.NumberOfFrames = frames

    return edit


def stated(name: str, code: str, edit: Callable) -> Bomb:
    """A native slice whose header states dimensions that its pixels do not have."""

    def make(folder: Path) -> Path:
        path = folder / f"{name}.dcm"
        sound(path, edit=edit)
        return path

    return Bomb(name, code, make)


def encapsulated(
    name: str,
    code: str,
    syntax: str,
    pixels: Callable[[bytes], bytes],
    edit: Callable | None = None,
    slow: bool = False,
) -> Bomb:
    """A compressed slice whose pixel element is what `pixels` makes of a sound frame; `edit` changes the header afterwards."""

    def make(folder: Path) -> Path:
        path = folder / f"{name}.dcm"
        _, compressed = sound(path, syntax)
        at = compressed.rindex(b"\xe0\x7f\x10\x00OB")
        first = at + 12 + 8 + int.from_bytes(compressed[at + 16 : at + 20], "little")
        length = int.from_bytes(compressed[first + 4 : first + 8], "little")
        frame = compressed[first + 8 : first + 8 + length]
        _, plain = sound(path, edit=edit)
        header = plain[: plain.rindex(b"\xe0\x7f\x10\x00OW")]
        meta = path.read_bytes()[: -len(plain)].replace(
            _uid_element(SYNTAXES["explicit"]), _uid_element(SYNTAXES[syntax])
        )
        path.write_bytes(meta + header + element(0x7FE00010, b"OB", UNDEFINED, pixels(frame)) + mark(SEQUENCE_END))
        return path

    return Bomb(name, code, make, slow)


def _uid_element(uid: str) -> bytes:
    value = uid.encode() + b"\0" * (len(uid) % 2)
    return element(0x00020010, b"UI", len(value), value)


def fragment(data: bytes) -> bytes:
    """An empty offset table and one fragment."""
    return mark(ITEM) + mark(ITEM, len(data)) + data


def rle_header(_: bytes) -> bytes:
    """Two segments and no data."""
    return fragment(struct.pack("<16I", 2, 64, 66, *[0] * 13) + b"\x81\x00\x81\x00")


def j2k(at: int, value: int) -> Callable[[bytes], bytes]:
    """A change of one number in the size segment of JPEG 2000; `at` counts from the start marker."""
    return lambda frame: fragment(frame[:at] + struct.pack(">I", value) + frame[at + 4 :])


def jpegls_size(rows: int, columns: int) -> Callable[[bytes], bytes]:
    """Another matrix in the frame header of JPEG-LS."""

    def change(frame: bytes) -> bytes:
        at = frame.index(b"\xff\xf7") + 5
        return fragment(frame[:at] + struct.pack(">HH", rows, columns) + frame[at + 4 :])

    return change


def zipped(name: str, code: str, fill: Callable[[zipfile.ZipFile], object], slow: bool = False) -> Bomb:
    """A zip that `fill` writes."""

    def make(folder: Path) -> Path:
        path = folder / f"{name}.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
            fill(archive)
        return path

    return Bomb(name, code, make, slow)


def one_member(
    size: int, block: bytes = bytes(MIB), method: int = zipfile.ZIP_DEFLATED, head: bytes = b""
) -> Callable[[zipfile.ZipFile], None]:
    """A member of so many bytes, the same block again and again after `head`."""

    def fill(archive: zipfile.ZipFile) -> None:
        info = zipfile.ZipInfo("IM1")
        info.compress_type = method
        with archive.open(info, "w", force_zip64=True) as member:
            member.write(head)
            for _ in range(size // len(block)):
                member.write(block)

    return fill


def lying(name: str, code: str, size: int, stated_size: int, members: int = 1, stored: int = 0) -> Bomb:
    """A zip whose central directory states another size than its members inflate to; `stored`: and so many bytes compressed."""

    def make(folder: Path) -> Path:
        path = folder / f"{name}.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for number in range(members):
                archive.writestr(f"IM{number}", bytes(size))
        raw, at = bytearray(path.read_bytes()), 0
        while (at := raw.find(b"PK\x01\x02", at)) >= 0:
            if stored:
                raw[at + 20 : at + 24] = struct.pack("<I", stored)
            raw[at + 24 : at + 28] = struct.pack("<I", stated_size)
            at += 46
        path.write_bytes(raw)
        return path

    return Bomb(name, code, make)


def many_members(count: int) -> Callable[[Path], Path]:
    """A zip of so many empty members, all of which are one local entry; in zip64's form, which allows any number."""

    def make(folder: Path) -> Path:
        path = folder / f"members_{count}.zip"
        local = struct.pack("<4s5H3I2H", b"PK\x03\x04", 20, 0, 0, 0, 0, 0, 0, 0, 1, 0) + b"a"
        central = struct.pack("<4s6H3I5H2I", b"PK\x01\x02", 20, 20, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0) + b"a"
        size, start = len(central) * count, len(local)
        end64 = struct.pack("<4sQ2H2I4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, count, count, size, start)
        locator = struct.pack("<4sIQI", b"PK\x06\x07", 0, start + size, 1)
        end = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, UNDEFINED, UNDEFINED, 0)
        path.write_bytes(local + central * count + end64 + locator + end)
        return path

    return make


def overlapping(members: int, size: int) -> Callable[[Path], Path]:
    """A zip whose members are all the same deflated data, so that it unpacks to `members` times `size`."""

    def make(folder: Path) -> Path:
        path = folder / f"overlapping_{members}.zip"
        plain = bytes(size)
        packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
        packed = packer.compress(plain) + packer.flush()
        facts = struct.pack("<3I", zlib.crc32(plain), len(packed), size)
        local = struct.pack("<4s5H", b"PK\x03\x04", 20, 0, 8, 0, 0) + facts + struct.pack("<2H", 1, 0) + b"a"
        central = struct.pack("<4s6H", b"PK\x01\x02", 20, 20, 0, 8, 0, 0) + facts + struct.pack("<5H2I", 1, *[0] * 6)
        listed = (central + b"a") * members
        start = len(local) + len(packed)
        end = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, members, members, len(listed), start, 0)
        path.write_bytes(local + packed + listed + end)
        return path

    return make


def dense(size: int) -> list[bytes]:
    """Pieces that deflate to a hundredth or so: less than the ratio that is refused by itself."""
    return [random.Random(0).randbytes(8192) + bytes(MIB - 8192)] * (size // MIB)


def _longer(data: bytes, size: int) -> list[bytes]:
    """A sound data set with a private element of so many bytes in front."""
    return [element(0x00090010, b"UN", size), *[bytes(MIB)] * (size // MIB), data]


def all_bombs() -> list[Bomb]:
    """Every bomb, each family in several sizes and places."""
    return [*_deflate_bombs(), *_zip_bombs(), *_nesting_bombs(), *_dimension_bombs(), *_count_bombs()]


def _deflate_bombs() -> list[Bomb]:
    return [
        deflated("deflate_12MiB_of_zeros", "D-INFLATE-LIMIT", lambda _: [bytes(MIB)] * 12),
        deflated("deflate_12MiB_after_the_slice", "D-INFLATE-LIMIT", lambda data: [data, *[bytes(MIB)] * 12]),
        deflated("deflate_in_one_element", "D-INFLATE-LIMIT", lambda data: _longer(data, 12 * MIB)),
        deflated(
            "deflate_200MiB_below_the_ratio", "D-INFLATE-LIMIT", lambda data: [data, *dense(200 * MIB)], slow=True
        ),
        deflated("deflate_512MiB_of_zeros", "D-INFLATE-LIMIT", lambda _: [bytes(MIB)] * 512, slow=True),
        deflated("deflate_of_a_million_elements", "D-HEADER-LIMIT", lambda data: [_elements(1_000_000), data]),
        deflated("deflate_of_100000_levels", "D-HEADER-LIMIT", lambda data: [nested(100_000), data]),
    ]


def _zip_bombs() -> list[Bomb]:
    meta = bytes(128) + b"DICM" + element(0x00020010, b"UI", 20, b"1.2.840.10008.1.2.1\0")
    long_value = meta + element(0x00090010, b"UN", 0x7FFFFFFE)
    return [
        zipped("zip_12MiB_of_zeros", "E-ZIP-LIMIT", one_member(12 * MIB)),
        zipped("zip_1GiB_of_zeros", "E-ZIP-LIMIT", one_member(1024 * MIB), slow=True),
        zipped("zip_bzip2", "E-ZIP-LIMIT", one_member(2 * MIB, method=zipfile.ZIP_BZIP2)),
        zipped("zip_lzma", "E-ZIP-LIMIT", one_member(2 * MIB, method=zipfile.ZIP_LZMA)),
        zipped("zip_500MiB_not_dicom", "E-NO-DICOM", one_member(500 * MIB, dense(MIB)[0]), slow=True),
        zipped(
            "zip_500MiB_in_a_header", "D-NO-PIXELS", one_member(500 * MIB, dense(MIB)[0], head=long_value), slow=True
        ),
        lying("zip_that_states_1_byte", "E-ZIP-DAMAGED", 30 * MIB, 1),
        lying("zip_that_states_500_bytes_of_9MiB", "E-ZIP-DAMAGED", 9 * MIB, 500, members=3),
        lying("zip_of_10GiB", "E-ZIP-LIMIT", 1000, 500 * MIB, members=21, stored=500 * MIB),
        Bomb("zip_of_70000_members", "E-ZIP-LIMIT", many_members(70_000)),
        Bomb("zip_of_2000000_members", "E-ZIP-LIMIT", many_members(2_000_000), slow=True),
        Bomb("zip_overlapping", "E-ZIP-LIMIT", overlapping(800, 9 * MIB)),
        zipped("zip_of_20_times_60MiB", "E-ZIP-LIMIT", _many_large, slow=True),
        zipped("zip_in_zip", "E-NO-DICOM", lambda z: z.writestr("a.zip", b"PK\x03\x04" + bytes(9 * MIB))),
        zipped("zip_with_7z", "E-NO-DICOM", lambda z: z.writestr("a", b"7z\xbc\xaf\x27\x1c" + bytes(9000))),
    ]


def _many_large(archive: zipfile.ZipFile) -> None:
    """20 members, each of which is within every limit."""
    large = b"".join(dense(60 * MIB))
    for number in range(20):
        archive.writestr(f"IM{number}", large, compresslevel=1)


def _nesting_bombs() -> list[Bomb]:
    tags = {"sequence": (REFERENCED, b"SQ"), "unknown": (0x00081140, b"UN"), "private": (0x00091001, b"UN")}
    return [
        *(inserted(f"nested_{n}", "D-HEADER-LIMIT", lambda n=n: nested(n)) for n in (65, 200, 2_000, 100_000)),
        *(
            inserted(f"nested_{kind}_{n}", "D-HEADER-LIMIT", lambda n=n, one=one: nested(n, *one))
            for kind, one in tags.items()
            for n in (300, 90_000)
        ),
        *(
            inserted(f"nested_implicit_{n}", "D-HEADER-LIMIT", lambda n=n: nested_implicit(n), "implicit")
            for n in (65, 2_000, 100_000)
        ),
        inserted("nested_1000_in_functional_groups", "D-HEADER-LIMIT", lambda: nested_groups(1_000)),
        inserted("nested_40_times_60", "D-HEADER-LIMIT", lambda: items(1, mark(ITEM, UNDEFINED) + nested(70))),
    ]


def _dimension_bombs() -> list[Bomb]:
    full = huge(4096, 4096)
    return [
        stated("native_65535", "D-MATRIX", huge(65535, 65535)),
        stated("native_65535_10000_frames", "D-MULTIFRAME", huge(65535, 65535, 10_000)),
        stated("native_4096_10000_frames", "D-MULTIFRAME", huge(4096, 4096, 10_000)),
        stated("native_2147483647_frames", "D-MULTIFRAME", huge(64, 80, 2**31 - 1)),
        encapsulated("rle_65535", "D-MATRIX", "rle", rle_header, huge(65535, 65535)),
        encapsulated("rle_4096_of_4_bytes", "D-UNREADABLE", "rle", rle_header, full),
        encapsulated("rle_2147483647_frames", "D-MULTIFRAME", "rle", rle_header, huge(64, 80, 2**31 - 1)),
        encapsulated("rle_10000_frames_in_one", "D-MULTIFRAME", "rle", rle_header, huge(64, 80, 10_000)),
        encapsulated("jpegls_65535", "D-MATRIX", "jpegls", jpegls_size(65535, 65535), huge(65535, 65535)),
        encapsulated("jpegls_65535_in_the_stream", "D-CODESTREAM", "jpegls", jpegls_size(65535, 65535)),
        encapsulated("jpegls_4096_of_few_bytes", "D-UNREADABLE", "jpegls", jpegls_size(4096, 4096), full),
        encapsulated("jpeg2000_60000_in_the_stream", "D-CODESTREAM", "jpeg2000", j2k(8, 60_000)),
        encapsulated("jpeg2000_of_columns_as_tiles", "D-CODESTREAM", "jpeg2000", j2k(24, 1)),
        encapsulated("jpeg2000_of_tiles_of_one_pixel", "D-DIMENSION-LIMIT", "jpeg2000", _no_tile(1)),
        encapsulated("jpeg2000_of_tiles_of_nothing", "D-DIMENSION-LIMIT", "jpeg2000", _no_tile(0)),
    ]


def _no_tile(size: int) -> Callable[[bytes], bytes]:
    """JPEG 2000 in tiles of so many rows and columns."""
    return lambda frame: fragment(frame[:24] + struct.pack(">II", size, size) + frame[32:])


def _elements(count: int, tag: int = 0x00091001) -> bytes:
    return element(tag, b"LO", 0) * count


def _count_bombs() -> list[Bomb]:
    item = mark(ITEM, UNDEFINED) + mark(ITEM_END)
    return [
        inserted("elements_900000", "D-HEADER-LIMIT", lambda: _elements(900_000)),
        inserted(
            "elements_of_two_bytes",
            "D-HEADER-LIMIT",
            lambda: element(0x00280010, b"US", 2, b"\1\0") * 900_000,
            slow=True,
        ),
        inserted("elements_implicit", "D-HEADER-LIMIT", lambda: mark(0x00080060) * 1_000_000, "implicit", slow=True),
        inserted("items_1000000_empty", "D-HEADER-LIMIT", lambda: items(1_000_000)),
        inserted("items_500000_that_end_themselves", "D-HEADER-LIMIT", lambda: items(500_000, item), slow=True),
        inserted(
            "elements_in_one_item",
            "D-HEADER-LIMIT",
            lambda: items(1, mark(ITEM, UNDEFINED) + _elements(200_000)),
            slow=True,
        ),
        inserted("elements_of_the_meta_group", "D-HEADER-LIMIT", lambda: _elements(500_000, 0x00020016)),
        inserted("elements_beside_the_pixels", "D-HEADER-LIMIT", lambda: element(0x7FE00001, b"LO", 0) * 900_000),
        inserted("a_name_of_2MiB", "D-HEADER-LIMIT", lambda: element(0x00100010, b"UT", 2 * MIB, bytes(2 * MIB))),
        inserted(
            "a_name_of_500MiB",
            "D-HEADER-LIMIT",
            lambda: element(0x00100010, b"UT", 500 * MIB, bytes(500 * MIB)),
            slow=True,
        ),
        inserted("a_length_of_4GiB", "D-NO-PIXELS", lambda: element(0x00080050, b"UT", 0xFFFFFFFE)),
        inserted("values_without_end", "D-UNREADABLE", lambda: element(0x00089999, b"OB", UNDEFINED, bytes(30 * MIB))),
        encapsulated("fragments_2000000_empty", "D-DIMENSION-LIMIT", "rle", lambda _: mark(ITEM) * 2_000_000),
        encapsulated("offsets_10000000", "D-CODESTREAM", "rle", lambda f: mark(ITEM, 4 * 10**7) + bytes(4 * 10**7) + f),
        encapsulated("a_frame_of_20MiB", "D-DIMENSION-LIMIT", "jpegls", lambda f: fragment(f + bytes(20 * MIB))),
    ]
