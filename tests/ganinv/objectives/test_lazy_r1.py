"""R1 in closed form: for a(x) = w·x it is ‖w‖², whatever the images. Without ½, on every step.

Lazy R1, our deviation from the papers, has the same mean.
"""

from typing import Any

import pytest
import torch
from torch import Tensor

from ganinv.errors import ConfigError
from ganinv.networks.base import Judgement
from ganinv.objectives.base import MicroBatch, RoundOutput
from tests.support.runs import make_objective

LATENT, BATCH, LAMBDA = 3, 4, 2.5
IMAGE = (1, 2, 2)
WEIGHT_P = torch.tensor([0.5, -2.0, 1.0, 3.0], dtype=torch.float64)
R1 = float(WEIGHT_P.square().sum())
METHODS = pytest.mark.parametrize("name", ["dlsgan", "pvdgan"])
SCHEDULES = pytest.mark.parametrize("schedule", ["simultaneous", "sequential"])


class Watched:
    """A linear discriminator that notes which images had to carry gradients."""

    def __init__(self) -> None:
        self.weight_P = WEIGHT_P.clone().requires_grad_()
        self.asked_for_gradients: list[bool] = []

    def __call__(self, image_NCHW: Tensor) -> Judgement:
        self.asked_for_gradients.append(image_NCHW.requires_grad)
        flat_NP = image_NCHW.flatten(1)
        return Judgement(flat_NP @ self.weight_P, flat_NP[:, :LATENT], flat_NP)


def first_round(d: Watched, images_seen: int, **variant: Any) -> RoundOutput:
    objective = make_objective(**variant, latent_size=LATENT)
    generator = torch.Generator().manual_seed(images_seen)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    batch = MicroBatch(
        images_seen=images_seen,
        real_NCHW=draw(BATCH, *IMAGE),
        slots_N=torch.arange(BATCH),
        global_batch=BATCH,
        micro_batches=1,
        noise={noise: draw(BATCH, LATENT) for noise in objective.noise},
    )
    grow = torch.ones(LATENT, 4, dtype=torch.float64)
    nets = {"g": lambda code: (code @ grow).unflatten(1, IMAGE), "d": d}
    return objective.rounds[0](nets, batch, objective.new_state(BATCH))


def loss_of_d(output: RoundOutput) -> Tensor:
    """D's loss depends on D's parameters directly, with no cut between."""
    loss = output.losses["d"]
    assert loss.through == ()
    return loss.value


@METHODS
@SCHEDULES
def test_r1_has_no_half_and_is_on_every_step(name: str, schedule: str) -> None:
    for step in range(5):
        losses = []
        for weight in (0.0, LAMBDA):
            d = Watched()
            variant = {"name": name, "schedule": schedule, "lambda_r1": weight}
            output = first_round(d, step * BATCH, **variant)
            assert float(output.statistics["loss/r1"].detach()) == pytest.approx(R1, rel=1e-12)
            (gradient_P,) = torch.autograd.grad(loss_of_d(output), d.weight_P)
            losses.append((loss_of_d(output).detach(), gradient_P))
        (loss, gradient_P), (with_r1, gradient_with_r1_P) = losses
        assert float(with_r1 - loss) == pytest.approx(LAMBDA * R1, rel=1e-12)
        # d ‖w‖² / dw = 2 w; with the ½ it would be w.
        expected_P = gradient_P + LAMBDA * 2 * WEIGHT_P
        torch.testing.assert_close(gradient_with_r1_P, expected_P, rtol=1e-12, atol=1e-12)


@METHODS
@SCHEDULES
@pytest.mark.parametrize("every", [2, 3])
def test_lazy_r1_weighs_as_much_as_the_steps_it_stands_for(
    name: str, schedule: str, every: int
) -> None:
    shares = []
    for step in range(2 * every):
        d = Watched()
        variant = {"name": name, "schedule": schedule, "r1_every": every, "lambda_r1": LAMBDA}
        output = first_round(d, step * BATCH, **variant)
        plain = first_round(Watched(), step * BATCH, **{**variant, "lambda_r1": 0.0})
        share = float(output.statistics["loss/r1"].detach()) / R1
        added = (loss_of_d(output) - loss_of_d(plain)).detach()
        assert float(added) == pytest.approx(LAMBDA * share * R1, rel=1e-12, abs=1e-12)
        # Nothing is spent on the steps in between: no graph through the real images.
        fakes_need_gradients = schedule == "simultaneous"
        assert any(d.asked_for_gradients) is (share > 0 or fakes_need_gradients)
        assert all(d.asked_for_gradients) is (share > 0 and fakes_need_gradients)
        shares.append(share)
    expected = ([float(every)] + [0.0] * (every - 1)) * 2
    assert shares == pytest.approx(expected, rel=1e-12)


@METHODS
def test_a_period_below_one_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="r1_every = 0: must be at least 1"):
        make_objective(name, r1_every=0)
