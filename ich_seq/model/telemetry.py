"""Importing OpenVINO or NNCF sends an event and writes a client's identifier into the home folder; not from here."""

import contextlib
import sys
from collections.abc import Iterator

_SENDER = "openvino_telemetry"


@contextlib.contextmanager
def no_telemetry() -> Iterator[None]:
    """What is imported in this block finds no package that could send anything, and takes a stub of its own instead.

    OpenVINO and NNCF both do without `openvino_telemetry` where it is not installed; so it is hidden while they are imported.
    """
    missing = object()
    before = sys.modules.get(_SENDER, missing)
    sys.modules[_SENDER] = None  # type: ignore[assignment]  # Python's own way to forbid an import
    try:
        yield
    finally:
        if before is missing:
            del sys.modules[_SENDER]
        else:
            sys.modules[_SENDER] = before  # type: ignore[assignment]
