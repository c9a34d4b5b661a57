"""The process that decodes compressed pixels: frames come in at its standard input, pixels go out at its standard output.

`children.py` starts it as a script, so that it loads numpy, pydicom and the codecs, and nothing else. It gives up memory and time
that it must not have before it sees a frame, and the kernel ends it where it overruns, or when its parent is gone: neither needs
the decoder to come back.
"""

import contextlib
import fcntl
import json
import math
import os
import resource
import select
import signal
import struct
import sys
from typing import Any, BinaryIO

HEAD = struct.Struct("<II")
"""Before each message both ways: bytes of JSON, then of frame or pixels."""
_ENDED_EARLY, _MOST_PRINTED = b"premature end", 64 * 1024
_PLAIN = ("uint8", "int8", "uint16", "int16")


def main() -> None:
    """Serves until standard input ends; the first argument is JSON: `path`, `lifeline`, `memory` in bytes, `seconds` a frame."""
    settings = json.loads(sys.argv[1])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    sys.path[:] = settings["path"]
    _end_with(settings["lifeline"])
    requests, answers = os.fdopen(0, "rb"), os.fdopen(os.dup(1), "wb")
    complaints = _caught_output()
    import pydicom.pixels  # noqa: F401  # takes longest: before the first frame

    resource.setrlimit(resource.RLIMIT_AS, (settings["memory"], settings["memory"]))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    _send(answers, {}, b"")
    with contextlib.suppress(BrokenPipeError):
        while len(head := requests.read(HEAD.size)) == HEAD.size:
            facts, frame = (requests.read(size) for size in HEAD.unpack(head))
            _send(answers, *_answer(json.loads(facts), frame, settings["seconds"], complaints))


def _end_with(lifeline: int) -> None:
    """Asks the kernel to kill this process when the other end of the pipe is closed, by whom or whatever.

    Where it cannot be asked (it can on Linux), the process ends with its standard input, or when its time for a frame is over.
    """
    with contextlib.suppress(AttributeError, OSError):
        fcntl.fcntl(lifeline, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(lifeline, fcntl.F_SETSIG, signal.SIGKILL)  # pyright: ignore[reportAttributeAccessIssue]
        fcntl.fcntl(lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | os.O_ASYNC)
    if select.select([lifeline], [], [], 0)[0]:  # it was closed already
        os._exit(1)


def _caught_output() -> int:
    """Where what codecs print can be read: it must not come among the pixels, and it may say that a stream ended early."""
    complaints, printed = os.pipe()
    for pipe in (complaints, printed):
        os.set_blocking(pipe, False)
    os.dup2(printed, 1)
    os.dup2(printed, 2)
    return complaints


def _printed(complaints: int) -> bytes:
    """What has been printed since this was asked last."""
    with contextlib.suppress(BlockingIOError):
        return os.read(complaints, _MOST_PRINTED)
    return b""


def _answer(facts: dict[str, Any], frame: bytes, seconds: int, complaints: int) -> tuple[dict[str, Any], bytes]:
    """Facts about the pixels and the pixels; the kernel ends this process after so many seconds by the clock or of its own."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    most = math.ceil(used.ru_utime + used.ru_stime) + seconds
    resource.setrlimit(resource.RLIMIT_CPU, (most, resource.getrlimit(resource.RLIMIT_CPU)[1]))
    signal.alarm(seconds)
    try:
        _printed(complaints)  # by a frame that was refused
        pixels = _decoded(frame, **facts)
        if _ENDED_EARLY in _printed(complaints):  # libjpeg fills in what is missing, and says this
            raise EOFError
        if pixels.dtype.name not in _PLAIN:
            pixels = pixels.astype("<i4")
        plain = pixels.astype(pixels.dtype.newbyteorder("<"), order="C", copy=False)
        return {"shape": plain.shape, "dtype": plain.dtype.str}, plain.tobytes()
    except Exception as error:  # noqa: BLE001  # whatever a decoder raises is the file's fault, and its type is the answer
        return {"error": type(error).__name__}, b""
    finally:
        signal.alarm(0)


def _decoded(frame: bytes, uid: str, plugin: str, options: dict[str, Any]) -> Any:
    """The stored values of one frame, an array of rows and columns."""
    if plugin == "pydicom":
        unsigned = _rle_decoded(frame, options["rows"], options["columns"], options["bits_allocated"] // 8)
        return unsigned.view(unsigned.dtype.str.replace("u", "i")) if options["pixel_representation"] else unsigned
    from pydicom.encaps import encapsulate
    from pydicom.pixels import get_decoder

    return get_decoder(uid).as_array(encapsulate([frame]), raw=True, decoding_plugin=plugin, **options)[0]


def _rle_decoded(frame: bytes, rows: int, columns: int, width: int) -> Any:
    """Unsigned values from one segment for each byte of a sample, the highest first. Source: DICOM PS3.5 annex G."""
    import numpy as np

    offsets = [*struct.unpack_from(f"<{width}I", frame, 4), len(frame)]
    values = np.empty((rows * columns, width), np.uint8)
    for number in range(width):
        segment = _rle_segment(frame[offsets[number] : offsets[number + 1]], rows * columns)
        values[:, width - 1 - number] = np.frombuffer(segment, np.uint8)
    return values.view(f"<u{width}").reshape(rows, columns)


def _rle_segment(coded: bytes, length: int) -> bytearray:
    """So many bytes of one segment; no more is decoded than that, whatever runs it states. Raises ValueError: there are fewer."""
    plain = bytearray()
    at, last = 0, len(coded) - 1
    while len(plain) < length and at < last:
        code = coded[at]
        if code < 128:
            plain += coded[at + 1 : at + 2 + code]
            at += code + 2
        elif code > 128:
            plain += coded[at + 1 : at + 2] * (257 - code)
            at += 2
        else:
            at += 1
    if len(plain) < length:
        raise ValueError(f"{len(plain)} of {length} bytes")
    return plain[:length]


def _send(answers: BinaryIO, facts: dict[str, Any], pixels: bytes) -> None:
    text = json.dumps(facts).encode()
    answers.write(HEAD.pack(len(text), len(pixels)) + text)
    answers.write(pixels)
    answers.flush()


if __name__ == "__main__":
    main()
