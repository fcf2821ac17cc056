"""VAE/GAN: its divergence, its linear case, its margin rule, and the averages of its state."""

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ganinv.errors import ConfigError
from ganinv.networks.base import Judgement
from ganinv.objectives.base import MicroBatch
from ganinv.objectives.posterior import Posterior, PosteriorObjective
from ganinv.objectives.vaegan import Config
from ganinv.seams.engine import no_reduction
from ganinv.training.step import train_step
from tests.support.gradients import KeepingEngine
from tests.support.micro_batches import local_engines, random_batch
from tests.support.runs import build_networks, make_objective
from tests.support.steps import weights_of


def normal(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def test_the_divergence_is_the_mean_log_ratio_of_the_densities() -> None:
    """KL in closed form against Monte Carlo: within four standard errors."""
    posterior = Posterior(normal(3, 4), 0.5 * normal(3, 4, seed=1))
    epsilon = normal(40_000, 3, 4, seed=2)
    z = posterior.sample(epsilon)
    log_ratio = (z.square() - epsilon.square()) / 2 - posterior.log_deviation_NL
    sampled = log_ratio.sum(2)
    error = sampled.std(0) / len(sampled) ** 0.5
    assert bool(((sampled.mean(0) - posterior.divergence_nats()).abs() < 4 * error).all())
    assert float(error.max()) < 0.03  # a wrong ½ would be seen


VARIANCE = 0.3  # of the likelihood
SPECTRUM = torch.tensor([4.0, 2.5, 1.2, 0.8, 0.6, 0.4], dtype=torch.float64)


class Pixels(nn.Module):
    """A discriminator whose feature is the image, and which cannot tell images apart."""

    def __init__(self) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.zeros((), dtype=torch.float64))

    def forward(self, image_BCHW: Tensor) -> Judgement:
        flat_BF = image_BCHW.flatten(1)
        return Judgement(self.value * flat_BF.sum(1), flat_BF[:, :0], flat_BF)


class Linear(nn.Module):
    """Images of F × 1 × 1 pixels from codes."""

    def __init__(self, weight_FL: Tensor) -> None:
        super().__init__()
        self.weight_FL = nn.Parameter(weight_FL)

    def forward(self, code_BL: Tensor) -> Tensor:
        return (code_BL @ self.weight_FL.T)[:, :, None, None]


class LinearEncoder(nn.Module):
    def __init__(self, weight_LF: Tensor, log_deviation_L: Tensor) -> None:
        super().__init__()
        self.weight_LF = nn.Parameter(weight_LF)
        self.log_deviation_L = nn.Parameter(log_deviation_L)

    def forward(self, image_BCHW: Tensor) -> Tensor:
        mean_BL = image_BCHW.flatten(1) @ self.weight_LF.T
        return torch.cat([mean_BL, self.log_deviation_L.expand_as(mean_BL)], 1)


def linear_case(components: tuple[int, ...], turn: float = 0.0) -> tuple[float, float]:
    """The gradient norm of encoder and decoder, and the encoder's loss, at probabilistic PCA.

    Tipping and Bishop (1999): with noise σ² and eigenvalues Λ of the covariance, the decoder
    U (Λ − σ²)^½ and the posterior N(M⁻¹ Wᵀ x, σ² M⁻¹), M = Λ. `turn` rotates the decoder's first
    axis out of its subspace.
    """
    size, base = len(components), 6
    axes_FF, _ = torch.linalg.qr(normal(base, base, seed=5))
    points_BF = torch.linalg.qr(normal(24, base, seed=6) - normal(24, base, seed=6).mean(0))[0]
    points_BF = points_BF * 24**0.5 * SPECTRUM.sqrt() @ axes_FF.T  # covariance: axes, SPECTRUM
    chosen = list(components)
    scale_L = (SPECTRUM[chosen] - VARIANCE).sqrt()
    decoder_FL = axes_FF[:, chosen] * scale_L
    encoder_LF = (decoder_FL / SPECTRUM[chosen]).T
    decoder_FL[:, 0] += turn * axes_FF[:, -1]
    nets = {
        "e": LinearEncoder(encoder_LF.clone(), (VARIANCE / SPECTRUM[chosen]).log() / 2),
        "g": Linear(decoder_FL.clone()),
        "d": Pixels(),
    }
    # Noise ±√L along each axis has mean 0 and covariance I: means over it are exact.
    signs_KL = size**0.5 * torch.cat([torch.eye(size), -torch.eye(size)]).double()
    images_BF = points_BF.repeat_interleave(2 * size, 0)
    batch = MicroBatch(
        images_seen=0,
        real_NCHW=images_BF[:, :, None, None],
        slots_N=torch.arange(len(images_BF)),
        global_batch=len(images_BF),
        micro_batches=1,
        noise={"epsilon": signs_KL.repeat(24, 1), "z": normal(len(images_BF), size, seed=8)},
    )
    objective = make_objective(
        "vaegan", latent_size=size, likelihood="sum", lambda_prior=VARIANCE, lambda_r1=0.0,
        gamma=1.0, margin=None,
    )  # fmt: skip
    engines = {name: KeepingEngine(n, torch.optim.SGD(n.parameters())) for name, n in nets.items()}
    result = train_step(
        objective, engines, [batch], objective.new_state(len(images_BF)), no_reduction
    )
    slopes = [g.norm() for name in ("e", "g") for g in engines[name].kept.values()]
    return float(torch.stack(slopes).max()), float(result.statistics["loss/e"])


