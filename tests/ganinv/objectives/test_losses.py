"""The relativistic loss with R1 and R2: gradients of whole steps, in float64, and signs.

Shapes: N samples of a micro-batch, C × H × W image, L latent elements.
"""

import copy
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ganinv import objectives
from ganinv.errors import ConfigError
from ganinv.networks.base import Judgement
from ganinv.objectives.base import MicroBatch, Objective
from ganinv.objectives.losses import LossConfig, judge_generated, loss_of_generator, told_apart
from ganinv.seams.engine import no_reduction
from ganinv.training.step import train_step
from tests.support.families import LATENT_SIZE, build, without_zeros
from tests.support.gradients import Gradients, KeepingEngine
from tests.support.micro_batches import random_batch
from tests.support.runs import make_objective
from tests.support.steps import networks_of

R3GAN = {"adversarial": "relativistic", "lambda_r1": 3.0, "lambda_r2": 2.0}
BATCH = 8
OPTED = [
    name for name in objectives.names() if issubclass(objectives.find(name).Config, LossConfig)
]


def parts(objective: Objective, count: int, *, strided: bool = False) -> list[MicroBatch]:
    """The global batch as `count` micro-batches; `strided`: as `count` ranks get it."""
    whole = random_batch(objective, global_batch=BATCH)
    size = BATCH // count
    found = []
    for number in range(count):
        own = slice(number, None, count) if strided else slice(number * size, (number + 1) * size)
        found.append(
            replace(
                whole,
                real_NCHW=whole.real_NCHW[own],
                slots_N=whole.slots_N[own],
                noise={name: draw[own] for name, draw in whole.noise.items()},
                micro_batches=count,
                carry={},
            )
        )
    return found


def step(
    objective: Objective, networks: Mapping[str, nn.Module], batches: list[MicroBatch]
) -> tuple[dict[str, Gradients], dict[str, float]]:
    """Gradients by network, and statistics, of one step."""
    networks = copy.deepcopy(dict(networks))
    engines = {
        name: KeepingEngine(net, torch.optim.SGD(net.parameters(), lr=0.1), len(batches))
        for name, net in networks.items()
        if objective.roles[name].trained
    }
    frozen = {n: net.requires_grad_(False) for n, net in networks.items() if n not in engines}
    state = objective.new_state(BATCH)
    result = train_step(objective, engines, batches, state, no_reduction, frozen)
    assert result.applied
    statistics = {n: float(v) / len(batches) for n, v in result.statistics.items()}
    return {name: engine.kept for name, engine in engines.items()}, statistics


def with_biases(networks: Mapping[str, nn.Module]) -> dict[str, nn.Module]:
    """In float64. Biases and last layers start at 0, where wrong factors would not show."""
    for network in networks.values():
        without_zeros(network.double())
        for number, parameter in enumerate(network.parameters()):
            if parameter.ndim == 1:
                generator = torch.Generator().manual_seed(number)
                parameter.data.normal_(generator=generator)
    return dict(networks)


def of_scaled_codes(family: str) -> dict[str, nn.Module]:
    return with_biases(build(family, width=4, max_width=8, group_size=4) if family == "r3gan"
                       else build(family))  # fmt: skip


def difference(found: Gradients, expected: Gradients) -> float:
    """The largest of any parameter, relative to its gradient.

    A bias that all values share has no gradient in the relativistic loss, but for rounding.
    """
    assert found.keys() >= expected.keys()
    total = torch.stack([value.norm() for value in expected.values()]).norm()
    assert total > 0
    return max(
        float((found[name] - value).norm() / (value.norm() + 1e-4 * total))
        for name, value in expected.items()
    )


def squared_slope(values_N: Tensor, images_NCHW: Tensor) -> Tensor:
    (slope,) = torch.autograd.grad(values_N.sum(), images_NCHW, create_graph=True)
    return slope.pow(2).sum((1, 2, 3)).mean()


def reference(networks: Mapping[str, nn.Module], batch: MicroBatch, weight: float) -> Any:
    """R3GAN's losses, and the encoder's with `weight`; the scale is 1, as at the start."""
    gradients = {}
    z, x = batch.noise["z"], batch.real_NCHW.clone().requires_grad_()
    for name in networks:
        g, d = (copy.deepcopy(networks[key]) for key in ("g", "d"))
        image = g(z)
        if name == "d":
            image = image.detach().requires_grad_()
        real, fake = d(x), d(image)
        delta = real.adversarial_B - fake.adversarial_B
        encoder = weight * F.mse_loss(fake.latent_BL, z)
        if name == "d":
            loss = -F.logsigmoid(delta).mean() + encoder
            loss = loss + 3.0 * squared_slope(real.adversarial_B, x)
            loss = loss + 2.0 * squared_slope(fake.adversarial_B, image)
        else:
            loss = -F.logsigmoid(-delta).mean() + encoder
        named = dict((g if name == "g" else d).named_parameters())
        found = torch.autograd.grad(loss, list(named.values()), allow_unused=True)
        gradients[name] = {n: v for n, v in zip(named, found, strict=True) if v is not None}
    return gradients


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("lambda_enc", [0.0, 1.0])
@pytest.mark.parametrize("family", ["r3gan", "conv"])
def test_a_step_has_the_gradients_of_double_backward(
    family: str, lambda_enc: float, count: int
) -> None:
    """Of R3GAN (λ_enc = 0), and of DLSGAN with R3GAN's losses."""
    objective = make_objective(
        "dlsgan", latent_size=LATENT_SIZE, lambda_enc=lambda_enc, scale="mse", **R3GAN
    )
    networks = of_scaled_codes(family)
    found, statistics = step(objective, networks, parts(objective, count))
    (whole,) = parts(objective, 1)
    expected = reference(networks, whole, lambda_enc)
    for name, gradients in expected.items():
        assert difference(found[name], gradients) <= 1e-10
    assert statistics["loss/r2"] > 0


