"""Child processes that decode compressed pixels, so that a decoder that dies, hangs or grows costs one file and not this process.

Each is started when it is first needed, kept for the next frame, and used by one thread at a time; a process that forks, and the
forked one, have their own. A child ends with this process, however that ends.
"""

import atexit
import contextlib
import fcntl
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int32

from ich_seq.dicom.boundary import FileFaultError
from ich_seq.dicom.codes import Code
from ich_seq.dicom.decoder import HEAD
from ich_seq.dicom.header import PixelLayout
from ich_seq.dicom.limits import LIMITS, MIB
from ich_seq.dicom.syntaxes import TransferSyntax
from ich_seq.errors import IchSeqError

_SCRIPT = Path(__file__).with_name("decoder.py")
_DTYPES = ("|u1", "|i1", "<u2", "<i2", "<i4")
_OVERTIME = (signal.SIGALRM, signal.SIGXCPU)


class _DeadError(Exception):
    """A child that ended, or that did not answer in time (`late`)."""

    def __init__(self, late: bool) -> None:
        super().__init__()
        self.late = late


class _Child:
    """One decoding process and the pipes to it."""

    def __init__(self) -> None:
        theirs, self._lifeline = os.pipe()
        settings = {
            "path": [os.path.abspath(entry) for entry in sys.path],
            "lifeline": theirs,
            "memory": LIMITS.decoder_bytes,
            "seconds": LIMITS.decoder_seconds,
        }
        single = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-I", _SCRIPT, json.dumps(settings)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                pass_fds=[theirs],
                bufsize=0,
                env=os.environ | single,
            )
        except OSError:
            os.close(self._lifeline)
            raise
        finally:
            os.close(theirs)
        self.pid = self._process.pid
        self._requests, self._answers = (pipe.fileno() for pipe in (self._process.stdin, self._process.stdout) if pipe)
        for pipe in (self._requests, self._answers):
            os.set_blocking(pipe, False)
            with contextlib.suppress(AttributeError, OSError):  # a whole slice at once; a wish only
                fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, MIB)  # pyright: ignore[reportAttributeAccessIssue]

    def alive(self) -> bool:
        """Whether the process has not ended."""
        return self._process.poll() is None

    def ask(self, facts: dict[str, Any], frame: bytes, seconds: float) -> tuple[dict[str, Any], bytearray]:
        """What the child says to a frame, and its pixels. Raises _DeadError."""
        text = json.dumps(facts).encode()
        until = time.monotonic() + seconds
        self._write(memoryview(HEAD.pack(len(text), len(frame)) + text), until)
        self._write(memoryview(frame), until)
        return self.answer(until)

    def answer(self, until: float) -> tuple[dict[str, Any], bytearray]:
        """The next message of the child, waited for until this moment of the monotonic clock. Raises _DeadError."""
        words, pixels = HEAD.unpack(self._read(HEAD.size, until))
        if words > LIMITS.meta_bytes or pixels > LIMITS.slice_bytes * 2:
            raise _DeadError(late=False)
        return json.loads(self._read(words, until)), self._read(pixels, until)

    def ended_by(self) -> str:
        """How a process that ended did."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            code = self._process.wait(timeout=1)
            if -code in _OVERTIME:
                return f"stopped after {LIMITS.decoder_seconds} s"
            return f"ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
        return "no answer"

    def stop(self) -> None:
        """Ends the process, if it has not ended, and closes the pipes."""
        with contextlib.suppress(OSError):
            self._process.kill()
        self._process.wait()
        self.forget()

    def forget(self) -> None:
        """Closes the pipes in this process; after a fork the child is another's."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        with contextlib.suppress(OSError):
            os.close(self._lifeline)
        self._lifeline = -1
        if self._process.returncode is None:
            self._process.returncode = 0  # it is not this process's to wait for

    def _write(self, left: memoryview, until: float) -> None:
        while left:
            self._wait(self._requests, select.POLLOUT, until)
            try:
                left = left[os.write(self._requests, left) :]
            except BlockingIOError:
                continue
            except BrokenPipeError as error:
                raise _DeadError(late=False) from error

    def _read(self, size: int, until: float) -> bytearray:
        found = bytearray(size)
        left = memoryview(found)
        while left:
            self._wait(self._answers, select.POLLIN, until)
            try:
                count = os.readv(self._answers, [left])
            except BlockingIOError:
                continue
            if not count:
                raise _DeadError(late=False)
            left = left[count:]
        return found

    def _wait(self, pipe: int, event: int, until: float) -> None:
        poll = select.poll()
        poll.register(pipe, event)
        if not poll.poll(max(0.0, until - time.monotonic()) * 1000):
            raise _DeadError(late=True)