def test_the_linear_case_is_principal_component_analysis() -> None:
    """With pixels as features and linear networks, the gradients vanish at probabilistic PCA. Among
    all pairs of components the first two have the least loss, and outside of a principal subspace
    the gradients do not vanish.
    """
    slope, least = linear_case((0, 1))
    assert slope < 1e-10
    for others in ((0, 2), (1, 2), (2, 3)):
        slope, loss = linear_case(others)
        assert slope < 1e-10
        assert loss > least + 0.01
    assert linear_case((0, 1), turn=0.1)[0] > 1e-2


def test_the_state_stays_on_its_device() -> None:
    """Nothing is read, which the meta device would refuse."""
    objective = make_objective("vaegan", margin=0.35)
    state = {name: value.to("meta") for name, value in objective.new_state(8).items()}
    sums = {name: torch.zeros(64, device="meta") for name in state}
    sums["posterior"] = torch.zeros(3 * objective.latent.size + 1, device="meta")
    sums["costs"] = torch.zeros(2, device="meta")
    after = objective.next_state(state, sums, images_seen=0, global_batch=8)
    assert {value.device.type for value in after.values()} == {"meta"}


@pytest.mark.parametrize(
    ("costs", "expected"),
    [
        ((0.68, 0.68), set()),
        ((0.2, 0.68), {"d"}),  # D is too good at real images
        ((0.68, 0.2), {"d"}),
        ((1.2, 0.68), {"g"}),
        ((0.68, 1.2), {"g"}),
        ((0.2, 1.2), set()),  # both would be left out
    ],
)
def test_the_margin_rule_leaves_out_the_winner(
    costs: tuple[float, float], expected: set[str]
) -> None:
    """The networks left out keep every bit, and the costs of this step decide about the next."""
    objective = make_objective("vaegan", margin=0.35, lambda_r1=0.0)
    networks = build_networks(objective=objective)
    before = weights_of(networks)
    state = {**objective.new_state(8), "costs": torch.tensor(costs, dtype=torch.float64)}
    batch = random_batch(objective, global_batch=8, dtype=torch.float32)
    with torch.no_grad():
        value_B = networks["d"](batch.real_NCHW).adversarial_B.double()
    engines = local_engines(objective, networks)
    result = train_step(objective, engines, [batch], state, no_reduction)
    after = weights_of(networks)
    moved = {key.partition("/")[0] for key in after if not torch.equal(after[key], before[key])}
    assert moved == {"e", "g", "d"} - expected
    for name in ("d", "g"):
        assert float(result.statistics[f"skipped/{name}"]) == float(name in expected)
    real, fake = result.state["costs"].tolist()
    assert real == pytest.approx(float(-value_B.sigmoid().log().mean()), rel=1e-5)
    of_fakes = result.statistics["loss/d"] - real
    assert fake == pytest.approx(float(of_fakes) / 2, rel=1e-5)  # of both kinds


def test_figures_follow_the_means_of_real_images() -> None:
    """The variance of μ within a batch and the mean of σ², averaged without bias over the steps.

    What all means of a batch have in common changes nothing: while the encoder learns, they drift.
    """
    objective = make_objective("vaegan", latent_size=3)
    assert isinstance(objective, PosteriorObjective)
    batches = [Posterior(normal(8, 3, seed=n), 0.3 * normal(8, 3, seed=n + 9)) for n in (1, 2)]
    for drift, posterior in enumerate(batches):
        posterior.mean_NL[:, 0] = 0.0  # says nothing about images
        posterior.mean_NL.add_(5 * drift)
    state: Mapping[str, Tensor] = objective.new_state(8)
    assert objective.figures(state)["latent/active_units"] == 0
    decay = 0.5 ** (8 / 10_000)
    for step, weights in enumerate(([1.0], [decay, 1.0])):
        moments = batches[step].moments()
        state = objective.next_state(state, moments, images_seen=8 * step, global_batch=8)
        weight_S = torch.tensor(weights).double() / sum(weights)
        variance_SL = torch.stack([b.mean_NL.var(0) for b in batches[: step + 1]])
        found_L = objective.spectra(state)["mean"].variance_L
        torch.testing.assert_close(found_L, weight_S @ variance_SL, rtol=1e-6, atol=1e-12)
        square_S = torch.stack(
            [b.log_deviation_NL.exp().square().mean() for b in batches[: step + 1]]
        )
        figures = objective.figures(state)
        assert figures["latent/active_units"] == 2
        expected = float((weight_S @ square_S).sqrt())
        assert figures["latent/posterior_deviation"] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"gamma": -1.0}, "gamma = -1.0: a loss weight"),
        ({"gamma": 2.0, "decoder_weights": "code"}, "gamma = 2.0: with decoder_weights = code"),
        ({"margin": 0.0}, "margin = 0.0: must be above 0"),
        ({"equilibrium": 0.0}, "equilibrium = 0.0"),
    ],
)
def test_impossible_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Config(**options)
