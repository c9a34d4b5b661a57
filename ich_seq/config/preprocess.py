"""From HU to the network's input: what decides the tile of one slice, and what a network reads beside it."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from ich_seq.config.base import PositiveFloat, Section, later

ALONE = "no other slice of its series can be read, and the network reads neighbouring slices"
"""Why a slice by itself is left out of training, extraction and evaluation; scoring refuses such a study."""


class Window(Section):
    """A display window in HU: `level` is its centre, `width` the span mapped to [0, 1], or to nearly that by a sigmoid."""

    level: float
    """Centre in HU."""
    width: PositiveFloat
    """Full width in HU."""


class TileConfig(Section):
    """What decides the tile of one slice: its channels, in [0, 1], and its size. Defaults: Burduja et al. 2020, Sensors 20:5611."""

    windows: tuple[Window, ...] = (Window(level=40, width=80), Window(level=80, width=200), Window(level=40, width=380))
    """One input channel each: brain, subdural, soft tissue."""
    size: Annotated[int, Field(gt=0, le=2048)] = 256
    """Rows and columns of the network's input, in pixels."""
    antialias: bool = False
    """Low-pass before shrinking; off as published, on for shrinking by more than 2, where bilinear would skip pixels."""
    windowing: Literal["linear", "sigmoid", "largest_absolute"] = later("linear")
    """`linear` clips outside a window. `sigmoid` runs on outside it (paper 000; Lee, Kim and Do 2018, arXiv 1812.00572).
    `largest_absolute` has no windows and divides the slice by its largest absolute HU (paper 003): of x in [-1, 1] a tile has
    (1 + x) / 2, which mean .5 and deviation .5 undo."""
    sigmoid_upper: PositiveFloat = later(255.0)
    """U of a sigmoid window, which comes from 0 to U before it is scaled to [0, 1]; 255 in the reference of paper 000."""
    sigmoid_margin: PositiveFloat = later(1.0)
    """Epsilon of a sigmoid window: at its lower end it is epsilon, at its upper end U - epsilon; 1 in the reference of paper 000."""
    grey_mean: bool = later(False)
    """Whether the windows are averaged to one grey channel (paper 002)."""
    resize: Literal["bilinear", "every_nth", "pad_or_crop"] = later("bilinear")
    """`every_nth` takes every n-th pixel (paper 002: every fourth of 512). `pad_or_crop` keeps the pixels as they are and cuts the
    matrix about its middle, or fills it up with air (paper 000: to 448)."""
    max_pool: Annotated[int, Field(gt=0, le=16)] = later(1)
    """Above 1, the slice is brought to `size` times this, and of each square of so many pixels the largest is kept (paper 000: 2)."""

    @property
    def slice_channels(self) -> int:
        """Channels that come of one slice."""
        return 1 if self.grey_mean or self.windowing == "largest_absolute" else len(self.windows)

    def describe(self) -> str:
        """In words, after the size: `windows 40/80, 80/200 HU`."""
        windows = ", ".join(f"{window.level:g}/{window.width:g}" for window in self.windows)
        text = f"windows {windows} HU" if windows else "divided by its largest absolute HU"
        if self.windowing == "sigmoid":
            text = f"sigmoid {text}"
        if self.grey_mean:
            text += ", their grey mean"
        if self.resize != "bilinear":
            text += ", by every n-th pixel" if self.resize == "every_nth" else f", cut to {self.size * self.max_pool}"
        return text + (f", largest of {self.max_pool} x {self.max_pool}" if self.max_pool > 1 else "")

    @model_validator(mode="after")
    def _fits_together(self) -> "TileConfig":
        divided = self.windowing == "largest_absolute"
        if divided and self.windows:
            raise ValueError('windowing = "largest_absolute" has no windows; add windows = []')
        if not divided and not self.windows:
            raise ValueError("windows needs at least one window")
        if divided and self.grey_mean:
            raise ValueError('grey_mean has nothing to average with windowing = "largest_absolute"')
        if self.sigmoid_margin >= self.sigmoid_upper / 2:
            raise ValueError(
                f"sigmoid_margin must be less than half of sigmoid_upper, got {self.sigmoid_margin:g} and {self.sigmoid_upper:g}"
            )
        if self.antialias and self.resize != "bilinear":
            raise ValueError(f'antialias goes with resize = "bilinear", not with "{self.resize}"')
        return self


class PreprocessConfig(TileConfig):
    """From HU to the network's input. Source of all defaults: Burduja et al. 2020, Sensors 20:5611."""

    mean: tuple[float, ...] = (0.1738, 0.1433, 0.1970)
    """Subtracted from each channel after windowing."""
    std: tuple[PositiveFloat, ...] = (0.3161, 0.2850, 0.3111)
    """Divides each channel after subtracting `mean`."""
    adjacent_slices: Annotated[int, Field(ge=0, le=4)] = later(0)
    """So many slices on either side are channels too, from feet to head, each in all windows (paper 004's ASIP: 1, in one window).
    Neighbours are the next slices that can be read, at whatever distance; beyond an end of the scan its last slice stands in."""

    @property
    def channels(self) -> int:
        """Channels of the network's input: those of the slice and of its neighbours."""
        return self.slice_channels * (2 * self.adjacent_slices + 1)

    def describe(self) -> str:
        """As that of a tile, and the neighbours."""
        text = super().describe()
        return f"{text}, with {self.adjacent_slices} slice(s) on either side" if self.adjacent_slices else text

    @model_validator(mode="after")
    def _one_number_per_channel(self) -> "PreprocessConfig":
        if not self.slice_channels == len(self.mean) == len(self.std):
            raise ValueError(
                "windows, mean and std need one entry per channel, got "
                f"{self.slice_channels}, {len(self.mean)} and {len(self.std)}"
            )
        return self
