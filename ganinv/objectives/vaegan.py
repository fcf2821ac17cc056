"""VAE/GAN: Larsen et al., "Autoencoding beyond pixels using a learned similarity metric" (2016).

    paper           here                     shape
    x               batch.real_NCHW          N × C × H × W
    z ~ q(z|x)      μ + σ ∘ ε                N × L    ε = batch.noise["epsilon"]
    z_p ~ N(0, I)   batch.noise["z"]         N × L
    x̃, x_p          again, invented          Dec(z), Dec(z_p)
    Dis_l           feature_BF               output of D's `network.feature_block`, d_f features
    L_prior         KL(q(z|x) ‖ N(0, I))     eq. 4; nats
    L_llike^Dis_l   ½ Σ (Dis_l(x) − Dis_l(x̃))²          eq. 7–8, with its constant left out
    L_GAN           ln D(x) + ln(1 − D(x_p)) + ln(1 − D(x̃))     §2.3, eq. 3

Algorithm 1: Enc ← L_prior + L_llike; Dec ← γ L_llike − L_GAN; Dis ← L_GAN alone, never L_llike; the
error of the GAN does not reach Enc. All gradients are taken at the old weights, then all three
networks step.

Where paper and released code (github.com/andersbll/autoencoding_beyond_pixels) differ, an option:

- `decoder_weights`: `paper` γ L_llike − L_GAN; `code` γ L_llike − (1 − γ) L_GAN.
- `discriminate_reconstructions`: whether x̃ enters L_GAN. The paper's §2.3 (true); false leaves
  out the term, for Dec as for Dis.
- `margin`, `equilibrium`: the code skips Dis while one of its costs, −ln D(x) and the mean of
  −ln(1 − D) over generated images, is below equilibrium − margin, and Dec while one is above
  equilibrium + margin; if both would be skipped, neither is. It decides by the costs of this batch,
  we by those of the batch before, which all ranks know. Off by default: R1 takes its place.

Our choices, because these networks have no batch normalisation:

- Dec minimises −ln D, the non-saturating loss, as in the other methods; `generator_loss: minimax`
  is the paper's ln(1 − D).
- R1 with `lambda_r1`; 0 is the paper.
- `likelihood: mean` divides L_llike by d_f, and L_prior in the encoder's loss with it. So the
  encoder's loss is the paper's up to a constant factor, and γ is the paper's times d_f: its 1e-6
  at the 16,384 features of its layer is 0.016. `sum` is the paper's scale.
- `lambda_prior` is the variance of the Gaussian Dis_l(x) ~ N(Dis_l(x̃), λ_prior I). The paper has
  1, for features that batch normalisation keeps at unit variance; the families' features have
  another scale (D of `conv` begins far below 1), and 1 would let the posterior collapse.
- ln σ is clamped to [−6, 2], which the prior never reaches. No weight decay (code: 1e-5).

Shapes: N samples of the micro-batch, L latent elements, F features, C × H × W image.
"""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from ganinv.declarations import Plot, Statistic
from ganinv.errors import ConfigError
from ganinv.networks.base import Judgement
from ganinv.objectives.adversarial import (
    PLOTS,
    STATISTICS,
    AdversarialConfig,
    RealImages,
    fake_loss,
    judge_real,
    real_loss,
)
from ganinv.objectives.base import Loss, MicroBatch, Moments, Nets, Round, RoundOutput, State, cut
from ganinv.objectives.posterior import (
    ENCODER_STATISTIC,
    FIGURE_PLOTS,
    Posterior,
    PosteriorObjective,
    posterior_of,
)
from ganinv.schedules import Scheduled, extremes, scheduled, value_at

