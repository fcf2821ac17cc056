"""What VAE/GAN and ALI share: an encoder that gives a Gaussian posterior, and a decoder.

    papers       here                  shape
    q(z|x)       `Posterior`           N × L   N(μ, σ²) of the code of a real image
    ε            batch.noise["epsilon"]  N × L   drawn by the caller, as all noise
    z ~ N(0, I)  batch.noise["z"]      N × L

After training the code of an image is μ. State: decayed sums over the steps of the variance of μ
within a global batch, of the mean of σ², and of 1; their ratios are averages without bias. Within a
batch, because all μ drift together while the encoder learns, which says nothing about images.

Shapes: N samples of the micro-batch, L latent elements, C × H × W image.
"""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ganinv.codec import Codec
from ganinv.declarations import Highlight, Plot, Spectrum, Statistic
from ganinv.draws import Draws
from ganinv.horizons import decay_at
from ganinv.latents.base import Latent
from ganinv.latents.normal import StandardNormal
from ganinv.latents.spaces import Space, style_spaces
from ganinv.objectives.base import Moments, Objective, Role, State

# Burda et al., "Importance Weighted Autoencoders" (2016), §5.2: element i is active if Var_x μ_i is
# above this.
ACTIVE_UNIT_VARIANCE = 0.01
HALF_LIFE = 10_000.0  # images that the averages of the state reach back over
POSTERIOR = "posterior"  # name in the state, and of the moments

ENCODER_STATISTIC = Statistic("loss/e", "", "Loss of the encoder, all terms")
FIGURES = (
    Statistic(
        "latent/active_units", "elements", "Latent elements whose μ varies over real images "
        "(variance above 0.01)", gauge="latent_active_units",
    ),
    Statistic(
        "latent/posterior_deviation", "", "Root mean square of σ over real images and elements",
        gauge="latent_posterior_deviation",
    ),
)  # fmt: skip
FIGURE_PLOTS = (
    Plot(
        title="Active units",
        series={"latent/active_units": ""},
        caption="The number of elements of the code whose mean μ varies over real images, with a "
        "variance above 0.01. If it falls to 0, the posterior has collapsed to the prior: codes "
        "say nothing about images.",
        from_zero=True,
    ),
    Plot(
        title="Deviation σ of the posterior",
        series={"latent/posterior_deviation": ""},
        caption="How uncertain the encoder is of the code of a real image. 1 is the prior's "
        "deviation, and means no information; 0 means that the encoder has become deterministic.",
        from_zero=True,
    ),
)


class Posterior(NamedTuple):
    """N(μ, σ²) for each image."""

    mean_NL: Tensor
    log_deviation_NL: Tensor

    def sample(self, epsilon_NL: Tensor) -> Tensor:
        """z = μ + σ ∘ ε (Kingma and Welling 2014, eq. 10)."""
        return self.mean_NL + self.log_deviation_NL.exp() * epsilon_NL

    def divergence_nats(self) -> Tensor:
        """KL(q(z|x) ‖ N(0, I)) = ½ Σ (μ² + σ² − ln σ² − 1) for each image, N."""
        variance_NL = (2 * self.log_deviation_NL).exp()
        each_NL = self.mean_NL.square() + variance_NL - 2 * self.log_deviation_NL - 1
        return each_NL.sum(1) / 2

    def moments(self) -> Moments:
        """Σ μ, Σ μ², Σ σ² over the images, and their number, float64, 3L + 1."""
        mean_NL, variance_NL = self.mean_NL.double(), (2 * self.log_deviation_NL.double()).exp()
        sums = [mean_NL.sum(0), mean_NL.square().sum(0), variance_NL.sum(0)]
        return {POSTERIOR: torch.cat([*sums, mean_NL.new_full((1,), len(mean_NL))]).detach()}


def posterior_of(output_N2L: Tensor, low: float, high: float) -> Posterior:
    """From the output of an encoder, with ln σ clamped to [`low`, `high`]."""
    mean_NL, log_deviation_NL = output_N2L.chunk(2, dim=1)
    return Posterior(mean_NL, log_deviation_NL.clamp(low, high))


