"""What the user may let reading and scoring do that they do not do by themselves, or forbid them to do."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """Each is off unless asked for; what it lets pass carries a warning in the result.

    `allow_incomplete`: a series is used although too many slices are missing. `strict`: every warning refuses.
    `allow_sc`: secondary captures with a rescale count as CT. `assume_one_series`: files without SeriesInstanceUID are one series.
    `trust_instance_number`: where no position is known, slices lie in the order of InstanceNumber. `first_time_point`: of several
    images at each position the first in time is taken. `assumed_intercept_hu`: the intercept, with slope 1, of a series that states
    no rescale.
    """

    allow_incomplete: bool = False
    strict: bool = False
    allow_sc: bool = False
    assume_one_series: bool = False
    trust_instance_number: bool = False
    first_time_point: bool = False
    assumed_intercept_hu: float | None = None


AS_IT_IS = ReadOptions()
"""Nothing assumed, nothing let pass."""
