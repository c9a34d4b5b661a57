"""Files that are there whole or not at all: each is written beside its place, flushed to disk, then renamed."""

import contextlib
import errno
import fcntl
import glob
import hashlib
import io
import json
import os
import platform
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ich_seq.errors import OutputError, UsageError

TEMPORARY_PREFIX = ".writing-"
_LOCK = ".held"
_MACHINE = hashlib.sha256(platform.node().encode()).hexdigest()[:8]
_SILENT_S = 86_400.0
_REASONS = {
    errno.ENOSPC: "the disk is full; free some space and run the same command again",
    errno.EFBIG: "the limit on the size of a file is reached; raise it or free some space, and run the same command again",
    errno.EDQUOT: "the disk quota is used up; free some space and run the same command again",
    errno.EACCES: "no permission to write there; choose another folder with --out or --run",
    errno.EPERM: "writing there is not permitted; choose another folder with --out or --run",
    errno.EROFS: "the file system is read-only; choose another folder with --out or --run",
    errno.ENOTDIR: "part of the path is a file, not a folder; choose another folder with --out or --run",
    errno.ENOENT: "there is no such place; choose another folder with --out or --run",
    errno.ENAMETOOLONG: "the name is too long for the file system; choose another folder with --out or --run",
    errno.ELOOP: "links there lead in a circle; choose another folder with --out or --run",
    errno.EIO: "the disk reports a fault; choose another folder with --out or --run",
    errno.EMFILE: "too many files are open; raise the limit (`ulimit -n`) and run the same command again",
    errno.ENFILE: "too many files are open on this machine; close some programs and run the same command again",
    errno.ENOMEM: "out of memory; free some and run the same command again",
    errno.EISDIR: "a folder of that name is in the way; choose another folder with --out or --run",
    errno.EEXIST: "a file of that name is in the way; choose another folder with --out or --run",
}


@contextlib.contextmanager
def output_errors(path: Path) -> Iterator[None]:
    """Turns what the operating system says against writing `path` into one OutputError that names it and the way out.

    h5py reports a full disk as an OSError or RuntimeError without errno; its text is read instead.
    """
    try:
        yield
    except OutputError:
        raise
    except (OSError, RuntimeError) as error:
        code = _errno_behind(error)
        if code not in _REASONS:
            raise
        raise OutputError(f"{path}: {_REASONS[code]}", path=path) from error


def _errno_behind(error: BaseException | None) -> int | None:
    """The operating system's number for a fault, also where a library raised something else on top of it."""
    while error is not None:
        if isinstance(error, OSError) and error.errno is not None:
            return error.errno
        if "no space left" in str(error).lower():  # HDF5 says it in words only
            return errno.ENOSPC
        error = error.__cause__ or error.__context__
    return None


def make_folder(path: Path) -> Path:
    """The folder `path`, made with its parents where absent and shown to be writable.

    Raises:
        OutputError: it cannot be made, or nothing can be written in it.
    """
    with output_errors(path):
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    return path


def make_private_folder(path: Path) -> Path:
    """As `make_folder`, for a cache: other users cannot look into a folder that is made now; one that is there stays as it is."""
    with output_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(mode=0o700, exist_ok=True)
    return make_folder(path)


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """The folder, made where it is missing, for this process alone among those that ask; freed when the process ends, however it does.

    Raises:
        UsageError: another process has it.
        OutputError: it cannot be made or written.
    """
    path = make_folder(folder) / _LOCK
    with output_errors(path):
        file = path.open("ab")
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(
                f"{folder}: another process is at work there; wait for its end, or choose another --out"
            ) from None
        yield


