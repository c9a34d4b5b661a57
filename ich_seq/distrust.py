"""Files of our own, read as if a stranger had made them: plain files of bounded size, and strict JSON under a seal.

Nothing here can run code from a file. What does not fit is a DamagedError, which says why; who reads the file names it.
"""

import errno
import hashlib
import json
import os
import stat
from collections.abc import Iterator, Mapping
from io import BufferedReader
from pathlib import Path
from typing import Any

from ich_seq.files import output_errors

SEAL = "sha256"
"""The field of a JSON object that holds the digest of all the rest."""

MOST_JSON = 64_000_000
"""The most bytes of a JSON file; RSNA's index of 21,744 parts has 5 million."""
_MOST_LINES = 2_000_000_000
_NOT_ITS_FAULT = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)


class DamagedError(ValueError):
    """Why a file of our own cannot be used, without its name."""


def open_own(path: Path, most_bytes: int) -> BufferedReader:
    """A plain file, open for reading: no link, no device, not larger than any of its kind.

    Raises:
        FileNotFoundError: there is none.
        DamagedError: it is something else, too large, or may not be read.
        OutputError: too many files are open, or memory is out; the file may be whole.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise FileNotFoundError(error.errno, error.strerror, str(path)) from error
    except OSError as error:
        if error.errno in _NOT_ITS_FAULT:
            with output_errors(path):
                raise
        why = "a link, not a plain file" if path.is_symlink() else f"{error.strerror or error}"
        raise DamagedError(why) from error
    facts = os.fstat(descriptor)
    if stat.S_ISREG(facts.st_mode) and facts.st_size <= most_bytes:
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    if not stat.S_ISREG(facts.st_mode):
        raise DamagedError("not a plain file")
    raise DamagedError(f"{facts.st_size:,} bytes, larger than any of its kind ({most_bytes:,} at most)")


def read_own(path: Path, most_bytes: int) -> bytes:
    """The bytes of a plain file.

    Raises:
        FileNotFoundError, DamagedError: as `open_own`.
    """
    with open_own(path, most_bytes) as file:
        try:
            return file.read()
        except OSError as error:
            raise DamagedError(f"{error.strerror or error}") from error


def strict_json(content: bytes | str) -> Any:
    """What a JSON text says; a key that stands twice, NaN, infinity, numbers of thousands of digits and deep nesting are refused.

    Raises:
        DamagedError: it is none.
    """
    try:
        text = content if isinstance(content, str) else content.decode("utf-8")
        return json.loads(text, object_pairs_hook=_no_key_twice, parse_constant=_no_constant)
    except DamagedError:
        raise
    except RecursionError as error:
        raise DamagedError("not JSON: nested too deep") from error
    except ValueError as error:  # JSONDecodeError, UnicodeDecodeError, and integers of thousands of digits
        raise DamagedError(f"not JSON: {error}") from error


def _no_key_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise DamagedError("not JSON of ours: a key stands twice")
    return found


def _no_constant(name: str) -> Any:
    raise DamagedError(f"not JSON: {name}")


def strict_object(content: bytes | str) -> dict[str, Any]:
    """As `strict_json`, of an object.

    Raises:
        DamagedError: it is none, or something else.
    """
    found = strict_json(content)
    if not isinstance(found, dict):
        raise DamagedError(f"a JSON {type(found).__name__}, not an object")
    return found


def sealed(content: Mapping[str, Any], name: str = SEAL) -> dict[str, Any]:
    """An object with the SHA-256 of all its fields in the field `name`, whatever their order and indentation."""
    return {key: value for key, value in content.items() if key != name} | {name: _seal_of(content, name)}


def _seal_of(content: Mapping[str, Any], name: str) -> str:
    rest = {key: value for key, value in content.items() if key != name}
    return hashlib.sha256(json.dumps(rest, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def unsealed(content: Mapping[str, Any], name: str = SEAL, *, must: bool = True) -> dict[str, Any]:
    """The fields without their seal, which must fit; without `must` an object that never had one is taken as it is.

    Raises:
        DamagedError: the seal does not fit, or is missing.
    """
    if must and name not in content:
        raise DamagedError(f"it lacks its digest ({name}), as files of earlier versions do")
    if name in content and content[name] != _seal_of(content, name):
        raise DamagedError("changed since it was written (its SHA-256 does not fit)")
    return {key: value for key, value in content.items() if key != name}


def whole_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The sealed objects of a file of JSON lines, up to the first that was cut short or changed; none where there is no file.

    Raises:
        DamagedError, OutputError: as `open_own`.
    """
    try:
        text = read_own(path, _MOST_LINES).decode("utf-8", errors="replace")
    except FileNotFoundError:
        return
    for line in text.split("\n"):
        try:
            yield unsealed(strict_object(line))
        except DamagedError:
            return
