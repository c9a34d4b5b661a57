"""The processes of one fit or one extraction that `torchrun` started together; alone, everything here costs nothing.

torch is imported only where there are several, so that a command alone can be refused quickly.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


def rank() -> int:
    """This process's number among those that torchrun started, from 0; 0 where it started none."""
    return int(os.environ.get("RANK", "0"))


def world() -> int:
    """How many processes torchrun started, on all machines; 1 where it started none."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def local_rank() -> int:
    """This process's number on its machine: the number of its GPU."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def machines() -> int:
    """How many machines take part, each with the same number of processes."""
    return max(world() // int(os.environ.get("LOCAL_WORLD_SIZE", "1")), 1)


def join() -> None:
    """Meets the other processes, once; nothing where there are none.

    CPU tensors go by gloo, those of GPUs by NCCL.
    """
    if world() == 1:
        return
    import torch
    from torch import distributed

    if not distributed.is_initialized():
        if torch.cuda.is_available():
            torch.cuda.set_device(local_rank())
        distributed.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")


def leave() -> None:
    """Parts from the other processes, where `join` was called."""
    if world() == 1:
        return
    from torch import distributed

    if distributed.is_initialized():
        distributed.destroy_process_group()


@contextmanager
def first_alone() -> Iterator[None]:
    """The first process runs the block by itself, the others after it: what it wrote is there for them."""
    join()
    if rank() > 0:
        wait()
    yield
    if rank() == 0:
        wait()


def wait() -> None:
    """Returns when every process has come here."""
    if world() > 1:
        from torch import distributed

        distributed.barrier()


def total(value: float) -> float:
    """The sum of what each process gives."""
    if world() == 1:
        return value
    import torch
    from torch import distributed

    summed = torch.tensor(value, dtype=torch.float64)
    distributed.all_reduce(summed)
    return float(summed)


def gathered(part: Any) -> list[Any]:
    """What each process gives, in order of their numbers; arrays and plain values."""
    if world() == 1:
        return [part]
    from torch import distributed

    parts: list[Any] = [None] * world()
    distributed.all_gather_object(parts, part)
    return parts


def take_from_first(tensors: list[Any]) -> None:
    """Overwrites each tensor with the first process's."""
    if world() > 1:
        from torch import distributed

        for tensor in tensors:
            distributed.broadcast(tensor, 0)
