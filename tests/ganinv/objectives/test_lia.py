"""Both stages of LIA against plain autograd with separate phases, in float64; what stays frozen.

The reference computes each loss on forward passes of its own, without cuts, and takes the gradient
of one network alone. Shapes: N samples, L latent elements, C × H × W image.
"""

import copy
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import cast

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ganinv.errors import ConfigError
from ganinv.latents.normal import StandardNormal
from ganinv.model import InvertibleGan
from ganinv.networks import lia as lia_networks
from ganinv.objectives.base import MicroBatch, Objective
from ganinv.objectives.lia import Config, LatentlyInvertible, StyleAutoencoder
from ganinv.objectives.lia_generator import Generating
from ganinv.seams.engine import no_reduction
from ganinv.training.step import train_step
from tests.support.families import normal
from tests.support.gradients import Gradients, KeepingEngine
from tests.support.micro_batches import random_batch
from tests.support.runs import build_networks, make_objective

BATCH, RATE, TOLERANCE = 8, 0.1, 1e-9
BETA_1, BETA_2, HALF_GAMMA = 3.0, 0.5, 5.0  # weights that make every term count
Nets = Mapping[str, nn.Module]


class Features(nn.Module):
    """A small fixed network of features."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(normal(4, 3, 3, 3))

    def forward(self, image_NCHW: Tensor) -> Tensor:
        return F.conv2d(image_NCHW, self.weight, stride=2).tanh().flatten(1)


def objective_of(name: str, schedule: str) -> Objective:
    if name == "lia_generator":
        return make_objective(name, schedule=schedule)
    # "lite0" only makes the method ask for the network p, which the tests give it.
    return make_objective(
        name, schedule=schedule, perceptual="lite0", lambda_perceptual=BETA_1,
        lambda_adversarial=BETA_2,
    )  # fmt: skip


def networks_for(objective: Objective) -> dict[str, nn.Module]:
    built = {**build_networks(objective=objective), "p": Features()}
    return {name: built[name].double() for name in objective.roles}


def parts(batch: MicroBatch, count: int) -> list[MicroBatch]:
    size = BATCH // count
    return [
        replace(
            batch,
            micro_batches=count,
            real_NCHW=batch.real_NCHW[start : start + size],
            slots_N=batch.slots_N[start : start + size],
            noise={name: draw[start : start + size] for name, draw in batch.noise.items()},
        )
        for start in range(0, BATCH, size)
    ]


def step(
    objective: Objective,
    networks: Nets,
    count: int = 1,
    *,
    batch: MicroBatch | None = None,
    rate: float = RATE,
) -> tuple[dict[str, Gradients], dict[str, nn.Module]]:
    """The gradients of one step of gradient descent, and the networks after it."""
    nets = copy.deepcopy(dict(networks))
    engines = {
        name: KeepingEngine(nets[name], torch.optim.SGD(nets[name].parameters(), rate), count)
        for name, role in objective.roles.items()
        if role.trained
    }
    frozen = {name: nets[name].requires_grad_(False) for name in nets if name not in engines}
    batches = parts(batch or random_batch(objective, global_batch=BATCH), count)
    assert train_step(objective, engines, batches, {}, no_reduction, frozen).applied
    return {name: engine.kept for name, engine in engines.items()}, nets


def r1(d: nn.Module, real_NCHW: Tensor) -> Tensor:
    x = real_NCHW.clone().requires_grad_()
    (slope,) = torch.autograd.grad(d(x).adversarial_B.sum(), x, create_graph=True)
    return slope.pow(2).flatten(1).sum(1).mean()


def discriminator_loss(d: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
    of_fake, of_real = d(fake.detach()).adversarial_B, d(real).adversarial_B
    return -F.logsigmoid(-of_fake).mean() - F.logsigmoid(of_real).mean() + HALF_GAMMA * r1(d, real)


def generator_losses(nets: Nets, batch: MicroBatch, sequential: bool) -> dict[str, Callable]:  # type: ignore[type-arg]
    z = batch.noise["z"]
    fresh = batch.noise["z_generator"] if sequential else z
    return {
        "d": lambda: discriminator_loss(nets["d"], batch.real_NCHW, nets["g"](z)),
        "g": lambda: -F.logsigmoid(nets["d"](nets["g"](fresh)).adversarial_B).mean(),
    }


def encoder_losses(nets: Nets, batch: MicroBatch, sequential: bool) -> dict[str, Callable]:  # type: ignore[type-arg]
    del sequential
    x = batch.real_NCHW

    def again() -> Tensor:
        image: Tensor = nets["g"].synthesis(nets["e"](x))  # type: ignore[operator]
        return image

    def of_encoder() -> Tensor:
        image = again()
        perceptual = F.mse_loss(nets["p"](image), nets["p"](x))
        adversarial = -F.logsigmoid(nets["d"](image).adversarial_B).mean()
        return F.mse_loss(image, x) + BETA_1 * perceptual + BETA_2 * adversarial

    return {"e": of_encoder, "d": lambda: discriminator_loss(nets["d"], x, again())}


# Losses, and which network steps first.
REFERENCES = {"lia_generator": (generator_losses, "d"), "lia": (encoder_losses, "e")}


def reference(objective: Objective, networks: Nets, *, sequential: bool) -> dict[str, Gradients]:
    name = objective.config.name
    losses_of, first = REFERENCES[name]
    batch = random_batch(objective, global_batch=BATCH)
    nets = copy.deepcopy(dict(networks))
    losses = losses_of(nets, batch, sequential)
    found: dict[str, Gradients] = {}
    for role in sorted(losses, key=lambda role: role != first):
        parameters = dict(nets[role].named_parameters())
        gradients = torch.autograd.grad(losses[role](), list(parameters.values()))
        found[role] = dict(zip(parameters, gradients, strict=True))
        if sequential:
            with torch.no_grad():
                for key, parameter in parameters.items():
                    parameter -= RATE * found[role][key]
    return found


@pytest.mark.parametrize("count", [1, 4])
@pytest.mark.parametrize("schedule", ["sequential", "simultaneous"])
@pytest.mark.parametrize("name", REFERENCES)
def test_a_step_equals_separate_phases(name: str, schedule: str, count: int) -> None:
    objective = objective_of(name, schedule)
    networks = networks_for(objective)
    found, _ = step(objective, networks, count)
    expected = reference(objective, networks, sequential=schedule == "sequential")
    assert found.keys() == expected.keys()
    for role, gradients in expected.items():
        assert found[role].keys() == gradients.keys()
        for key, gradient in gradients.items():
            assert float(gradient.norm()) > 0, key
            error = float((found[role][key] - gradient).norm() / gradient.norm())
            assert error <= TOLERANCE, (role, key, error)


def test_every_term_of_the_encoders_loss_counts() -> None:
    """Otherwise the test above would say less than it seems."""
    objective = objective_of("lia", "simultaneous")
    networks = networks_for(objective)
    whole = step(objective, networks)[0]["e"]["style.weight"]
    for key in ("lambda_perceptual", "lambda_adversarial"):
        without = copy.copy(objective)
        without.config = replace(objective.config, **{key: 0.0})
        other = step(without, networks)[0]["e"]["style.weight"]
        assert float((whole - other).norm() / whole.norm()) > 1e-3, key


@pytest.mark.parametrize("schedule", ["sequential", "simultaneous"])
def test_generator_and_features_are_untouched_to_the_byte(schedule: str) -> None:
    objective = objective_of("lia", schedule)
    networks = networks_for(objective)
    _, after = step(objective, networks)
    moved = {
        name: any(
            not torch.equal(value, after[name].state_dict()[key])
            for key, value in network.state_dict().items()
        )
        for name, network in networks.items()
    }
    assert moved == {"e": True, "d": True, "g": False, "p": False}


@pytest.mark.parametrize("name", REFERENCES)
def test_a_step_moves_the_right_way_on_separable_images(name: str) -> None:
    """Real images are bright. D comes to tell them apart; G to be taken for real; E to rebuild."""
    objective = make_objective(name, schedule="simultaneous", lambda_r1=0.0)
    networks = networks_for(objective)
    batch = random_batch(objective, global_batch=BATCH)
    batch.real_NCHW.mul_(0.1).add_(0.8)
    _, after = step(objective, networks, batch=batch, rate=1e-3)
    d, d_after = networks["d"], after["d"]
    x, fake = batch.real_NCHW, images(networks, batch)
    with torch.no_grad():
        gap = (d(x).adversarial_B - d(fake).adversarial_B).mean()
        gap_after = (d_after(x).adversarial_B - d_after(fake).adversarial_B).mean()
        assert gap_after > gap
        moved = images(after, batch)
        if name == "lia":
            assert F.mse_loss(moved, x) < F.mse_loss(fake, x)
        else:
            assert d(moved).adversarial_B.mean() > d(fake).adversarial_B.mean()


@torch.no_grad()
def images(nets: Nets, batch: MicroBatch) -> Tensor:
    """Reconstructions of the second stage, or generated images of the first."""
    if "e" in nets:
        return cast(Tensor, nets["g"](nets["e"](batch.real_NCHW), "y"))
    return cast(Tensor, nets["g"](batch.noise["z"]))


def model(kind: str) -> tuple[dict[str, nn.Module], InvertibleGan]:
    config = lia_networks.Config(
        latent_size=7, width=2, max_width=4, coupling_width=8, encoder_width=2,
        encoder_max_width=4, mapper=kind,  # type: ignore[arg-type]  # one of its literals
    )  # fmt: skip
    built = lia_networks.build(config, resolution=16, image_channels=3, seed=0)
    held = {name: built[name].requires_grad_(False).eval() for name in ("g", "e")}
    codec = make_objective("lia").codec(held, {})
    return held, InvertibleGan(codec=codec)


def test_codes_of_images_are_those_of_their_styles() -> None:
    nets, gan = model("coupling")
    assert isinstance(gan.codec, LatentlyInvertible)
    image_BCHW = normal(3, 3, 16, 16).clamp(-1, 1)
    style_BL = nets["e"](image_BCHW)
    code_BL = gan.encode(image_BCHW)
    torch.testing.assert_close(code_BL, nets["g"].mapper.to_code(style_BL))
    torch.testing.assert_close(gan.codec.decode(code_BL), nets["g"].synthesis(style_BL))
    spaces = gan.codec.spaces
    assert list(spaces) == ["z", "y", "y_layers"]
    assert spaces["y"].to_code is not None
    torch.testing.assert_close(spaces["y"].to_code(style_BL), code_BL)


def test_without_an_inverse_the_codes_are_styles() -> None:
    """No code of the prior is known for an image; the prior's codes are mapped to styles."""
    nets, gan = model("mlp")
    assert isinstance(gan.codec, StyleAutoencoder)
    image_BCHW = normal(3, 3, 16, 16).clamp(-1, 1)
    torch.testing.assert_close(gan.encode(image_BCHW), nets["e"](image_BCHW))
    z_BL = StandardNormal(7).draw(5, "prior", range(3))
    torch.testing.assert_close(gan.sample(3, seed=5), nets["g"](z_BL).clamp(-1, 1))
    code_BL = gan.prior(range(3), seed=5)
    for space in gan.codec.spaces.values():
        torch.testing.assert_close(space.decode(space.of_code(code_BL)), nets["g"](z_BL))


def test_the_first_stage_has_no_encoder() -> None:
    nets, _ = model("coupling")
    codec = make_objective("lia_generator").codec({"g": nets["g"]}, {})
    assert isinstance(codec, Generating)
    assert not codec.encodes
    assert codec.spaces["y"].to_code is not None


@pytest.mark.parametrize(("perceptual", "file"), [("vgg16", None), ("lite0", "f"), ("none", "f")])
def test_vgg16_and_its_file_come_together(perceptual: str, file: str | None) -> None:
    with pytest.raises(ConfigError, match=r"perceptual_file = .*give objective.perceptual=vgg16"):
        Config(perceptual=perceptual, perceptual_file=file)  # type: ignore[arg-type]
