"""Folders, zips and lists of files as a stream of byte sources; names serve messages only, never as paths to write to."""

import io
import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ich_seq.dicom.codes import Code
from ich_seq.dicom.findings import Finding, finding
from ich_seq.dicom.limits import LIMITS, MIB
from ich_seq.errors import ArchiveError, NoDicomError

_ARCHIVE_MAGIC = (b"PK\x03\x04", b"PK\x05\x06")
_BOUNDED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""The methods of which no more is unpacked at once than is asked for: bzip2 and LZMA swell before anyone can count."""
_BROKEN_ZIP = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, RuntimeError, OSError, ValueError, OverflowError)


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

    Raises ArchiveError when it is damaged, encrypted or beyond the limits. Sizes are those that the zip declares:
    Python's reader gives no byte more than declared.
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
                self._handle = zipfile.ZipFile(self.path)
            except _BROKEN_ZIP as error:
                raise _archive_error(Code.E_ZIP_DAMAGED, self.path.name) from error
            self._owner_pid = os.getpid()
        return self._handle

    def members(self) -> list[zipfile.ZipInfo]:
        """All members that are not folders, after the limits were checked."""
        infos = [info for info in self.handle().infolist() if not info.filename.endswith("/")]
        if len(infos) > LIMITS.archive_members:
            raise _archive_error(Code.E_ZIP_LIMIT, f"{self.path.name}: {len(infos)} members")
        total = sum(info.file_size for info in infos)
        if total > LIMITS.archive_bytes:
            raise _archive_error(Code.E_ZIP_LIMIT, f"{self.path.name}: {total / MIB:.0f} MiB unpacked")
        for info in infos:
            if info.compress_type not in _BOUNDED:
                method = f"{self.path.name}: a member of compression method {info.compress_type}"
                raise _archive_error(Code.E_ZIP_LIMIT, method)
            if info.flag_bits & 0x1:
                raise _archive_error(Code.E_ZIP_ENCRYPTED, self.path.name)
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
        zipped = self.handle()
        try:
            with zipped.open(zipped.infolist()[index]) as member:
                content = member.read()
        except _BROKEN_ZIP as error:
            raise _archive_error(Code.E_ZIP_DAMAGED, self.path.name) from error
        self._last = index, content
        return content


@dataclass(frozen=True, slots=True)
class ZipSource:
    """One member of a zip, by its place in the central directory: two members may share a name."""

    archive: Archive
    index: int
    name: str

    def open(self) -> io.BufferedIOBase:
        """The member's bytes, in memory. Raises ArchiveError."""
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
            yield from _list_folder(path, "", dropped)
        elif not path.exists():
            raise NoDicomError(f"{path}: no such file or folder; check the path")
        elif path.suffix.lower() == ".zip" or _starts_like_archive(path):
            yield from _list_archive(path, dropped)
        elif path.is_file():
            yield FileSource(path, path.name, follow=True)
        else:
            dropped.append(finding(Code.D_NOT_REGULAR, files=[path.name]))


def _list_folder(folder: Path, prefix: str, dropped: list[Finding]) -> Iterator[Source]:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        raise NoDicomError(f"{folder}: cannot be listed ({error.strerror}); check the permissions") from error
    for entry in entries:
        name = prefix + entry.name
        if entry.is_dir(follow_symlinks=False):
            yield from _list_folder(Path(entry.path), name + "/", dropped)
        elif not entry.is_file(follow_symlinks=False):
            dropped.append(finding(Code.D_NOT_REGULAR, files=[name]))
        else:
            yield FileSource(Path(entry.path), name)


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
    """Whether a file that begins with these bytes is a zip."""
    return start[:4] in _ARCHIVE_MAGIC


def _starts_like_archive(path: Path) -> bool:
    try:
        return path.is_file() and is_archive(FileSource(path, path.name, follow=True).read_at(0, 4))
    except OSError as error:
        raise NoDicomError(f"{path}: cannot be read ({error.strerror}); check the permissions") from error


def _archive_error(code: Code, what: str) -> ArchiveError:
    return ArchiveError(f"{what}: {code.text.rstrip('.').lower()}. {code.remedy}", code=code.value)
