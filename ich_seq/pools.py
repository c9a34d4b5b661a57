"""Work in several processes: results in order as they come, and no process left behind, however it ends."""

import contextlib
import itertools
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import Connection
from typing import TypeVar

from ich_seq.errors import IchSeqError

Item = TypeVar("Item")
Result = TypeVar("Result")
_AHEAD = 4  # items handed out for each worker: enough that none waits for the slowest


def in_order(work: Callable[[Item], Result], items: Sequence[Item], jobs: int) -> Iterator[Result]:
    """`work` of each item, in the order of the items; at most `jobs` processes (0: one a core), each on one thread.

    Whatever stops it (a fault in `work`, Ctrl-C, a caller that wants no more), the processes end at once, and what was not begun
    never is; they end as well when this process is killed. With one job, or one item, `work` runs here. What is sent
    to a process, `work` itself and its results are pickled; the processes are spawned, since a fork copies locks that threads hold.

    Raises:
        IchSeqError: a process was ended from outside; what `work` raises is passed on.
    """
    workers = min(jobs or len(os.sched_getaffinity(0)), len(items))
    if workers <= 1:
        yield from map(work, items)
        return
    context = multiprocessing.get_context("spawn")
    lifeline, ours = context.Pipe(duplex=False)
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_begin_worker, initargs=(lifeline,))
    left = iter(items)
    waiting: deque[Future[Result]] = deque()
    try:
        for count in itertools.chain([_AHEAD * workers], itertools.repeat(1)):
            with _undisturbed():
                waiting.extend(pool.submit(work, item) for item in itertools.islice(left, count))
            if not waiting:
                break
            yield _result(waiting.popleft())
    except BaseException:
        ours.close()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        ours.close()
        lifeline.close()


def _result(future: "Future[Result]") -> Result:
    try:
        return future.result()
    except BrokenProcessPool as error:
        raise IchSeqError(
            "a worker process was ended from outside, perhaps for want of memory; run the same command again, with fewer --jobs"
        ) from error


def _begin_worker(lifeline: Connection) -> None:
    """Ctrl-C is the first process's to answer; one thread each, which libraries read when the first piece of work loads them."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    os.environ["OMP_NUM_THREADS"] = "1"
    threading.Thread(target=_end_with, args=(lifeline,), daemon=True).start()


def _end_with(lifeline: Connection) -> None:
    """Nothing is ever sent: the pipe ends when the first process closes its end, or dies."""
    with contextlib.suppress(EOFError, OSError):
        lifeline.recv_bytes()
    os._exit(1)


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Puts off Ctrl-C and requests to end until the block is over: a process that is half started would complain of it.

    The processes that the block starts inherit that these signals are blocked.
    """
    if threading.current_thread() is not threading.main_thread():  # Python handles signals in the main thread only
        yield
        return
    numbers, seen = (signal.SIGINT, signal.SIGTERM), set[int]()
    before = {number: signal.signal(number, lambda number, _: seen.add(number)) for number in numbers}
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)
    for number in seen:
        signal.raise_signal(number)
