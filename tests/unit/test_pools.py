"""Work in several processes: its order, its faults, and that no process outlives it."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
from kills import processes_of_session

from ich_seq.errors import DatasetError, IchSeqError
from ich_seq.pools import in_order

# Ten pieces of an hour each: whoever waits for what was begun, or for what is queued, is seen to.
LONG = """
import sys, time
from pathlib import Path
from ich_seq.pools import in_order

def work(item):
    Path(sys.argv[1], str(item)).touch()
    time.sleep(3600)

if __name__ == "__main__":
    for _ in in_order(work, range(10), 2):
        pass
"""


def slow_first(item: int) -> tuple[int, str, int]:
    time.sleep(0.3 if item == 0 else 0.0)
    return item, os.environ["OMP_NUM_THREADS"], os.getpid()


def refuses_three(folder: Path, item: int) -> int:
    if item == 3:
        raise DatasetError("three: is refused", item=item)
    if item > 3:
        time.sleep(3600)
    (folder / str(item)).touch()
    return item


def dies(item: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_results_come_in_the_order_of_the_items_from_processes_of_one_thread_each() -> None:
    found = list(in_order(slow_first, range(20), 2))
    assert [item for item, _, _ in found] == list(range(20))
    assert {threads for _, threads, _ in found} == {"1"}
    assert os.getpid() not in {process for _, _, process in found}
    assert multiprocessing.active_children() == []


def test_one_job_or_one_item_needs_no_process() -> None:
    assert list(in_order(os.path.basename, ["a/b", "c"], 1)) == ["b", "c"]
    assert [process for _, process in in_order(partial(_here), [0], 8)] == [os.getpid()]
    assert list(in_order(dies, [], 8)) == []


def _here(item: int) -> tuple[int, int]:
    return item, os.getpid()


def test_a_fault_is_passed_on_and_ends_the_others_at_once(tmp_path: Path) -> None:
    results = in_order(partial(refuses_three, tmp_path), range(100), 2)
    with pytest.raises(DatasetError, match="three: is refused"):
        list(results)
    assert multiprocessing.active_children() == []
    assert {path.name for path in tmp_path.iterdir()} == {"0", "1", "2"}


def test_a_caller_that_wants_no_more_ends_them_at_once(tmp_path: Path) -> None:
    for item in in_order(partial(refuses_three, tmp_path), range(100), 2):
        if item == 1:
            break
    assert multiprocessing.active_children() == []


def test_a_process_ended_from_outside_is_one_clear_error() -> None:
    with pytest.raises(IchSeqError, match="a worker process was ended from outside.*with fewer --jobs"):
        list(in_order(dies, range(4), 2))
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
@pytest.mark.parametrize("begun", [False, True], ids=["while the processes start", "while they work"])
def test_they_end_with_the_process_that_started_them(tmp_path: Path, number: signal.Signals, begun: bool) -> None:
    script, marks = tmp_path / "long.py", tmp_path / "marks"
    script.write_text(LONG)
    marks.mkdir()
    process = subprocess.Popen(
        [sys.executable, script, marks], stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    ready = (lambda: len(list(marks.iterdir())) == 2) if begun else (lambda: len(processes_of_session(process.pid)) > 2)
    while not ready():
        assert process.poll() is None
        time.sleep(0.001)
    if number == signal.SIGINT:
        os.killpg(process.pid, number)  # as a terminal does
    else:
        process.kill()
    _, said = process.communicate(timeout=60)
    until = time.monotonic() + 5
    while processes_of_session(process.pid) and time.monotonic() < until:
        time.sleep(0.02)
    assert processes_of_session(process.pid) == {}
    if number == signal.SIGINT:  # after SIGKILL, processes that were half started say that the first is gone
        assert said.count("Traceback") == 1, said
        assert said.endswith("KeyboardInterrupt\n"), said
    assert len(list(marks.iterdir())) <= 2
