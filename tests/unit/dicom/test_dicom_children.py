"""The processes that decode: who has one, what it may take, and what happens when it dies, hangs or lies."""

import dataclasses
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from compressed import write_compressed
from dicom_factory import make_series, ramp_hu

from ich_seq.dicom import children, read_slice_hu, read_study_files
from ich_seq.dicom.limits import LIMITS
from ich_seq.errors import IchSeqError, PixelsUnreadableError
from ich_seq.pools import in_order
from ich_seq.volume import Volume

OWN = """
import os, sys, time
from pathlib import Path
from ich_seq.dicom import read_slice_hu
from ich_seq.dicom.children import _POOL

read_slice_hu(Path(sys.argv[1]))
print(_POOL.idle[0].pid, flush=True)
if sys.argv[2] == "native":
    sys.exit()
time.sleep(60)
"""


@pytest.fixture
def pool(monkeypatch):
    """A pool of its own, ended afterwards."""
    own = children._Pool()
    monkeypatch.setattr(children, "_POOL", own)
    yield own
    own.end_all()


@pytest.fixture
def path(tmp_path) -> Path:
    (path,) = make_series(tmp_path / "series", 1, syntax="jpegls")
    return path


def pid_of_decoder(path: Path) -> int:
    read_slice_hu(path)
    (child,) = children._POOL.idle
    return child.pid


def test_native_slices_need_no_child_and_compressed_ones_share_one(tmp_path, pool):
    for path in make_series(tmp_path / "native", 2):
        read_slice_hu(path)
    assert not pool.all
    for path in make_series(tmp_path / "compressed", 3, syntax="jpegls"):
        read_slice_hu(path)
    assert len(pool.all) == len(pool.idle) == 1


def test_a_child_is_limited_in_memory_and_writes_no_file(path, pool):
    limits = Path(f"/proc/{pid_of_decoder(path)}/limits")
    if not limits.parent.parent.is_dir():
        pytest.skip("missing /proc")
    rows = {line[:26].strip(): line[26:].split() for line in limits.read_text().splitlines()}
    assert rows["Max address space"][:2] == ["2147483648", "2147483648"]
    assert rows["Max file size"][:2] == ["0", "0"]
    assert rows["Max core file size"][:2] == ["0", "0"]
    assert 20 <= int(rows["Max cpu time"][0]) <= 40


def test_a_child_has_none_of_the_heavy_libraries(path, pool):
    maps = Path(f"/proc/{pid_of_decoder(path)}/maps").read_text()
    assert "openblas" in maps or "numpy" in maps
    assert not [word for word in ("torch", "scipy", "pandas", "h5py", "ich_seq") if f"/{word}/" in maps]


def test_a_child_that_is_killed_between_frames_is_replaced(path, pool):
    first = pid_of_decoder(path)
    os.kill(first, signal.SIGKILL)
    while _runs(first):
        time.sleep(0.01)
    assert pid_of_decoder(path) != first


def test_a_child_that_dies_at_work_costs_one_file(tmp_path, pool):
    paths = make_series(tmp_path / "series", 6, syntax="jpeg2000")
    pid = pid_of_decoder(paths[0])
    os.kill(pid, signal.SIGSTOP)
    killer = threading.Timer(0.3, os.kill, (pid, signal.SIGSEGV))
    killer.start()
    threading.Timer(0.4, os.kill, (pid, signal.SIGCONT)).start()
    chosen = read_study_files([tmp_path / "series"]).studies[0].chosen
    assert chosen is not None
    volume = Volume(chosen)
    read = [index for index, _ in volume.read()]
    (lost,) = volume.lost.values()
    assert lost.code.value == "D-DECODER-DIED"
    assert lost.message.endswith("JPEG 2000 Lossless: ended by SIGSEGV")
    assert read == [1, 2, 3, 4, 5]