@pytest.mark.parametrize("name", OPTED)
def test_every_method_has_the_gradients_of_double_backward(name: str) -> None:
    objective = make_objective(name, **R3GAN)
    networks = with_biases(networks_of(objective))
    first, statistics = step(objective, networks, parts(objective, 1))
    for network in networks.values():
        network.piecewise_linear = False
    second, same = step(objective, networks, parts(objective, 1))
    assert statistics == pytest.approx(same, rel=1e-10)
    for network, gradients in second.items():
        assert difference(first[network], gradients) <= 1e-10


@pytest.mark.parametrize("strided", [False, True])
@pytest.mark.parametrize("schedule", ["simultaneous", "sequential"])
def test_pairs_survive_micro_batches_and_ranks(schedule: str, strided: bool) -> None:
    """Of PVDGAN, whose second half pairs each image with its own reconstruction."""
    objective = make_objective("pvdgan", schedule=schedule, **R3GAN)
    networks = with_biases(networks_of(objective))
    whole, statistics = step(objective, networks, parts(objective, 1))
    split, same = step(objective, networks, parts(objective, 4, strided=strided))
    assert same == pytest.approx(statistics, rel=1e-10)
    for network, gradients in whole.items():
        assert difference(split[network], gradients) <= 1e-10


def test_shuffled_pairs_are_others() -> None:
    """The same values, each image beside the generated one before it."""
    own, other = (
        make_objective("pvdgan", pairing=pairing, **R3GAN)
        for pairing in ("reconstruction", "shuffled")
    )
    networks = with_biases(networks_of(own))
    losses = [step(method, networks, parts(own, 1))[1] for method in (own, other)]
    assert losses[0]["d/fake"] == pytest.approx(losses[1]["d/fake"], rel=1e-12)
    assert losses[0]["loss/d"] != pytest.approx(losses[1]["loss/d"], rel=1e-5)
    with pytest.raises(ConfigError, match=r"pairing = shuffled: a micro-batch of one image"):
        step(other, networks, parts(other, BATCH))
    with pytest.raises(ConfigError, match="pairing = shuffled: only the relativistic loss"):
        make_objective("pvdgan", pairing="shuffled")


def test_penalties_are_off_between_lazy_steps() -> None:
    objective = make_objective("dlsgan", r1_every=2, **R3GAN)
    networks = with_biases(networks_of(objective))
    (batch,) = parts(objective, 1)
    _, on = step(objective, networks, [batch])
    _, off = step(objective, networks, [replace(batch, images_seen=BATCH)])
    assert on["loss/r2"] > 0
    assert off["loss/r1"] == off["loss/r2"] == 0


class Linear(nn.Module):
    """D of numbers: a = w x. Its only parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor(0.1, dtype=torch.float64))

    def forward(self, x_N111: Tensor) -> Judgement:
        flat_N = x_N111.flatten()
        return Judgement(self.w * flat_N, flat_N[:, None], flat_N[:, None])


@pytest.mark.parametrize("adversarial", ["nonsaturating", "relativistic"])
def test_d_learns_which_side_is_real_and_g_goes_there(adversarial: str) -> None:
    """Real numbers lie about +1, generated ones about −1."""
    config = LossConfig(adversarial=adversarial)
    d = Linear()
    real_N = torch.tensor([0.8, 1.0, 1.2], dtype=torch.float64)
    fake_N = (-real_N).requires_grad_()
    batch = MicroBatch(
        images_seen=0, real_NCHW=real_N[:, None, None, None], slots_N=torch.arange(3),
        global_batch=3, micro_batches=1, noise={},
    )  # fmt: skip
    a_real, a_fake = d(real_N).adversarial_B, d(fake_N).adversarial_B
    loss_d = batch.mean(told_apart(config, a_real, a_fake))
    (slope,) = torch.autograd.grad(loss_d, d.w, retain_graph=True)
    assert slope < 0  # a larger w tells them apart
    for real_of_g in (a_real, None):
        loss_g = loss_of_generator({"d": d}, batch, config, a_fake, real_of_g)
        toward_N, to_d = torch.autograd.grad(loss_g, (fake_N, d.w), retain_graph=True)
        assert bool((toward_N < 0).all())  # descent moves generated numbers up, to the real ones
        assert to_d is not None
    if adversarial == "relativistic":
        assert float(loss_d.detach()) == pytest.approx(float(F.softplus(-0.2 * real_N).mean()))
        assert float(loss_g.detach()) == pytest.approx(float(F.softplus(0.2 * real_N).mean()))


def test_r2_of_a_linear_d_is_its_squared_weight() -> None:
    """Without ½; it is never computed where λ_r2 is 0."""
    d = Linear()
    batch = MicroBatch(
        images_seen=0, real_NCHW=torch.ones(2, 1, 1, 1), slots_N=torch.arange(2),
        global_batch=2, micro_batches=1, noise={},
    )  # fmt: skip
    image = torch.randn(2, 1, 1, 1, dtype=torch.float64)
    fake = judge_generated({"d": d}, batch, LossConfig(lambda_r2=1.0), image)
    assert fake.r2 is not None
    assert float(fake.r2.detach()) == pytest.approx(0.01, rel=1e-12)
    (slope,) = torch.autograd.grad(fake.r2, d.w)
    assert float(slope) == pytest.approx(0.2, rel=1e-12)
    assert judge_generated({"d": d}, batch, LossConfig(), image).r2 is None
    assert not LossConfig().penalises_generated
