"""The optimiser that a config asks for."""

import torch

from ich_seq.config import TrainCnnConfig, TrainLstmConfig
from ich_seq.training.settings import fit_settings, make_optimizer


def test_adadelta_has_kerass_constants_and_adam_is_the_default() -> None:
    weights = [torch.nn.Parameter(torch.zeros(2))]
    printed = make_optimizer(weights, fit_settings(TrainCnnConfig(optimizer="adadelta", learning_rate=1e-3), 0, ""))
    assert isinstance(printed, torch.optim.Adadelta)
    assert {name: printed.defaults[name] for name in ("lr", "rho", "eps")} == {"lr": 1e-3, "rho": 0.95, "eps": 1e-7}
    for section in (TrainCnnConfig(), TrainLstmConfig()):
        assert isinstance(make_optimizer(weights, fit_settings(section, 0, "")), torch.optim.AdamW)


def test_adadelta_steps_as_by_hand() -> None:
    """Gradient 2 from nothing: mean square .05 x 4 = .2; step sqrt(1e-7) / sqrt(.2 + 1e-7) x 2 = .00141421, times the rate."""
    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer = make_optimizer([weight], fit_settings(TrainCnnConfig(optimizer="adadelta", learning_rate=0.5), 0, ""))
    weight.grad = torch.tensor([2.0])
    optimizer.step()
    torch.testing.assert_close(weight.detach(), torch.tensor([-0.5 * 0.00141421]), rtol=1e-5, atol=0)
