"""Steps of DEDGAN against Algorithm 1 written out in float64, their signs, and the encoder.

Shapes: N samples, E coordinates of an embedding.
"""

import copy
import io
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ganinv.model import InvertibleGan
from ganinv.networks.base import Judgement
from ganinv.objectives.base import MicroBatch
from ganinv.objectives.dedgan import Config, Objective
from ganinv.saved.torchscript import graph_files
from ganinv.seams.engine import LocalEngine, no_reduction
from ganinv.training.step import train_step
from tests.support.families import build, normal
from tests.support.micro_batches import random_batch
from tests.support.runs import NETWORK, build_networks, make_objective

BATCH = 8
ANGLES = NETWORK.latent_size
OPTIONS: dict[str, Any] = {"name": "dedgan", "lambda_emb": 0.7, "lambda_r1": 3.0}


def judged(head_NE: Tensor) -> Judgement:
    """A discriminator's outputs, the first as its adversarial value."""
    return Judgement(head_NE[:, 0], head_NE[:, 1:], head_NE)


class Case:
    """A step's inputs in float64: networks at old weights, images and noise."""

    def __init__(self) -> None:
        self.networks = {name: n.double() for name, n in build_networks().items()}
        self.objective = make_objective(**OPTIONS)
        self.batch = random_batch(self.objective, global_batch=BATCH)


class KeepingEngine(LocalEngine):
    """Keeps the gradients instead of taking a step."""

    def finish(self, *, apply: bool) -> None:
        assert apply


def cartesian(angle_NL: Tensor) -> Tensor:
    """z_c of z_s, leaf by leaf: each bit of a leaf's number says whether it turned to cos."""
    depth = (angle_NL.shape[1] + 1).bit_length() - 1
    leaves = []
    for leaf in range(2**depth):
        value = torch.ones_like(angle_NL[:, 0])
        for level in range(depth):
            node, turn = leaf >> (depth - level), leaf >> (depth - level - 1) & 1
            angle = angle_NL[:, 2**level - 1 + node]
            value = value * (angle.cos() if turn else angle.sin())
        leaves.append(value)
    return torch.stack(leaves, 1)


def reference_losses(case: Case, nets: Mapping[str, nn.Module]) -> dict[str, Tensor]:
    """Algorithm 1 as it is printed, with tan(arccos), on forward passes of its own."""
    z_NL = case.batch.noise["z"]
    z_s = math.pi / 4 * (1 + torch.erf(z_NL / math.sqrt(2)))
    x = case.batch.real_NCHW.clone().requires_grad_()

    def embedded(image: Tensor) -> Tensor:
        adversarial, latent, _ = nets["d"](image)
        return torch.log1p(torch.cat([adversarial[:, None], latent], 1).exp())

    fake, real = embedded(nets["g"](z_NL)), embedded(x)
    v_g, v_r = fake.norm(dim=1).log(), real.norm(dim=1).log()
    cosine = (fake * cartesian(z_s)).sum(1) / fake.norm(dim=1)
    emb = torch.tan(torch.arccos(cosine)).mean()
    (slope,) = torch.autograd.grad(v_r.sum(), x, create_graph=True)
    r1 = slope.pow(2).sum() / BATCH
    weighted = OPTIONS["lambda_emb"] * emb
    return {
        "d": -F.logsigmoid(-v_r).mean()
        - F.logsigmoid(v_g).mean()
        + OPTIONS["lambda_r1"] * r1
        + weighted,
        "g": -F.logsigmoid(-v_g).mean() + weighted,
        "emb": emb,
        "r1": r1,
    }


@pytest.mark.parametrize("micro_batches", [1, 4])
def test_a_step_equals_the_paper_written_out(micro_batches: int) -> None:
    """So L_g leaves nothing in D's gradients, L_d nothing in G's, and splitting changes nothing."""
    case = Case()
    engines = {
        name: KeepingEngine(n, torch.optim.SGD(n.parameters()), micro_batches)
        for name, n in copy.deepcopy(case.networks).items()
    }
    result = train_step(case.objective, engines, split(case.batch, micro_batches), {}, no_reduction)
    expected: dict[str, Tensor] = {}
    for name in engines:
        nets = copy.deepcopy(case.networks)
        expected = reference_losses(case, nets)
        parameters = dict(nets[name].named_parameters())
        gradients = torch.autograd.grad(expected[name], list(parameters.values()))
        found = dict(engines[name].network.named_parameters())
        for (key, parameter), gradient in zip(parameters.items(), gradients, strict=True):
            del parameter
            kept = found[key].grad
            assert kept is not None
            assert float(gradient.norm()) > 0
            assert float((kept - gradient).norm()) <= 1e-10 * float(gradient.norm()), key
    for name, value in expected.items():
        mean = float(result.statistics[f"loss/{name}"]) / micro_batches
        assert mean == pytest.approx(float(value.detach()), rel=1e-10)


def split(batch: MicroBatch, count: int) -> list[MicroBatch]:
    size = BATCH // count
    return [
        replace(
            batch,
            real_NCHW=batch.real_NCHW[start : start + size],
            slots_N=batch.slots_N[start : start + size],
            noise={name: draw[start : start + size] for name, draw in batch.noise.items()},
            micro_batches=count,
        )
        for start in range(0, BATCH, size)
    ]