class _Pool:
    """The children of this process: those that wait for a frame, and all."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.idle: list[_Child] = []
        self.all: set[_Child] = set()

    def take(self) -> _Child:
        """A child that waits, or a new one. Raises IchSeqError."""
        with self._lock:
            while self.idle:
                child = self.idle.pop()
                if child.alive():
                    return child
                self._drop(child)
        return self._started()

    def put_back(self, child: _Child) -> None:
        """Keeps a child for the next frame."""
        with self._lock:
            self.idle.append(child)

    def end(self, child: _Child) -> None:
        """Ends one child; the next `take` starts another."""
        with self._lock:
            self._drop(child)

    def end_all(self) -> None:
        """Ends them all."""
        with self._lock:
            for child in list(self.all):
                self._drop(child)

    def after_fork(self) -> None:
        """In a forked process: the children are its parent's, and so is whoever held the lock."""
        children, self.all = self.all, set()
        self.idle, self._lock = [], threading.Lock()
        for child in children:
            child.forget()

    def _drop(self, child: _Child) -> None:
        child.stop()
        self.all.discard(child)
        self.idle = [other for other in self.idle if other is not child]

    def _started(self) -> _Child:
        try:
            child = _Child()
        except OSError as error:
            raise _not_started(error.strerror or "input error") from error
        with self._lock:
            self.all.add(child)
        try:
            child.answer(time.monotonic() + LIMITS.decoder_start_seconds)
        except _DeadError as error:
            how = child.ended_by()
            self.end(child)
            raise _not_started(how) from error
        except BaseException:
            self.end(child)
            raise
        return child


def _not_started(how: str) -> IchSeqError:
    return IchSeqError(
        f"the process that decodes compressed pixels did not start ({how}); "
        "see that memory and processes are left, and run the same command again"
    )


_POOL = _Pool()
atexit.register(_POOL.end_all)
os.register_at_fork(after_in_child=_POOL.after_fork)


def decode_in_child(frame: bytes, syntax: TransferSyntax, layout: PixelLayout) -> Int32[np.ndarray, "y x"]:
    """The stored values of one compressed frame, decoded in a child process within `LIMITS.decoder_bytes` and `decoder_seconds`.

    Raises:
        FileFaultError: D-UNREADABLE, the decoder refuses the frame; D-CODESTREAM, it gives another matrix; D-DECODER-DIED,
            it ended, overran, or wanted more memory.
        IchSeqError: no child can be started.
    """
    child = _POOL.take()
    try:
        answer, pixels = child.ask(_request(syntax, layout), frame, LIMITS.decoder_seconds)
    except _DeadError as error:
        how = f"no answer within {LIMITS.decoder_seconds} s" if error.late else child.ended_by()
        _POOL.end(child)
        raise FileFaultError(Code.D_DECODER_DIED, f"{syntax.name}: {how}") from error
    except BaseException:
        _POOL.end(child)
        raise
    _POOL.put_back(child)
    return _checked(answer, pixels, syntax, layout)


def _request(syntax: TransferSyntax, layout: PixelLayout) -> dict[str, Any]:
    options = {
        "rows": layout.rows,
        "columns": layout.columns,
        "samples_per_pixel": 1,
        "photometric_interpretation": layout.photometric_interpretation or "MONOCHROME2",
        "number_of_frames": 1,
        "bits_allocated": layout.bits_allocated,
        "bits_stored": layout.bits_stored,
        "pixel_representation": layout.pixel_representation,
        "pixel_keyword": "PixelData",
    }
    return {"uid": syntax.uid, "plugin": syntax.plugin, "options": options}


def _checked(
    answer: dict[str, Any], pixels: bytearray, syntax: TransferSyntax, layout: PixelLayout
) -> Int32[np.ndarray, "y x"]:
    """The child's answer as an array; nothing that it says is believed."""
    if "error" in answer:
        kind = str(answer["error"])[:40]
        code = Code.D_DECODER_DIED if kind == "MemoryError" else Code.D_UNREADABLE
        raise FileFaultError(code, f"{syntax.name}: {kind if kind.isidentifier() else 'error'}")
    shape, dtype = answer.get("shape"), answer.get("dtype")
    if shape != [layout.rows, layout.columns] or dtype not in _DTYPES:
        raise FileFaultError(Code.D_CODESTREAM, f"{syntax.name}: not decoded to {layout.rows} x {layout.columns}")
    if len(pixels) != layout.rows * layout.columns * np.dtype(dtype).itemsize:
        raise FileFaultError(Code.D_CODESTREAM, f"{syntax.name}: {len(pixels)} bytes of pixels")
    return np.frombuffer(pixels, dtype).reshape(layout.rows, layout.columns).astype(np.int32)