def temporary_beside(path: Path) -> Path:
    """Where this process writes `path` before it takes its place; the name tells machine and process."""
    return path.with_name(f"{TEMPORARY_PREFIX}{_MACHINE}-{os.getpid()}-{path.name}")


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`; when the block ends well it is flushed to disk and takes `path`'s place.

    Raises:
        OutputError: disk full, no permission, read-only file system; `path` is then as it was.
    """
    temporary = temporary_beside(path)
    with output_errors(path):
        try:
            yield temporary
            descriptor = os.open(temporary, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            temporary.replace(path)
            _flush_folder(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def in_memory(path: Path) -> Iterator[io.BytesIO]:
    """A buffer whose content becomes the file `path` when the block ends well: for HDF5, whose library crashes on a full disk.

    Raises:
        OutputError: as `replacing`.
    """
    buffer = io.BytesIO()
    yield buffer
    write_bytes(path, buffer.getbuffer())


class _Reserved(io.FileIO):
    """A file whose room is taken beforehand, and that ends for its writer where the last byte was written."""

    def __init__(self, path: Path, most_bytes: int) -> None:
        super().__init__(path, "w+")
        os.posix_fallocate(self.fileno(), 0, most_bytes)
        self._end = 0

    def write(self, content: Any, /) -> int:
        written = super().write(content)
        self._end = max(self._end, self.tell())
        return written

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        return super().seek(self._end + offset) if whence == os.SEEK_END else super().seek(offset, whence)

    def close(self) -> None:
        if not self.closed:
            self.truncate(self._end)
        super().close()


@contextlib.contextmanager
def reserved(path: Path, most_bytes: int) -> Iterator[io.FileIO]:
    """A file that becomes `path` when the block ends well, its room taken on disk before the first byte: `in_memory` for large files.

    What is not used of `most_bytes` is given back.

    Raises:
        OutputError: as `replacing`.
    """
    remove_dead_leftovers(path.parent, path.name)
    with replacing(path) as temporary, _Reserved(temporary, most_bytes) as file:
        yield file


def write_bytes(path: Path, content: bytes | memoryview) -> None:
    """Writes `content` whole or not at all.

    Raises:
        OutputError: as `replacing`.
    """
    with output_errors(path):
        remove_dead_leftovers(path.parent, path.name)
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, content: str) -> None:
    """Writes `content` as UTF-8, whole or not at all.

    Raises:
        OutputError: as `replacing`.
    """
    write_bytes(path, content.encode())


def write_json(path: Path, content: object) -> None:
    """Writes `content` as indented JSON, whole or not at all; NaN and infinity are refused, since JSON has neither.

    Raises:
        ValueError: a number is not finite.
        OutputError: as `replacing`.
    """
    write_text(path, json.dumps(content, indent=2, allow_nan=False, ensure_ascii=False) + "\n")


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's bytes, as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def remove_leftovers(folder: Path) -> None:
    """Removes what interrupted writers left in `folder`: those on this machine that are no more, those elsewhere silent for a day."""
    remove_dead_leftovers(folder)
    for path in folder.glob(f"{TEMPORARY_PREFIX}*"):
        with contextlib.suppress(FileNotFoundError):
            is_ours = path.name.startswith(f"{TEMPORARY_PREFIX}{_MACHINE}-")
            if not is_ours and time.time() - path.lstat().st_mtime > _SILENT_S:
                path.unlink()


def remove_dead_leftovers(folder: Path, name: str | None = None) -> None:
    """Removes what writers on this machine that are no more left in `folder` (of the file `name`); those at work keep theirs."""
    of = "*" if name is None else glob.escape(name)
    for path in folder.glob(f"{TEMPORARY_PREFIX}{_MACHINE}-*-{of}"):
        process = path.name.removeprefix(f"{TEMPORARY_PREFIX}{_MACHINE}-").partition("-")[0]
        if process.isdecimal() and not _is_running(int(process)):
            path.unlink(missing_ok=True)


def _is_running(process: int) -> bool:
    """Whether it may still write: one that has died and that its parent has not asked about yet is a zombie. Source: proc(5)."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):  # another user's; no number of a process
        return True
    try:
        return not Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].startswith(" Z")
    except OSError:  # no /proc, or gone meanwhile: then the next run removes it
        return True


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