class Dark(nn.Module):
    """A generator of dark images."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(normal(ANGLES, 12).double())

    def forward(self, code_NL: Tensor) -> Tensor:
        return (0.1 * torch.tanh(code_NL @ self.weight) - 0.8).unflatten(1, (3, 2, 2))


class Linear(nn.Module):
    """A discriminator that is odd: a step that lowers h on bright images raises it on dark ones."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(0.1 * normal(12, ANGLES + 1, seed=1).double())

    def forward(self, image_NCHW: Tensor) -> Judgement:
        return judged(image_NCHW.flatten(1) @ self.weight)


def test_a_step_lowers_v_of_real_images_and_raises_that_of_generated_ones() -> None:
    """And the generator's step lowers v of its images."""
    objective = make_objective("dedgan", lambda_emb=0.0, lambda_r1=0.0)
    bright_NCHW = 0.1 * normal(BATCH, 3, 2, 2).double() + 0.8
    batch = replace(random_batch(objective, global_batch=BATCH), real_NCHW=bright_NCHW)
    before, after = values_of_v({"g": Dark(), "d": Linear()}, batch), {}
    for name in ("d", "g"):
        nets = {"g": Dark(), "d": Linear()}
        engines = {
            network: LocalEngine(n, torch.optim.SGD(n.parameters(), lr=0.1 * (network == name)))
            for network, n in nets.items()
        }
        assert train_step(objective, engines, [batch], {}, no_reduction).applied
        after[name] = values_of_v(nets, batch)
    assert after["d"][0] < before[0] - 0.01
    assert after["d"][1] > before[1] + 0.01
    assert after["g"][0] == before[0]
    assert after["g"][1] < before[1] - 1e-6


def values_of_v(nets: Mapping[str, nn.Module], batch: MicroBatch) -> tuple[float, float]:
    """Mean v of real and of generated images, from the paper's definition."""
    with torch.no_grad():
        images = batch.real_NCHW, nets["g"](batch.noise["z"])
        judgements = [nets["d"](image) for image in images]
        real, fake = (
            F.softplus(torch.cat([a[:, None], z], 1)).norm(dim=1).log().mean()
            for a, z, _ in judgements
        )
    return float(real), float(fake)


class Writing(nn.Module):
    """Writes codes of 15 numbers into images of 16 pixels."""

    def forward(self, code_NL: Tensor) -> Tensor:
        return F.pad(code_NL, (0, 1)).unflatten(1, (1, 4, 4))


class Reading(nn.Module):
    """Reads the code from such an image and embeds it without error, at a given length."""

    def __init__(self, objective: Objective, log_length: float) -> None:
        super().__init__()
        self.latent, self.log_length = objective.latent, log_length

    def forward(self, image_NCHW: Tensor) -> Judgement:
        code_NL = image_NCHW.flatten(1)[:, : self.latent.size]
        point_NE = self.latent.to_cartesian(self.latent.angles(code_NL))
        embedded_NE = point_NE * math.exp(self.log_length)
        return judged(torch.log(torch.expm1(embedded_NE)))  # the inverse of softplus


@pytest.mark.parametrize("log_length", [-2.0, 0.0, 2.0])
def test_a_discriminator_that_knows_the_code_encodes_it(log_length: float) -> None:
    """E inverts G, L_emb and the errors of the angles are 0, and d/fake is −v."""
    objective = Objective(Config(), 15)
    nets = {"g": Writing(), "d": Reading(objective, log_length)}
    code_NL = normal(BATCH, 15).double().clamp(-3, 3)
    found_NL = objective.codec(nets, {}).encode(nets["g"](code_NL))
    torch.testing.assert_close(found_NL, code_NL, rtol=1e-8, atol=1e-8)
    batch = replace(
        random_batch(objective, global_batch=BATCH),
        real_NCHW=nets["g"](normal(BATCH, 15, seed=1).double()),
        noise={"z": code_NL},
    )
    found = objective.both(nets, batch, {}).statistics
    assert float(found["loss/emb"].detach()) < 2e-6
    assert float(found["angles/error_rad"]) < 1e-6
    assert float(found["d/fake"].detach()) == pytest.approx(-log_length, abs=1e-9)


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_the_exported_encoder_gives_the_same() -> None:
    """TorchScript, for another number of images than it was traced with."""
    objective = Objective(Config(), ANGLES)
    built = build("conv", resolution=8, feature_block=-1)
    model = InvertibleGan(codec=objective.codec(built, {}))
    encoder = torch.jit.load(io.BytesIO(graph_files(model)["encoder.pt"]))
    image_NCHW = model.sample(5, seed=1)
    torch.testing.assert_close(encoder(image_NCHW), model.encode(image_NCHW))


def test_errors_of_angles_without_information_are_an_eighth_of_pi() -> None:
    """By mass as well: the masses of an angle's node do not depend on the angle."""
    objective = Objective(Config(), 15)
    batch = random_batch(objective, global_batch=2000)
    uniform_NE = torch.full((2000, 16), 0.25, dtype=torch.float64)
    angle_NL = objective.latent.angles(batch.noise["z"])
    for value in objective._angle_errors(batch, angle_NL, uniform_NE).values():
        assert float(value) == pytest.approx(math.pi / 8, rel=0.02)
