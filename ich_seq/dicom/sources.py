"""Folders, zips and lists of files as a stream of byte sources; names serve messages only, never as paths to write to."""

import contextlib
import io
import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from ich_seq.dicom.codes import Code
from ich_seq.dicom.findings import Finding, finding
from ich_seq.dicom.limits import LIMITS, MIB
from ich_seq.errors import ArchiveError, NoDicomError

_ZIP_MAGIC = (b"PK\x03\x04", b"PK\x05\x06")
_OTHER_ARCHIVE_MAGIC = (b"7z\xbc\xaf\x27\x1c", b"Rar!\x1a\x07", b"\xfd7zXZ\0", b"BZh")
_BROKEN_ZIP = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError, ValueError)
_BROKEN_ZIP += (struct.error, OverflowError)
_ENCRYPTED = 0x1 | 0x40 | 0x2000  # members, strongly so, or the central directory
_BOUNDED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


@dataclass(frozen=True, slots=True)
class FileSource:
    """A regular file. `name` is relative to what the user typed; `follow` lets the user's own path be a link."""

    path: Path
    name: str
    follow: bool = False

    def open(self) -> io.BufferedIOBase:
        """The file, opened for reading; never blocks on a pipe. Raises OSError."""
        return os.fdopen(self._descriptor(), "rb")

    def read_at(self, offset: int, length: int) -> bytes:
        """Up to `length` bytes from `offset`. Raises OSError."""
        descriptor = self._descriptor()
        try:
            return os.pread(descriptor, length, offset)
        finally:
            os.close(descriptor)

    def _descriptor(self) -> int:
        flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if self.follow else os.O_NOFOLLOW)
        descriptor = os.open(self.path, flags)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise OSError("not a regular file")
        return descriptor


@dataclass(slots=True)
class Archive:
    """A zip whose members are read one by one into memory; nothing is ever unpacked to disk.

    Raises ArchiveError when it is damaged, encrypted or beyond the limits. The sizes that a zip declares are held to while
    its members are inflated: a member is never asked for more, and one that has more or less is damaged. bzip2 and LZMA cannot be
    inflated by so many bytes with Python's reader, and are refused.
    """

    path: Path
    _last: tuple[int, bytes] | None = field(default=None, repr=False, compare=False)
    _handle: zipfile.ZipFile | None = field(default=None, repr=False, compare=False)
    _owner_pid: int = field(default=0, repr=False, compare=False)

    def __reduce__(self) -> tuple[type["Archive"], tuple[Path]]:
        return Archive, (self.path,)

    def handle(self) -> zipfile.ZipFile:
        """The open zip of this process."""
        if self._handle is None or self._owner_pid != os.getpid():
            try:
                self._handle = _opened(self.path)
            except _BROKEN_ZIP as error:
                raise _archive_error(Code.E_ZIP_DAMAGED, self.path.name) from error
            self._owner_pid = os.getpid()
        return self._handle

    def members(self) -> list[zipfile.ZipInfo]:
        """All members that are not folders, after the limits were checked."""
        infos = [info for info in self.handle().infolist() if not info.filename.endswith("/")]
        if len(infos) > LIMITS.archive_members:
            raise _archive_error(Code.E_ZIP_LIMIT, f"{self.path.name}: {len(infos)} members")
        total, packed = (sum(getattr(info, size) for info in infos) for size in ("file_size", "compress_size"))
        too_dense = total > LIMITS.archive_ratio_from and total > LIMITS.archive_ratio * packed
        if total > LIMITS.archive_bytes or too_dense:
            raise _archive_error(Code.E_ZIP_LIMIT, f"{self.path.name}: {total / MIB:.0f} MiB unpacked")
        if len({info.header_offset for info in infos}) < len(infos):
            raise _archive_error(Code.E_ZIP_LIMIT, f"{self.path.name}: members that share their bytes")
        for info in infos:
            if info.flag_bits & _ENCRYPTED:
                raise _archive_error(Code.E_ZIP_ENCRYPTED, self.path.name)
            if info.compress_type not in _BOUNDED:
                raise _archive_error(Code.E_ZIP_LIMIT, f"{self.path.name}: compression method {info.compress_type}")
            ratio_counts = info.file_size > LIMITS.inflate_ratio_from
            too_dense = ratio_counts and info.file_size > LIMITS.inflate_ratio * max(1, info.compress_size)
            if info.file_size > LIMITS.file_bytes or too_dense:
                raise _archive_error(Code.E_ZIP_LIMIT, f"{self.path.name}: a member of {info.file_size / MIB:.0f} MiB")
        return infos

    def read(self, index: int) -> bytes:
        """All bytes of the member at `index` of the central directory; the last member is kept, for its next frame."""
        last = self._last
        if last is not None and last[0] == index:
            return last[1]
        with self.open(index) as member:
            content = member.read()
        self._last = index, content
        return content

    def open(self, index: int) -> "_Member":
        """The member as a stream that is inflated as far as it is read."""
        zipped = self.handle()
        info = zipped.infolist()[index]
        with self.damaged():
            return _Member(self, cast(io.BufferedIOBase, zipped.open(info)), info.file_size)

    def size(self, index: int) -> int:
        """Bytes of the member, as declared."""
        return self.handle().infolist()[index].file_size

    @contextlib.contextmanager
    def damaged(self) -> Iterator[None]:
        """Whatever Python's reader raises inside becomes E-ZIP-DAMAGED."""
        try:
            yield
        except _BROKEN_ZIP as error:
            raise _archive_error(Code.E_ZIP_DAMAGED, self.path.name) from error


