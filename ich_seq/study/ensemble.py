"""An ensemble made to compute: each member reads the same slices in its own way, and their probabilities are combined."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float32

from ich_seq.combining import Combination
from ich_seq.labels import LABEL_NAMES
from ich_seq.model.ensemble import EnsembleInfo
from ich_seq.model.reading import SliceReading
from ich_seq.volume import Slice

if TYPE_CHECKING:
    from ich_seq.study.model import StudyModel


class EnsembleModel:
    """Several models as one, whose stage two reads what stage two of each member reads, side by side.

    Members may differ in preprocessing, size, width and runtime: each is asked for the slices, and with as many neighbours, as when it
    scores by itself. `runtime`, `precision` and `device` are the members', each named once.
    """

    def __init__(self, info: EnsembleInfo, members: "Sequence[StudyModel]") -> None:
        """Takes members that are ready to compute, in the order of the description.

        Raises:
            ValueError: another number of members than are described.
        """
        if len(members) != len(info.members):
            raise ValueError(f"{len(members)} members for an ensemble of {len(info.members)}")
        self.info, self.members = info, tuple(members)
        self.runtime = _named_once(member.runtime for member in members)
        self.precision = _named_once(member.precision for member in members)
        self.device = _named_once(member.device for member in members)

    def read_slices(self, slices_hu: Sequence[Slice], asked: range | None = None) -> SliceReading:
        """Stage one on successive slices in HU, on all or on those `asked` for; others are neighbours.

        Beside the combined probabilities stand those of each member with its coordinates, member by member.

        Raises:
            InputRefusedError, ModelError: HU, or a number of a member, is not finite.
        """
        wanted = range(len(slices_hu)) if asked is None else asked
        probs, beside = [], []
        for member in self.members:
            prob, reduced, *_ = _read(member, slices_hu, wanted)
            probs.append(prob)
            beside += [prob, reduced]
        return SliceReading(combined(self.info.stage_one, probs), np.concatenate(beside, axis=1))

    def refine(
        self, reduced: Float32[np.ndarray, "s k"], prob: Float32[np.ndarray, "s l"]
    ) -> Float32[np.ndarray, "s l"]:
        """Stage two of each member on one scan, feet to head, combined; `prob` is not read: the members' own are in `reduced`."""
        refined = [
            member.refine(own_reduced, own_prob)
            for member, own_prob, own_reduced in zip(self.members, *self._apart(reduced), strict=True)
        ]
        return combined(self.info.stage_two, refined)

    def _apart(self, beside: Float32[np.ndarray, "s k"]) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """The members' probabilities, and their coordinates."""
        widths = [width for member in self.info.members for width in (len(LABEL_NAMES), member.reduced_width)]
        parts = [np.ascontiguousarray(part) for part in np.split(beside, np.cumsum(widths)[:-1], axis=1)]
        return parts[::2], parts[1::2]


def combined(by: Combination, prob: Sequence[Float32[np.ndarray, "n l"]]) -> Float32[np.ndarray, "n l"]:
    """The members' probabilities as one, in the precision in which models answer."""
    return by.combine(np.stack(prob)).astype(np.float32)


def _read(
    member: "StudyModel", slices_hu: Sequence[Slice], asked: range
) -> tuple[Float32[np.ndarray, "s l"], Float32[np.ndarray, "s k"]]:
    """The asked slices by one member, with as many neighbours as it reads and no more."""
    reach = member.info.adjacent_slices
    if not reach:
        return member.read_slices(slices_hu[asked.start : asked.stop])
    start, stop = max(asked.start - reach, 0), min(asked.stop + reach, len(slices_hu))
    return member.read_slices(slices_hu[start:stop], range(asked.start - start, asked.stop - start))


def _named_once(names: Iterator[str]) -> str:
    return " and ".join(dict.fromkeys(names))
