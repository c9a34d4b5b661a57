"""Slices as they are read, a fixed number at a time, with the neighbours that a network reads beside them."""

from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from ich_seq.errors import InputRefusedError
from ich_seq.volume import Slice

CHUNK_SLICES = 8
"""Slices that go through stage one at once: fixed, so that the numbers and the memory do not depend on the scan's length."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Successive slices in HU; those in `asked` are to be read, the others are their neighbours. `indices` are those of the asked."""

    slices: list[Slice]
    asked: range
    indices: list[int]


def in_chunks(slices: Iterator[tuple[int, Slice]], size: int, reach: int) -> Iterator[Chunk]:
    """Each slice of a scan, feet to head, asked for in one chunk of at most `size`, with up to `reach` neighbours on either side.

    No slice is read before it is needed, and none twice: without neighbours exactly `size` for each chunk. Whatever `size`, a slice
    has the same neighbours.
    """
    held: list[tuple[int, Slice]] = []
    below = 0
    for pair in slices:
        held.append(pair)
        if len(held) == below + size + reach:
            yield _chunk(held, range(below, below + size))
            gone = max(below + size - reach, 0)
            held, below = held[gone:], below + size - gone
    while below < len(held):
        asked = range(below, min(below + size, len(held)))
        yield _chunk(held, asked)
        gone = max(asked.stop - reach, 0)
        held, below = held[gone:], asked.stop - gone


def one_ahead(chunks: Iterator[Chunk]) -> Generator[Chunk]:
    """The same chunks, each read in a thread of its own while the caller works on the one before; memory holds one more.

    What reading a chunk raises comes when its turn comes. A caller that wants no more waits for the one that is being read.
    """
    with ThreadPoolExecutor(max_workers=1) as thread:
        coming: Future[Chunk | None] = thread.submit(next, chunks, None)
        try:
            while (chunk := coming.result()) is not None:
                coming = thread.submit(next, chunks, None)
                yield chunk
        finally:
            coming.cancel()


def _chunk(held: list[tuple[int, Slice]], asked: range) -> Chunk:
    return Chunk([hu for _, hu in held], asked, [index for index, _ in held[asked.start : asked.stop]])


def refuse_alone(slices: int, adjacent_slices: int) -> None:
    """Nothing, unless one slice alone is to be read by a model that reads neighbouring slices.

    Raises:
        InputRefusedError: it is: the model has seen no scan of one slice.
    """
    if adjacent_slices and slices == 1:
        raise InputRefusedError(
            f"one slice can be read, and this model reads each slice with {adjacent_slices} on either side; give the whole series, or "
            "use a model that reads slices by themselves"
        )
