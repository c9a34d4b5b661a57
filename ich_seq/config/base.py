"""What every section of a config is, and the kinds of number in them."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[int, Field(gt=0)]
PositiveFloat = Annotated[float, Field(gt=0)]


class Section(BaseModel):
    """A part of a config: frozen, every key known, no infinity or NaN."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)


def later(default: Any, **limits: Any) -> Any:
    """A field that came after models and runs had been written: at its default it is not written, so their digests stay."""
    return Field(default=default, exclude_if=lambda value: value == default, **limits)
