"""Which slices make which step: all of them in a seeded order, or batches that are balanced by under-sampling."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32
from torch import Tensor

from ich_seq.config import TrainCnnConfig
from ich_seq.errors import DatasetError
from ich_seq.labels import ANY_INDEX
from ich_seq.training.compute import seed_for

_SHUFFLE = 1  # keeps the seeds of the epoch's order apart from those of its steps
_BALANCE = 2


@dataclass(frozen=True)
class Sampling:
    """The steps of every epoch as rows of the training slices; the same seed gives the same rows, from whichever step on."""

    labels: Float32[Tensor, "s l"]
    settings: TrainCnnConfig
    seed: int

    def steps_per_epoch(self) -> int:
        """All training slices once, the last batch may be smaller; or as many steps as the config has, if they are fewer."""
        every = -(-len(self.labels) // self.settings.batch_size)
        return min(every, self.settings.steps_per_epoch or every)

    def steps(self, epoch: int, first_step: int) -> list[list[int]]:
        """The rows of each step of an epoch, from `first_step` on.

        Raises:
            DatasetError: a balanced batch needs slices with and without blood, and one kind is not there.
        """
        if self.settings.sampling == "balanced":
            return [self._balanced(epoch, step) for step in range(first_step, self.steps_per_epoch())]
        size, steps = self.settings.batch_size, self.steps_per_epoch()
        order = np.random.default_rng(seed_for(self.seed, epoch, 0, _SHUFFLE)).permutation(len(self.labels)).tolist()
        return [order[step * size : (step + 1) * size] for step in range(first_step, steps)]

    def _balanced(self, epoch: int, step: int) -> list[int]:
        """For each subtype, the rarest first, its share of the batch among slices not drawn yet; negative slices fill the rest.

        A kind with too few slices is drawn with repetition; the share of a subtype that nobody has goes to any positive slices. A
        slice with two subtypes is drawn for one of them, so that some subtypes come more often than their share, as printed.

        Source: section 3.2 and table 1 of paper 000: 16 of each of five subtypes, and 48 negative slices, of 128.
        """
        random = np.random.default_rng(seed_for(self.seed, epoch, step, _BALANCE))
        truth = self.labels.numpy() > 0
        positive, negative = np.flatnonzero(truth[:, ANY_INDEX]), np.flatnonzero(~truth[:, ANY_INDEX])
        if not len(positive) or not len(negative):
            missing = "with" if not len(positive) else "without"
            raise DatasetError(
                f'train_cnn.sampling = "balanced" needs slices with and without blood; no training slice is {missing}'
            )
        size, drawn = self.settings.batch_size, np.zeros(len(truth), bool)
        share = max(1, int(size * self.settings.subtype_share))
        rows: list[int] = []
        for subtype in np.argsort(truth[:, :ANY_INDEX].sum(axis=0), kind="stable").tolist():
            pool = np.flatnonzero(truth[:, subtype])
            rows += _drawn(pool if len(pool) else positive, share, drawn, random)
        return rows + _drawn(negative, size - len(rows), drawn, random)


def _drawn(pool: np.ndarray, count: int, drawn: np.ndarray, random: np.random.Generator) -> list[int]:
    """So many of a pool, of those first that have not been drawn; what is drawn is marked."""
    fresh = pool[~drawn[pool]]
    chosen = random.permutation(fresh)[:count]
    if len(chosen) < count:
        chosen = np.concatenate((chosen, random.choice(pool, count - len(chosen))))
    drawn[chosen] = True
    return chosen.tolist()