@dataclass(frozen=True, kw_only=True)
class EncoderAndDecoder(Codec):
    """E(x) = μ, images are g(z)."""

    def decode(self, code_BL: Tensor) -> Tensor:
        image_BCHW: Tensor = self.networks["g"](code_BL)
        return image_BCHW

    def encode(self, image_BCHW: Tensor) -> Tensor:
        mean_BL: Tensor = self.networks["e"](image_BCHW).chunk(2, dim=1)[0]
        return mean_BL

    @property
    def spaces(self) -> Mapping[str, Space]:
        def entering(code_BL: Tensor) -> Tensor:
            return self.latent.to_generator(code_BL, self.tensors)

        return {**super().spaces, **style_spaces(self.networks["g"], entering)}


class PosteriorObjective(Objective):
    """Roles, draws, averages and codec; a method adds its round."""

    discriminator: str  # the kind of its discriminator

    def __init__(self, config: Any, latent_size: int) -> None:
        self.config = config
        self.latent: Latent = StandardNormal(latent_size)

    @property
    def roles(self) -> Mapping[str, Role]:
        optimizer = self.config.optimizer
        return {
            "e": Role(title="encoder", optimizer=optimizer, kind="encoder"),
            "g": Role(title="generator", optimizer=optimizer, kind="generator"),
            "d": Role(
                title="discriminator",
                optimizer=optimizer,
                kind=self.discriminator,
                averaged=False,
                exported=False,
            ),
        }

    @property
    def noise(self) -> Mapping[str, Draws]:
        return {"z": self.latent, "epsilon": self.latent}

    @property
    def figures_declared(self) -> tuple[Statistic, ...]:
        return FIGURES

    def step_kind(self, images_seen: int, global_batch: int) -> Hashable:
        kind: Hashable = self.config.step_kind(images_seen, global_batch)
        return kind

    def new_state(self, global_batch: int) -> dict[str, Tensor]:
        del global_batch
        return {POSTERIOR: torch.zeros(2 * self.latent.size + 1, dtype=torch.float64)}

    def next_state(
        self, state: State, moments: Moments, *, images_seen: int, global_batch: int
    ) -> dict[str, Tensor]:
        decay = decay_at(0.0, HALF_LIFE, images_seen, global_batch)
        found = moments[POSTERIOR].to(state[POSTERIOR].device)
        *sums, count = found.split([self.latent.size] * 3 + [1])
        mean_L, square_L, variance_L = (total / count for total in sums)
        within_L = (square_L - mean_L.square()) * (count / (count - 1).clamp(min=1))  # unbiased
        new = torch.cat([within_L, variance_L, torch.ones_like(count)])
        return {**state, POSTERIOR: decay * state[POSTERIOR] + new}

    def codec(self, networks: Mapping[str, nn.Module], tensors: Mapping[str, Tensor]) -> Codec:
        del tensors
        held = {name: networks[name] for name in ("e", "g")}
        return EncoderAndDecoder(latent=self.latent, networks=held)

    def spreads(self, state: State) -> tuple[Tensor, Tensor]:
        """Var_x μ_i and the mean of σ_i² over real images, L each; 0 before the first step."""
        means_L, variance_L, steps = state[POSTERIOR].split([self.latent.size] * 2 + [1])
        return means_L.clamp(min=0) / steps.clamp(min=1), variance_L / steps.clamp(min=1)

    def figures(self, state: State) -> dict[str, float]:
        means_L, variance_L = self.spreads(state)
        return {
            "latent/active_units": int((means_L > ACTIVE_UNIT_VARIANCE).sum()),
            "latent/posterior_deviation": float(variance_L.mean().sqrt()),
        }

    def highlights(self, state: State) -> tuple[Highlight, ...]:
        figures = self.figures(state)
        return (
            Highlight(
                label="Active units",
                value=f"{figures['latent/active_units']} of {self.latent.size}",
                meaning="variance of μ over real images above 0.01",
            ),
            Highlight(
                label="Deviation of the posterior",
                value=f"{figures['latent/posterior_deviation']:.2f}",
                meaning="1 means no information, 0 a deterministic encoder",
            ),
        )

    def spectra(self, state: State) -> dict[str, Spectrum]:
        return {"mean": Spectrum("real images, μ", self.spreads(state)[0])}
