"""ALI: symmetry of its losses in the kinds of pairs, and the joint that it learns on Gaussians."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ganinv.errors import ConfigError
from ganinv.networks.base import Judgement
from ganinv.objectives.ali import Config
from ganinv.objectives.base import MicroBatch
from ganinv.seams.engine import LocalEngine, no_reduction
from ganinv.training.step import train_step
from tests.support.runs import make_objective


def normal(*shape: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def batch_of(real_NCHW: Tensor, z_NL: Tensor, epsilon_NL: Tensor) -> MicroBatch:
    return MicroBatch(
        images_seen=0,
        real_NCHW=real_NCHW,
        slots_N=torch.arange(len(z_NL)),
        global_batch=len(z_NL),
        micro_batches=1,
        noise={"z": z_NL, "epsilon": epsilon_NL},
    )


def test_swapping_the_pairs_swaps_the_losses() -> None:
    """(x, ẑ) and (x̃, z) change places: L_d becomes L_g and L_g becomes L_d."""
    images, codes = (
        [normal(5, 3, 4, 4, seed=n) for n in (0, 1)],
        [normal(5, 2, seed=n) for n in (2, 3)],
    )
    weight_F, bend_FL = normal(48, seed=4), normal(48, 2, seed=5)

    def d(image_NCHW: Tensor, code_NL: Tensor) -> Judgement:
        flat_NF = image_NCHW.flatten(1)
        value_N = flat_NF @ weight_F + (flat_NF * (code_NL @ bend_FL.T)).tanh().sum(1)
        return Judgement(value_N, code_NL[:, :0], flat_NF)

    def losses(inferred: int) -> tuple[float, float]:
        """The pair of this number is (x, ẑ), the other one (x̃, z)."""
        other = 1 - inferred
        deviation_NL = torch.zeros(5, 2).double()
        nets: dict[str, Callable[..., Any]] = {
            "e": lambda _: torch.cat([codes[inferred], deviation_NL], 1),
            "g": lambda _: images[other],
            "d": d,
        }
        objective = make_objective("ali", latent_size=2, lambda_r1=0.0)
        batch = batch_of(images[inferred], codes[other], torch.zeros(5, 2).double())
        found = objective.rounds[0](nets, batch, {}).statistics
        return float(found["loss/d"].detach()), float(found["loss/g"].detach())

    (l_d, l_g), (swapped_d, swapped_g) = losses(0), losses(1)
    assert (l_d, l_g) == pytest.approx((swapped_g, swapped_d), rel=1e-12)
    assert abs(l_d - l_g) > 0.1


class Scaled(nn.Module):
    """x̃ = w z."""

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(weight).double())

    def forward(self, code_BL: Tensor) -> Tensor:
        return (self.weight * code_BL)[:, :, None, None]


class Inferring(nn.Module):
    """ẑ = v x + e^s ε."""

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(weight).double())
        self.log_deviation = nn.Parameter(torch.zeros(()).double())

    def forward(self, image_BCHW: Tensor) -> Tensor:
        mean_BL = self.weight * image_BCHW.flatten(1)
        return torch.cat([mean_BL, self.log_deviation.expand_as(mean_BL)], 1)


class Quadratic(nn.Module):
    """The log ratio of two centred Gaussians on pairs is a quadratic form: the optimal D is one."""

    def __init__(self) -> None:
        super().__init__()
        self.form = nn.Parameter(torch.zeros(4).double())

    def forward(self, image_BCHW: Tensor, code_BL: Tensor) -> Judgement:
        x_B, z_B = image_BCHW.flatten(), code_BL.flatten()
        basis_BK = torch.stack([x_B * x_B, x_B * z_B, z_B * z_B, torch.ones_like(x_B)], 1)
        return Judgement(basis_BK @ self.form, code_BL[:, :0], x_B[:, None])


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_image_and_code_become_one_variable_on_gaussians(sign: float) -> None:
    """x ~ N(0, 1), linear networks: the correlation of x and ẑ goes to ±1, by where it begins."""
    # Quantiles of the normal distribution, all pairs of them: means over x and ε have little noise.
    quantile_Q = torch.special.ndtri((torch.arange(16).double() + 0.5) / 16)
    quantile_Q = quantile_Q / quantile_Q.square().mean().sqrt()
    x_N, epsilon_N = torch.cartesian_prod(quantile_Q, quantile_Q).T
    batch = batch_of(x_N[:, None, None, None], x_N[:, None], epsilon_N[:, None])
    objective = make_objective("ali", latent_size=1, lambda_r1=0.01)
    nets = {"e": Inferring(0.3 * sign), "g": Scaled(0.5 * sign), "d": Quadratic()}
    rates = {"e": 0.05, "g": 0.05, "d": 0.5}
    engines = {
        name: LocalEngine(net, torch.optim.Adam(net.parameters(), lr=rates[name], betas=(0.0, 0.9)))
        for name, net in nets.items()
    }
    state = objective.new_state(len(x_N))
    for _ in range(80):
        train_step(objective, engines, [batch], state, no_reduction)
    v, deviation = nets["e"].weight.detach(), nets["e"].log_deviation.detach().exp()
    correlation = float(v / (v.square() + deviation.square()).sqrt())
    assert sign * correlation > 0.95
    assert sign * float(nets["g"].weight.detach()) == pytest.approx(1, abs=0.2)
    assert float(v.square() + deviation.square()) == pytest.approx(1, abs=0.4)


def test_impossible_limits_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"log_deviation_min = 1\.0"):
        Config(log_deviation_min=1.0)