class _Member(io.BufferedIOBase):
    """One member of a zip: going forward inflates and drops, going back begins anew. Reading raises ArchiveError."""

    def __init__(self, archive: Archive, plain: io.BufferedIOBase, size: int) -> None:
        self._archive, self._plain, self._size = archive, plain, size
        self._place = 0

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        self._place = max(0, offset + (0, self._place, self._size)[whence])
        return self._place

    def read(self, size: int | None = -1, /) -> bytes:
        left = max(0, self._size - self._place)
        with self._archive.damaged():
            if self._plain.tell() != self._place and left:
                self._plain.seek(self._place)
            content = self._plain.read(left if size is None or size < 0 else min(size, left))
            if self._place + len(content) == self._size:
                self._plain.read(1)  # the end is where the checksum is looked at
        self._place += len(content)
        return content

    def close(self) -> None:
        self._plain.close()
        super().close()


class _Opened(io.FileIO):
    """A zip's file. Its central directory, which Python reads and then parses as a whole, is looked at in between."""

    listing = True

    def read(self, size: int | None = -1, /) -> bytes:
        if self.listing and size is not None and size > LIMITS.directory_bytes:
            raise _archive_error(Code.E_ZIP_LIMIT, f"{self._what()}: a central directory of {size} bytes")
        content = super().read(-1 if size is None else size)
        if self.listing and content.count(b"PK\x01\x02") > 2 * LIMITS.archive_members:  # folders are members too
            raise _archive_error(Code.E_ZIP_LIMIT, f"{self._what()}: more than {LIMITS.archive_members} members")
        return content

    def _what(self) -> str:
        return Path(os.fsdecode(self.name)).name

    def __del__(self) -> None:
        self.close()


def _opened(path: Path) -> zipfile.ZipFile:
    file = _Opened(path)
    zipped = zipfile.ZipFile(file)
    file.listing = False
    return zipped


