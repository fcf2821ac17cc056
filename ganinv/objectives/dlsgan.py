"""DLSGAN: J. Cho, "Dynamic Latent Scale GAN", Algorithm 1.

    paper   here                shape
    x       part.real_NCHW      N × C × H × W
    z       part.noise["z"]     N × L      drawn by the caller
    s       scale_L             L          from v by `latent_scale`
    v       state["fake"]       L          traced variance of z′ (or K × L, a window)
    a_g z′  fake.adversarial_B, fake.latent_BL
    a_r     real.adversarial_B
    λ_enc   config.lambda_enc

The encoder is part of D. Variants of the paper's figures 1–11: scale `dls` | `mse` (s = 1), encoder
loss in the loss of D only (`d`) or of both networks (`dg`). The author's later code steps D first
and G second with fresh codes (`schedule: sequential`); the paper's one forward serves both losses
and both networks step from the old weights (`simultaneous`).

Shapes: N samples of the part, L latent elements, C × H × W image.
"""

from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from ganinv.latent_scale import TraceConfig, latent_scale, new_trace, trace_variance, update_trace
from ganinv.objectives.adversarial import (
    AdversarialConfig,
    discriminator_loss,
    judge_real,
    real_loss,
)
from ganinv.objectives.base import (
    GeneratorLoss,
    Moments,
    Nets,
    Part,
    Round,
    RoundOutput,
    State,
    cut,
)
from ganinv.objectives.latent import encoder_loss, mean_square, square_moments


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(AdversarialConfig):
    """DLSGAN's knobs; the defaults are those of the PVDGAN paper, which compares both methods."""

    name: str = "dlsgan"
    scale: Literal["dls", "mse"] = "dls"
    encoder_loss_to: Literal["d", "dg"] = "dg"
    lambda_enc: float = 1.0
    schedule: Literal["simultaneous", "sequential"] = "simultaneous"
    trace: TraceConfig = field(default_factory=TraceConfig)


class Objective:
    """Algorithm 1 as rounds of losses."""

    def __init__(self, config: Config) -> None:
        self.config = config

    @property
    def noise_names(self) -> tuple[str, ...]:
        return ("z",) if self.config.schedule == "simultaneous" else ("z", "z_generator")

    @property
    def statistic_names(self) -> tuple[str, ...]:
        return ("loss/d", "loss/g", "loss/enc", "loss/r1", "d/real", "d/fake")

    @property
    def rounds(self) -> tuple[Round, ...]:
        if self.config.schedule == "simultaneous":
            return (self.both,)
        return (self.discriminator_first, self.generator_second)

    def new_state(self, latent_size: int, global_batch: int) -> dict[str, Tensor]:
        return {"fake": new_trace(self.config.trace, latent_size, global_batch)}

    def next_state(self, state: State, moments: Moments) -> dict[str, Tensor]:
        mean_square_L = mean_square(moments["fake"])
        return {"fake": update_trace(self.config.trace, state["fake"], mean_square_L)}  # l. 8

    def scale(self, state: State) -> Tensor:
        variance_L = trace_variance(state["fake"])
        return (
            torch.ones_like(variance_L) if self.config.scale == "mse" else latent_scale(variance_L)
        )

    def variances(self, state: State) -> dict[str, Tensor]:
        return {"fake": trace_variance(state["fake"])}

    def both(self, nets: Nets, part: Part, state: State) -> RoundOutput:
        """Algorithm 1: one forward of G and D serves both losses."""
        config = self.config
        z_NL = part.noise["z"]  # Alg. 1 l. 1
        scale_L = self.scale(state).to(z_NL)  # l. 2
        image_NCHW = nets.g(z_NL * scale_L)
        leaf_NCHW = cut(image_NCHW)
        fake = nets.d(leaf_NCHW)  # l. 3
        l_enc = encoder_loss(part, z_NL, fake.latent_BL, scale_L)  # l. 4
        real, r1 = judge_real(nets, part, config)  # l. 5
        l_adv_d, statistics = discriminator_loss(part, real, fake, r1, config.lambda_r1)
        l_d = l_adv_d + config.lambda_enc * l_enc  # l. 6
        l_g = part.mean(real_loss(fake.adversarial_B))  # l. 7: non-saturating
        if config.encoder_loss_to == "dg":
            l_g = l_g + config.lambda_enc * l_enc
        return RoundOutput(
            discriminator=l_d,
            generator=GeneratorLoss(l_g, image_NCHW, leaf_NCHW),
            statistics={
                **statistics,
                "d/fake": part.mean(fake.adversarial_B),
                "loss/enc": l_enc,
                "loss/d": l_d,
                "loss/g": l_g,
            },
            moments={"fake": square_moments(fake.latent_BL)},  # l. 8
        )

    def discriminator_first(self, nets: Nets, part: Part, state: State) -> RoundOutput:
        """First round of the author's 2024 schedule: G stands still.

        Like him we report the figures of generated images from the second round.
        """
        z_NL = part.noise["z"]
        scale_L = self.scale(state).to(z_NL)
        with torch.no_grad():
            image_NCHW = nets.g(z_NL * scale_L)
        fake = nets.d(image_NCHW)
        l_enc = encoder_loss(part, z_NL, fake.latent_BL, scale_L)
        real, r1 = judge_real(nets, part, self.config)
        l_adv_d, statistics = discriminator_loss(part, real, fake, r1, self.config.lambda_r1)
        l_d = l_adv_d + self.config.lambda_enc * l_enc
        return RoundOutput(
            discriminator=l_d,
            statistics={**statistics, "loss/d": l_d},
            moments={"fake": square_moments(fake.latent_BL)},
        )

    def generator_second(self, nets: Nets, part: Part, state: State) -> RoundOutput:
        """Second round: fresh codes through the discriminator that has just stepped."""
        z_NL = part.noise["z_generator"]
        scale_L = self.scale(state).to(z_NL)
        image_NCHW = nets.g(z_NL * scale_L)
        leaf_NCHW = cut(image_NCHW)
        fake = nets.d(leaf_NCHW)
        l_enc = encoder_loss(part, z_NL, fake.latent_BL, scale_L)
        l_g = part.mean(real_loss(fake.adversarial_B))
        if self.config.encoder_loss_to == "dg":
            l_g = l_g + self.config.lambda_enc * l_enc
        return RoundOutput(
            generator=GeneratorLoss(l_g, image_NCHW, leaf_NCHW),
            statistics={
                "d/fake": part.mean(fake.adversarial_B),
                "loss/enc": l_enc,
                "loss/g": l_g,
            },
            moments={"fake": square_moments(fake.latent_BL)},
        )
