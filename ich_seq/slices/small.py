"""The small networks of papers 002 and 003, which were trained from random weights."""

from jaxtyping import Float
from torch import Tensor, nn

from ich_seq.errors import ConfigError


class _SmallCnn(nn.Module):
    """Convolutions, then dense layers on the flattened map; the outputs are the slice classifier's head."""

    features: nn.Sequential
    rest: nn.Sequential
    width: int

    def behead(self) -> int:
        """The width of the last dense layer; there is no classifier to take away."""
        return self.width

    def forward(self, tiles: Float[Tensor, "b c size size"]) -> Float[Tensor, "b d"]:
        """The last dense layer's values of normalised tiles."""
        return self.rest(self.features(tiles))


class KumarCnn(_SmallCnn):
    """Paper 002: three blocks of convolution, ReLU and pooling, one convolution, two dense layers and dropout; 1.2 M parameters.

    At 128 pixels, with six outputs: convolutions 320 + 18,496 + 73,856 + 73,792, dense layers 1,048,640 + 4,160, outputs 390;
    1,219,654 in all. Widths, kernels (3 x 3) and the share of dropout (.5) are not printed: these make the printed sum. At other sizes
    the first dense layer has other inputs.
    """

    width = 64

    def __init__(self, channels: int, size: int) -> None:
        super().__init__()
        if size < 8:
            raise ConfigError(f"cnn.backbone: kumar2021_cnn needs tiles of 8 pixels or more; preprocess.size is {size}")
        blocks: list[nn.Module] = []
        for before, after in ((channels, 32), (32, 64), (64, 128)):
            blocks += [nn.Conv2d(before, after, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
        self.features = nn.Sequential(*blocks, nn.Conv2d(128, 64, 3, padding=1), nn.ReLU())
        flat = 64 * (size // 8) ** 2
        self.rest = nn.Sequential(
            nn.Flatten(), nn.Linear(flat, 64), nn.ReLU(), nn.Dropout(0.5), nn.Linear(64, self.width), nn.ReLU()
        )


class LussierCnn(_SmallCnn):
    """Paper 003, as printed: 16 convolutions 7 x 7, 32 of 5 x 5, pooling by 2, dropout .25, dense 16 (and then dropout .5, outputs).

    The second dropout is the config's `cnn.head_dropout`. At 512 pixels, with six outputs: 800 + 12,832 + 32,256,528 + 102 =
    32,270,262 parameters.
    """

    width = 16

    def __init__(self, channels: int, size: int) -> None:
        super().__init__()
        if size < 12:
            raise ConfigError(f"cnn.backbone: lussier_cnn needs tiles of 12 pixels or more; preprocess.size is {size}")
        self.features = nn.Sequential(
            nn.Conv2d(channels, 16, 7), nn.ReLU(), nn.Conv2d(16, 32, 5), nn.ReLU(), nn.MaxPool2d(2)
        )
        flat = 32 * ((size - 10) // 2) ** 2
        self.rest = nn.Sequential(nn.Dropout(0.25), nn.Flatten(), nn.Linear(flat, self.width), nn.ReLU())