def test_a_child_that_hangs_is_killed_after_the_deadline(path, pool, monkeypatch):
    monkeypatch.setattr(children, "LIMITS", dataclasses.replace(LIMITS, decoder_seconds=1))
    pid = pid_of_decoder(path)
    os.kill(pid, signal.SIGSTOP)
    with pytest.raises(PixelsUnreadableError, match="D-DECODER-DIED.*JPEG-LS Lossless: no answer within 1 s"):
        read_slice_hu(path)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert pid_of_decoder(path) != pid


def test_a_frame_that_needs_more_memory_than_allowed_is_refused(tmp_path, pool, monkeypatch):
    path = write_compressed(tmp_path / "a.dcm", "rle")
    with monkeypatch.context() as patch:
        patch.setattr(children, "LIMITS", dataclasses.replace(LIMITS, decoder_bytes=1))
        with pytest.raises(PixelsUnreadableError, match="D-DECODER-DIED") as caught:
            read_slice_hu(path)
    assert caught.value.code == "D-DECODER-DIED"
    pool.end_all()
    read_slice_hu(path)


def test_a_child_that_cannot_start_is_said_once_and_no_file_is_blamed(path, pool, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(IchSeqError, match="did not start.*No such file") as caught:
        read_slice_hu(path)
    assert not isinstance(caught.value, PixelsUnreadableError)


@pytest.mark.parametrize(
    ("answer", "pixels"),
    [
        ({"shape": [64, 81], "dtype": "<u2"}, bytes(64 * 81 * 2)),
        ({"shape": [64, 80], "dtype": "<f8"}, bytes(64 * 80 * 8)),
        ({"shape": [64, 80], "dtype": "<u2"}, bytes(64 * 80)),
        ({"shape": "64", "dtype": "O"}, b""),
        ({}, b""),
    ],
)
def test_an_answer_that_is_no_slice_is_refused(path, answer, pixels):
    header = read_study_files([path]).studies[0].chosen.headers[0]  # pyright: ignore[reportOptionalMemberAccess]
    syntax = children.TransferSyntax("1.2.3", "A codec", "plugin")
    with pytest.raises(children.FileFaultError, match="A codec") as caught:
        children._checked(answer, bytearray(pixels), syntax, header.pixels)
    assert caught.value.code.value == "D-CODESTREAM"


def test_threads_decode_side_by_side_and_get_their_own_slices(tmp_path, pool):
    paths = make_series(tmp_path / "series", 12, syntax="jpegls")
    with ThreadPoolExecutor(3) as threads:
        for index, hu in enumerate(threads.map(read_slice_hu, paths)):
            np.testing.assert_array_equal(hu, ramp_hu(index))
    assert 1 <= len(pool.idle) <= 3


def mean_hu(path: Path) -> tuple[float, int]:
    return float(read_slice_hu(path).mean()), os.getppid()


def test_worker_processes_have_children_of_their_own(tmp_path):
    paths = make_series(tmp_path / "series", 4, syntax="rle")
    means = [mean for mean, parent in in_order(mean_hu, paths, 2) if parent == os.getpid()]
    assert means == [pytest.approx(ramp_hu(index).mean()) for index in range(4)]


def test_a_forked_process_has_its_own_child_and_leaves_its_parents_alone(path, pool):
    pid = pid_of_decoder(path)
    context = multiprocessing.get_context("fork")
    found = context.SimpleQueue()
    forked = context.Process(target=lambda: found.put(pid_of_decoder(path)))
    forked.start()
    forked.join()
    assert found.get() not in (pid, os.getpid())
    assert pid_of_decoder(path) == pid


@pytest.mark.parametrize("how", ["ends", "is killed", "is killed while its child hangs"])
def test_a_child_ends_with_its_parent(path, how):
    script = [sys.executable, "-c", OWN, path, "native" if how == "ends" else "wait"]
    with subprocess.Popen(script, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        if how == "is killed while its child hangs":
            os.kill(pid, signal.SIGSTOP)
        if how != "ends":
            parent.kill()
        parent.wait(timeout=30)
    until = time.monotonic() + 5
    while _runs(pid) and time.monotonic() < until:
        time.sleep(0.02)
    assert not _runs(pid)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False
