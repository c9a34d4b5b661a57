"""What no network may be given, and what none may give: numbers that are not finite. Nothing here needs torch."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float32

from ich_seq.errors import InputRefusedError, ModelError


def refuse_non_finite_hu(slices_hu: Sequence[Float32[np.ndarray, "_ _"]]) -> None:
    """Nothing where all HU are finite: windowing would make numbers of those that are not.

    Raises:
        InputRefusedError: one is not; names the first slice, counted from 1 among those given.
    """
    for index, hu in enumerate(slices_hu):
        if not np.isfinite(hu).all():
            raise InputRefusedError(
                f"slice {index + 1} of {len(slices_hu)} has HU that are no finite numbers; export it again"
            )


def refuse_non_numbers(what: str, *rows: Float32[np.ndarray, "s _"]) -> None:
    """Nothing where every number that a network gave of slices is finite.

    Raises:
        ModelError: one is not; names the first slice, counted from 1 among those computed together.
    """
    for values in rows:
        wrong = np.flatnonzero(~np.isfinite(values).all(axis=1))
        if wrong.size:
            raise ModelError(
                f"{what} gave no number for slice {int(wrong[0]) + 1} of {len(values)}; its weights cannot be used"
            )
