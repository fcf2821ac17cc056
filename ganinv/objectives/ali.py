"""ALI: Dumoulin et al., "Adversarially Learned Inference" (2017), algorithm 1.

    paper               here                    shape
    x ~ q(x)            batch.real_NCHW         N × C × H × W
    z ~ p(z)            batch.noise["z"]        N × L
    ẑ ~ q(z|x)          μ(x) + σ(x) ∘ ε         N × L    ε = batch.noise["epsilon"]
    x̃ ~ p(x|z)          g(z)                    N × C × H × W
    ρ_q = D(x, ẑ)       real.adversarial_B      N        before the sigmoid
    ρ_p = D(x̃, z)       fake.adversarial_B      N

    L_d = −ln σ(ρ_q) − ln(1 − σ(ρ_p))
    L_g = −ln(1 − σ(ρ_q)) − ln σ(ρ_p)        of encoder and decoder, which share it

With `adversarial: relativistic`, L_d = softplus(ρ_p − ρ_q) and L_g = softplus(ρ_q − ρ_p).

D judges pairs. All gradients are taken at the old weights, then all three networks step, as in the
paper and its code. L_g reaches the encoder through ẑ, and the decoder through x̃.

Our choices: R1 with `lambda_r1`, on the image and not on the code, in place of the paper's batch
normalisation and dropout (0 is the paper); ln σ is clamped (`log_deviation_min`, `…_max`), because
σ collapses early; leaky ReLUs have the families' slope of 0.2 (paper: 0.02), and images leave the
decoder without a sigmoid.

Reconstructions keep what the code says of an image, not its pixels: their PSNR is low by nature.

Shapes: N samples of the micro-batch, L latent elements, C × H × W image.
"""

from dataclasses import dataclass
from typing import Literal

from ganinv.declarations import Statistic
from ganinv.errors import ConfigError
from ganinv.objectives.adversarial import PLOTS
from ganinv.objectives.augmented import AugmentedObjective, augmentation
from ganinv.objectives.base import Loss, MicroBatch, Nets, Round, RoundOutput, State, cut
from ganinv.objectives.losses import (
    LossConfig,
    augmentation_moments,
    judge_augmented,
    judge_generated,
    loss_of_discriminator,
    told_apart,
)
from ganinv.objectives.posterior import FIGURE_PLOTS, PosteriorObjective, posterior_of


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(LossConfig):
    """Options of ALI."""

    name: str = "ali"
    log_deviation_min: float = -6.0  # limits of ln σ
    log_deviation_max: float = 2.0
    optimizer: Literal["adam", "rmsprop"] = "adam"  # of all three networks

    def __post_init__(self) -> None:
        LossConfig.__post_init__(self)
        low, high = self.log_deviation_min, self.log_deviation_max
        if not low < 0 < high:
            raise ConfigError(
                f"log_deviation_min = {low}, log_deviation_max = {high}: ln σ begins at 0, so the "
                "limits must lie below and above it, for example -6 and 2"
            )


class Objective(AugmentedObjective, PosteriorObjective):
    """Algorithm 1 as one round."""

    config: Config
    plots = (*PLOTS, *FIGURE_PLOTS)
    discriminator = "pair_discriminator"

    @property
    def statistics(self) -> tuple[Statistic, ...]:
        return self.config.statistics

    @property
    def rounds(self) -> tuple[Round, ...]:
        return (self.all_three,)

    def all_three(self, nets: Nets, batch: MicroBatch, state: State) -> RoundOutput:
        """Algorithm 1: one forward of each network serves both losses."""
        augment = augmentation(self.config.augment, batch, state)
        limits = self.config.log_deviation_min, self.config.log_deviation_max
        z_NL = batch.noise["z"]
        output = cut("e", nets["e"](batch.real_NCHW))
        posterior = posterior_of(output.leaf, *limits)
        image = cut("g", nets["g"](z_NL))
        code_NL = posterior.sample(batch.noise["epsilon"])
        real = judge_augmented(nets, batch, self.config, augment, code_NL)
        fake = judge_generated(nets, batch, self.config, image.leaf, augment, z_NL, encode=False)
        l_d, statistics = loss_of_discriminator(batch, self.config, real, fake, augment)
        l_g = batch.mean(told_apart(self.config, fake.adversarial_B, real.adversarial_B))
        return RoundOutput(
            losses={"e": Loss(l_g, (output,)), "g": Loss(l_g, (image,)), "d": Loss(l_d)},
            statistics={
                **statistics,
                "d/fake": batch.mean(fake.adversarial_B),
                "loss/d": l_d,
                "loss/g": l_g,
            },
            moments={
                **posterior.moments(),
                **augmentation_moments(self.config, augment, real, fake),
            },
        )
