"""An exponential moving average of a network's weights, validated and kept in their place."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel


class WeightAverage:
    """The average of `network`; a decay of 0 is none, and everything here then does nothing."""

    def __init__(self, network: nn.Module, decay: float) -> None:
        update = ema_update(decay)
        self.average = AveragedModel(network, multi_avg_fn=update, use_buffers=True) if decay > 0 else None

    def update(self, network: nn.Module) -> None:
        """Takes in the weights of one more step."""
        if self.average is not None:
            self.average.update_parameters(network)

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps of it."""
        return {} if self.average is None else self.average.state_dict()

    def load(self, state: dict[str, Any]) -> None:
        """Takes up where `state` was saved."""
        if self.average is not None:
            self.average.load_state_dict(state)

    @contextmanager
    def in_place_of(self, network: nn.Module) -> Iterator[None]:
        """Within it the network has the average's weights; after it those of the last step again."""
        if self.average is None:
            yield
            return
        latest = {key: value.clone() for key, value in network.state_dict().items()}
        network.load_state_dict(self.average.module.state_dict())
        yield
        network.load_state_dict(latest)


def ema_update(decay: float) -> Callable[[Sequence[Tensor], Sequence[Tensor], Tensor | int], None]:
    """The update of `torch.optim.swa_utils.AveragedModel` for a decay with TensorFlow's ramp: min(decay, (1 + n) / (10 + n))."""

    def update(averages: Sequence[Tensor], values: Sequence[Tensor], updates: Tensor | int) -> None:
        keep = min(decay, (1 + int(updates)) / (10 + int(updates)))
        for average, value in zip(averages, values, strict=True):
            if average.is_floating_point():
                average.lerp_(value, 1 - keep)
            else:
                average.copy_(value)

    return update
