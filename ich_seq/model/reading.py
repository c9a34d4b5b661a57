"""What a backend answers, whichever it is; nothing here needs torch."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float32


class SliceReading(NamedTuple):
    """What stage one says of slices, feet to head: probabilities, and the PCA coordinates for stage two."""

    prob: Float32[np.ndarray, "s l"]
    reduced: Float32[np.ndarray, "s k"]
