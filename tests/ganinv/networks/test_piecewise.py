"""First-order gradients of D's loss with R1, against double backward, in float64.

Shapes: B samples, C × H × W image.
"""

import copy
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ganinv.networks.base import Judgement
from ganinv.objectives.adversarial import AdversarialConfig, fake_loss, judge_real, real_loss
from ganinv.objectives.base import MicroBatch
from tests.support.families import build, families, normal

BATCH, LAMBDA = 4, 3.0
TOLERANCE = 1e-12  # relative, of each parameter's gradient


class Declared:
    """A discriminator that says whether it is piecewise linear, and counts its forward passes."""

    def __init__(self, network: nn.Module, piecewise_linear: bool) -> None:
        self.network, self.piecewise_linear, self.passes = network, piecewise_linear, 0

    def __call__(self, image_BCHW: Tensor) -> Judgement:
        self.passes += 1
        judgement: Judgement = self.network(image_BCHW)
        return judgement


def micro_batches(count: int, images_seen: int = 0) -> Iterator[MicroBatch]:
    size = BATCH // count
    for start in range(0, BATCH, size):
        yield MicroBatch(
            images_seen=images_seen,
            real_NCHW=normal(BATCH, 3, 16, 16).double()[start : start + size],
            slots_N=torch.arange(start, start + size),
            global_batch=BATCH,
            micro_batches=count,
            noise={},
        )


Loss = Callable[[MicroBatch, Tensor], Tensor]


def non_saturating(batch: MicroBatch, value_N: Tensor) -> Tensor:
    return batch.mean(real_loss(value_N))


def relativistic(batch: MicroBatch, value_N: Tensor) -> Tensor:
    """A loss in which samples meet; the 2 lets the last bias have a gradient."""
    return batch.mean(fake_loss(value_N.flip(0) - 2 * value_N))


def gradients(
    network: nn.Module,
    piecewise_linear: bool,
    *,
    loss: Loss = non_saturating,
    count: int = 1,
    images_seen: int = 0,
    r1_every: int = 1,
) -> tuple[dict[str, Tensor], float, Declared]:
    """Gradients of D's loss at real images by parameter, the loss, and D."""
    network = copy.deepcopy(network).double()
    d = Declared(network, piecewise_linear)
    total = 0.0
    for batch in micro_batches(count, images_seen):
        real = judge_real({"d": d}, batch, AdversarialConfig(r1_every=r1_every))
        value = real.with_r1(loss(batch, real.adversarial_B), LAMBDA) / count
        total += float(value.detach())
        value.backward()
    named = network.named_parameters()
    return {name: p.grad for name, p in named if p.grad is not None}, total, d


def largest_difference(found: dict[str, Tensor], expected: dict[str, Tensor]) -> float:
    assert found.keys() == expected.keys()
    assert all(g.norm() > 0 for g in expected.values())
    return max(float((found[n] - g).norm() / g.norm()) for n, g in expected.items())


def with_biases(network: nn.Module) -> nn.Module:
    """Biases start at 0, where a wrong factor on them would not show."""
    for number, parameter in enumerate(network.parameters()):
        if parameter.ndim == 1:
            parameter.data = normal(*parameter.shape, seed=number)
    return network


@pytest.mark.parametrize("loss", [non_saturating, relativistic])
@pytest.mark.parametrize("count", [1, 2])
@families
def test_gradients_equal_those_of_double_backward(name: str, count: int, loss: Loss) -> None:
    network = with_biases(build(name)["d"])
    assert getattr(network, "piecewise_linear", False)
    found, value, d = gradients(network, True, loss=loss, count=count)
    expected, same_value, double = gradients(network, False, loss=loss, count=count)
    assert largest_difference(found, expected) <= TOLERANCE
    assert value == pytest.approx(same_value, rel=1e-13)
    assert (d.passes, double.passes) == (2 * count, count)


@families
def test_lazy_r1_too(name: str) -> None:
    network = with_biases(build(name)["d"])
    for images_seen in (0, BATCH):
        seen: dict[str, Any] = {"images_seen": images_seen, "r1_every": 2}
        found, expected = (gradients(network, first, **seen)[0] for first in (True, False))
        assert largest_difference(found, expected) <= TOLERANCE


class Small(nn.Module):
    """A discriminator of PyTorch's own modules. The adversarial value ignores the code's layer."""

    def __init__(self, activation: nn.Module) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 5, 3, stride=2, padding=1),
            activation,
            nn.ConvTranspose2d(5, 4, 4, stride=2, padding=1, bias=False),
            activation,
            nn.AvgPool2d(4),
            nn.Flatten(),
            nn.Linear(64, 7),
            activation,
        )
        self.value, self.code = nn.Linear(7, 1), nn.Linear(7, 2)

    def forward(self, image_BCHW: Tensor) -> Judgement:
        body_BF = self.body(image_BCHW)
        return Judgement(self.value(body_BF).squeeze(1), self.code(body_BF), body_BF)


@pytest.mark.parametrize(
    "activation",
    [nn.ReLU(), nn.LeakyReLU(), nn.LeakyReLU(0.3, inplace=True), nn.ReLU(inplace=True)],
)
def test_networks_of_other_layers(activation: nn.Module) -> None:
    torch.manual_seed(0)
    network = Small(activation)
    found, expected = (gradients(network, first)[0] for first in (True, False))
    assert largest_difference(found, expected) <= TOLERANCE
    assert not any(name.startswith("code") for name in found)


def test_a_false_declaration_shows() -> None:
    torch.manual_seed(0)
    network = Small(nn.Tanh())
    found, expected = (gradients(network, first)[0] for first in (True, False))
    assert largest_difference(found, expected) > 1e-3


@families
def test_nothing_is_kept_for_a_second_order(name: str) -> None:
    """Less is saved between the passes than double backward saves."""

    def saved_bytes(piecewise_linear: bool) -> int:
        total = 0

        def pack(tensor: Tensor) -> Tensor:
            nonlocal total
            total += tensor.nbytes
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            gradients(network, piecewise_linear)
        return total

    network = build(name, width=8, max_width=16)["d"]
    assert saved_bytes(True) < 0.75 * saved_bytes(False)


def test_non_finite_images_give_non_finite_gradients() -> None:
    """So that the step is void."""
    network = build("conv")["d"].double()
    (batch,) = micro_batches(1)
    batch = replace(batch, real_NCHW=batch.real_NCHW * float("nan"))
    real = judge_real({"d": Declared(network, True)}, batch, AdversarialConfig())
    real.with_r1(batch.mean(real_loss(real.adversarial_B)), LAMBDA).backward()
    gradient = network.from_image.weight.grad
    assert gradient is not None
    assert gradient.isnan().all()
