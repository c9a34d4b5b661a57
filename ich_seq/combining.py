"""How an ensemble's members are combined, as it ships inside a bundle: applied with numpy alone, to slices or to scans.

Weights are chosen in `ich_seq.evaluation.ensembles`, on validation patients.

Source: average, vote and weighted ensembles of CT classifiers as in paper 004 of REFERENCE.md, section 3.3.
"""

from typing import Annotated, Literal

import numpy as np
from jaxtyping import Float, Float64
from pydantic import BaseModel, ConfigDict, Field, model_validator

from ich_seq.labels import LABEL_NAMES

AVERAGE, VOTE, WEIGHTED, FITTED = "average", "vote", "weighted", "fitted"
Method = Literal["average", "vote", "weighted", "fitted"]
Metric = Literal["accuracy", "auc", "log_loss"]
_SUM_TOLERANCE = 1e-6

_Share = Annotated[float, Field(ge=0, le=1)]
PerLabel = Annotated[tuple[_Share, ...], Field(min_length=len(LABEL_NAMES), max_length=len(LABEL_NAMES))]


class Combination(BaseModel):
    """What turns the members' probabilities into the ensemble's, label by label."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)

    method: Method
    """`average`; `vote`: the share of members at or above their own thresholds; `weighted` by a metric; `fitted` weights."""
    metric: Metric | None = None
    """What the weights of `weighted` are made of."""
    chosen_on: Literal["slice", "scan"] | None = None
    """Whether thresholds or weights were chosen on validation slices or scans; None for an average, where nothing is chosen."""
    weights: tuple[PerLabel, ...] = Field(min_length=1)
    """Of each member, in order: its weight for each label in the order of LABEL_NAMES; a label's weights sum to 1."""
    thresholds: tuple[PerLabel, ...] | None = None
    """With `vote`, of each member: the probability from which on it votes for the label."""

    @model_validator(mode="after")
    def _fits(self) -> "Combination":
        sums = np.sum(self.weights, axis=0)
        if (np.abs(sums - 1) > _SUM_TOLERANCE).any():
            raise ValueError(f"a label's weights sum to {sums[np.abs(sums - 1).argmax()]:.6g}, not to 1")
        if (self.method == VOTE) != (self.thresholds is not None):
            raise ValueError("thresholds belong to a vote, and a vote needs them")
        if self.thresholds is not None and len(self.thresholds) != len(self.weights):
            raise ValueError(f"thresholds of {len(self.thresholds)} members for {len(self.weights)}")
        if (self.method == WEIGHTED) != (self.metric is not None):
            raise ValueError("a metric belongs to `weighted`, which needs one")
        return self

    def combine(self, prob: Float[np.ndarray, "m n 6"]) -> Float64[np.ndarray, "n 6"]:
        """The ensemble's probabilities of n slices or scans from those of its m members, in their order.

        A vote gives the share of members that vote for a label: a majority is above one half, a tie is exactly one half, and a
        reading that takes one half and more as positive counts a tie as positive, so that a haemorrhage is not voted away.

        Raises:
            ValueError: another number of members, or a probability outside [0, 1].
        """
        if len(prob) != len(self.weights):
            raise ValueError(f"probabilities of {len(prob)} members for an ensemble of {len(self.weights)}")
        if not ((prob >= 0) & (prob <= 1)).all():
            raise ValueError("a probability must lie in [0, 1]; one is nan or outside")
        said = np.asarray(prob, np.float64)
        if self.thresholds is not None:
            said = (said >= np.array(self.thresholds)[:, None, :]).astype(np.float64)
        combined = np.einsum("ml,mnl->nl", np.array(self.weights), said)
        return np.clip(combined, said.min(axis=0), said.max(axis=0))  # rounding must not leave the members' range


def equal_weights(members: int) -> tuple[tuple[float, ...], ...]:
    """The same weight for each of so many members and every label."""
    return ((1 / members,) * len(LABEL_NAMES),) * members


def average(members: int) -> Combination:
    """The mean of so many members."""
    return Combination(method=AVERAGE, weights=equal_weights(members))