LOG_DEVIATION = (-6.0, 2.0)  # limits of ln σ
COSTS = "costs"  # of D on real and on generated images, in the state and among the moments
OWN_STATISTICS = (
    Statistic(
        "d/reconstructed", "", "Mean adversarial value of reconstructions of real images",
        gauge="discriminator_reconstructed",
    ),
    Statistic("loss/prior", "nats", "KL divergence of the posterior from the prior, L_prior"),
    Statistic(
        "loss/llike", "", "Half the squared distance of real images from their reconstructions in "
        "the features of D, L_llike",
    ),
    Statistic("skipped/d", "", "Share of the steps that left out the discriminator (margin)"),
    Statistic("skipped/g", "", "Share of the steps that left out the generator (margin)"),
)  # fmt: skip
OWN_PLOTS = (
    PLOTS[0],
    Plot(
        title="Scores of the discriminator",
        series={"d/real": "real", "d/fake": "generated", "d/reconstructed": "reconstructed"},
        caption="The mean score of real, of generated and of reconstructed images. The closer the "
        "lines, the harder the images are to tell apart.",
    ),
    Plot(
        title="Loss of the encoder",
        series={"loss/e": ""},
        caption="L_llike and the weighted L_prior, which the charts below show apart.",
        from_zero=True,
    ),
    Plot(
        title="Divergence from the prior, L_prior",
        series={"loss/prior": ""},
        caption="How much the posteriors of real images say about them, in nats. Near 0, the "
        "posterior has collapsed to the prior, and reconstructions ignore the image.",
        from_zero=True,
    ),
    Plot(
        title="Error of features, L_llike",
        series={"loss/llike": ""},
        caption="The distance of a real image from its reconstruction in the features of the "
        "discriminator. The features change in training too, so this need not fall.",
        from_zero=True,
    ),
    PLOTS[2],
    *FIGURE_PLOTS,
    Plot(
        title="Steps left out",
        series={"skipped/d": "discriminator", "skipped/g": "generator"},
        caption="The share of the steps in which the margin rule left out a network; 0 without "
        "the rule.",
        from_zero=True,
    ),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(AdversarialConfig):
    """Options of VAE/GAN; the head of the module says which are the paper's."""

    name: str = "vaegan"
    gamma: Scheduled = 0.016  # γ; the paper's 1e-6 for sums
    decoder_weights: Literal["paper", "code"] = "paper"
    lambda_prior: Scheduled = 1.0  # variance of the features' likelihood
    likelihood: Literal["mean", "sum"] = "mean"  # over the features
    discriminate_reconstructions: bool = True
    generator_loss: Literal["nonsaturating", "minimax"] = "nonsaturating"
    margin: float | None = None  # the code has 0.35 to 0.4; None: never leave out a step
    equilibrium: float = 0.68  # the code's; ln 2 is the cost of a D that cannot decide
    optimizer: Literal["rmsprop", "adam"] = "rmsprop"  # of all three networks

    def __post_init__(self) -> None:
        AdversarialConfig.__post_init__(self)
        gamma = scheduled(self.gamma, "gamma")
        low, high = extremes(gamma)
        if low < 0:
            raise ConfigError(f"gamma = {self.gamma}: a loss weight must not be < 0")
        if self.decoder_weights == "code" and high > 1:
            raise ConfigError(
                f"gamma = {self.gamma}: with decoder_weights = code, the adversarial loss weighs "
                "1 − γ, so γ must lie in [0, 1]; choose decoder_weights=paper or a smaller γ"
            )
        object.__setattr__(self, "gamma", gamma)  # frozen, and set before anybody sees it
        if self.margin is not None and not self.margin > 0:
            raise ConfigError(f"margin = {self.margin}: must be above 0, or null for no rule")
        if self.equilibrium <= 0:
            raise ConfigError(f"equilibrium = {self.equilibrium}: a cost is above 0, e.g. 0.68")


class Objective(PosteriorObjective):
    """Algorithm 1 as one round."""

    config: Config
    plots = OWN_PLOTS
    discriminator = "image_discriminator"

    @property
    def statistics(self) -> tuple[Statistic, ...]:
        return (*STATISTICS.values(), ENCODER_STATISTIC, *OWN_STATISTICS)

    @property
    def rounds(self) -> tuple[Round, ...]:
        return (self.all_three,)

    def step_kind(self, images_seen: int, global_batch: int) -> Hashable:
        if self.config.margin is not None:  # the state decides which networks step
            return images_seen
        return super().step_kind(images_seen, global_batch), value_at(
            self.config.gamma, images_seen
        )

    def new_state(self, global_batch: int) -> dict[str, Tensor]:
        state = super().new_state(global_batch)
        if self.config.margin is not None:
            state[COSTS] = torch.full((2,), self.config.equilibrium, dtype=torch.float64)
        return state

    def next_state(
        self, state: State, moments: Moments, *, images_seen: int, global_batch: int
    ) -> dict[str, Tensor]:
        after = super().next_state(
            state, moments, images_seen=images_seen, global_batch=global_batch
        )
        if self.config.margin is not None:
            after[COSTS] = moments[COSTS].to(state[COSTS].device) / global_batch
        return after

    def left_out(self, state: State) -> set[str]:
        """The networks that do not step (code: `aegan.GradientDescent.train_epoch`)."""
        margin, equilibrium = self.config.margin, self.config.equilibrium
        if margin is None:
            return set()
        costs = state[COSTS]
        found = {"d"} if bool((costs < equilibrium - margin).any()) else set()
        found |= {"g"} if bool((costs > equilibrium + margin).any()) else set()
        return found if len(found) == 1 else set()

    def all_three(self, nets: Nets, batch: MicroBatch, state: State) -> RoundOutput:
        """Algorithm 1. The encoder's gradient flows back through x̃ and then through (μ, ln σ)."""
        output = cut("e", nets["e"](batch.real_NCHW))
        posterior = posterior_of(output.leaf, *LOG_DEVIATION)
        again = cut("g", nets["g"](posterior.sample(batch.noise["epsilon"])))
        invented = cut("g", nets["g"](batch.noise["z"]))
        real = judge_real(nets, batch, self.config)
        of_again, of_invented = nets["d"](again.leaf), nets["d"](invented.leaf)
        l_prior, l_llike = self.likelihood(batch, posterior, real, of_again)
        l_e = self.encoder_loss(batch, real, l_prior, l_llike)
        l_g = self.decoder_loss(batch, l_llike, of_again, of_invented)
        l_d, l_adv_d = self.discriminator_loss(batch, real, of_again, of_invented)
        left_out = self.left_out(state)
        losses = {
            "e": Loss(l_e, (output, again)),
            "g": Loss(l_g, (again, invented)),
            "d": Loss(l_d),
        }
        moments = posterior.moments()
        if self.config.margin is not None:
            moments[COSTS] = l_adv_d.detach().double()
        return RoundOutput(
            losses={name: loss for name, loss in losses.items() if name not in left_out},
            statistics={
                "loss/e": l_e,
                "loss/g": l_g,
                "loss/d": l_d,
                "loss/prior": l_prior,
                "loss/llike": l_llike,
                "loss/r1": real.r1,
                "d/real": batch.mean(real.adversarial_B),
                "d/fake": batch.mean(of_invented.adversarial_B),
                "d/reconstructed": batch.mean(of_again.adversarial_B),
                **{f"skipped/{n}": l_d.new_tensor(float(n in left_out)) for n in ("d", "g")},
            },
            moments=moments,
        )

    def likelihood(
        self, batch: MicroBatch, posterior: Posterior, real: RealImages, of_again: Judgement
    ) -> tuple[Tensor, Tensor]:
        """L_prior (eq. 4) and L_llike (eq. 8), without gradient in the features of real images."""
        square_NF = (real.feature_BF - of_again.feature_BF).square()
        total_N = square_NF.mean(1) if self.config.likelihood == "mean" else square_NF.sum(1)
        return batch.mean(posterior.divergence_nats()), batch.mean(total_N / 2)

    def encoder_loss(
        self, batch: MicroBatch, real: RealImages, l_prior: Tensor, l_llike: Tensor
    ) -> Tensor:
        """L_prior + L_llike (Alg. 1), both divided by d_f if L_llike is a mean."""
        weight = self.config.weights(batch.images_seen)["prior"]
        if self.config.likelihood == "mean":
            weight = weight / real.feature_BF.shape[1]
        return weight * l_prior + l_llike

    def decoder_loss(
        self, batch: MicroBatch, l_llike: Tensor, of_again: Judgement, of_invented: Judgement
    ) -> Tensor:
        """γ L_llike − L_GAN (Alg. 1)."""
        gamma = value_at(self.config.gamma, batch.images_seen)
        loss = _minimax if self.config.generator_loss == "minimax" else real_loss
        each_N = loss(of_invented.adversarial_B)
        if self.config.discriminate_reconstructions:
            each_N = each_N + loss(of_again.adversarial_B)
        weight = 1 - gamma if self.config.decoder_weights == "code" else 1.0
        return gamma * l_llike + weight * batch.mean(each_N)

    def discriminator_loss(
        self, batch: MicroBatch, real: RealImages, of_again: Judgement, of_invented: Judgement
    ) -> tuple[Tensor, Tensor]:
        """−L_GAN + λ_r1 R1; and the sums of D's costs on real and on generated images, 2."""
        real_N, fake_N = real_loss(real.adversarial_B), fake_loss(of_invented.adversarial_B)
        cost_N = fake_N
        if self.config.discriminate_reconstructions:
            of_again_N = fake_loss(of_again.adversarial_B)
            fake_N, cost_N = fake_N + of_again_N, (fake_N + of_again_N) / 2
        weight = self.config.weights(batch.images_seen)["r1"]
        loss = real.with_r1(batch.mean(real_N + fake_N), weight)
        return loss, torch.stack([real_N.sum(), cost_N.sum()])


def _minimax(adversarial_N: Tensor) -> Tensor:
    """ln(1 − D), the loss of the minimax game."""
    return -F.softplus(adversarial_N)
