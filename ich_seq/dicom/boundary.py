"""Where the world's files meet our code: one error type for a fault of a file, and the one catch-all that makes others into it."""

import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from ich_seq.dicom.codes import Code
from ich_seq.errors import ArchiveError

_PYDICOM_LOGGERS = ("pydicom", "pydicom.pixels.decoders.base", "pydicom.pixels.utils")
_ONE_AT_A_TIME = threading.RLock()


class FileFaultError(Exception):
    """One file that cannot be used, and by which rule; `file_error` makes of it the error that users see."""

    def __init__(self, code: Code, detail: str = "") -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


@contextmanager
def file_boundary(what: str = "") -> Iterator[None]:
    """Whatever a parser or a decoder raises inside becomes D-UNREADABLE with the type of the error, and `what`, only.

    Nothing that pydicom warns or logs gets out either: it quotes the values of headers. Filters of warnings belong to
    the whole process, so one thread at a time is let in.

    Raises:
        FileFaultError: D-UNREADABLE, or as raised inside.
        ArchiveError: as raised inside.
    """
    try:
        with _ONE_AT_A_TIME, _silent_loggers(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (FileFaultError, ArchiveError):
        raise
    except Exception as error:
        detail = f"{what}: {type(error).__name__}" if what else type(error).__name__
        raise FileFaultError(Code.D_UNREADABLE, detail) from error


@contextmanager
def _silent_loggers() -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in _PYDICOM_LOGGERS]
    before = [logger.disabled for logger in loggers]
    for logger in loggers:
        logger.disabled = True
    try:
        yield
    finally:
        for logger, disabled in zip(loggers, before, strict=True):
            logger.disabled = disabled