@dataclass(frozen=True, slots=True)
class ZipSource:
    """One member of a zip, by its place in the central directory: two members may share a name."""

    archive: Archive
    index: int
    name: str

    def open(self) -> io.BufferedIOBase:
        """The member: in memory and its checksum seen; inflated as it is read where it is large or no DICOM. Raises ArchiveError."""
        member = self.archive.open(self.index)
        start = member.read(132)
        looks_right = start[128:] == b"DICM" or start[:2] in (b"\x02\x00", b"\x08\x00")
        member.seek(0)
        if not looks_right or self.archive.size(self.index) > LIMITS.slice_bytes:
            return member
        member.close()
        return io.BytesIO(self.archive.read(self.index))

    def read_at(self, offset: int, length: int) -> bytes:
        """Up to `length` bytes from `offset`. Raises ArchiveError."""
        return self.archive.read(self.index)[offset : offset + length]


Source = FileSource | ZipSource


def list_sources(paths: Sequence[Path], dropped: list[Finding]) -> Iterator[Source]:
    """Every regular file below `paths` (folders, zips, files), in order of name.

    What is left out is appended to `dropped`. Links, pipes and devices inside a folder are left out, and so are
    archives inside folders or archives; a path that the user names may itself be a link.

    Raises:
        NoDicomError: a path does not exist or cannot be listed.
        ArchiveError: a zip is damaged, encrypted or beyond the limits.
    """
    for path in paths:
        if path.is_dir():
            yield from _list_folder(path, dropped)
        elif not path.exists():
            raise no_dicom(path, "no such file or folder; check the path")
        elif path.suffix.lower() == ".zip" or _starts_like_archive(path):
            yield from _list_archive(path, dropped)
        elif path.is_file():
            yield FileSource(path, path.name, follow=True)
        else:
            dropped.append(finding(Code.D_NOT_REGULAR, files=[path.name]))


def _list_folder(top: Path, dropped: list[Finding]) -> Iterator[Source]:
    """In order of name, folder by folder; without recursion, since a tree may be deeper than Python's stack."""
    waiting = _entries(top, "")
    while waiting:
        entry, name = waiting.pop()
        if entry.is_dir(follow_symlinks=False):
            waiting += _entries(Path(entry.path), name + "/")
        elif not entry.is_file(follow_symlinks=False):
            dropped.append(finding(Code.D_NOT_REGULAR, files=[name]))
        else:
            yield FileSource(Path(entry.path), name)


def _entries(folder: Path, prefix: str) -> list[tuple["os.DirEntry[str]", str]]:
    """What lies in a folder, the last name first, each with its name from the top on."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name, reverse=True)
    except OSError as error:
        raise no_dicom(folder, f"cannot be listed ({error.strerror}); check the permissions") from error
    return [(entry, prefix + entry.name) for entry in entries]


def _list_archive(path: Path, dropped: list[Finding]) -> Iterator[Source]:
    archive = Archive(path)
    wanted = {id(info) for info in archive.members()}
    for index, info in enumerate(archive.handle().infolist()):
        if id(info) not in wanted:
            continue
        mode = info.external_attr >> 16
        if mode and stat.S_IFMT(mode) not in (0, stat.S_IFREG):
            dropped.append(finding(Code.D_NOT_REGULAR, files=[info.filename]))
        else:
            yield ZipSource(archive, index, info.filename)


def is_archive(start: bytes) -> bool:
    """Whether a file that begins with these bytes is a zip or another archive that holds files."""
    return start[:4] in _ZIP_MAGIC or start.startswith(_OTHER_ARCHIVE_MAGIC)


def _starts_like_archive(path: Path) -> bool:
    try:
        return path.is_file() and FileSource(path, path.name, follow=True).read_at(0, 4) in _ZIP_MAGIC
    except OSError as error:
        raise no_dicom(path, f"cannot be read ({error.strerror}); check the permissions") from error


def no_dicom(where: Path | str, what: str) -> NoDicomError:
    """The refusal of a place that holds no DICOM file that can be read, with its code."""
    code = Code.E_NO_DICOM.value
    return NoDicomError(f"{where}: {code}: {what}", code=code)


def _archive_error(code: Code, what: str) -> ArchiveError:
    return ArchiveError(f"{what}: {code.value}: {code.text.rstrip('.').lower()}. {code.remedy}", code=code.value)
