"""PVDGAN: J. Cho, "Efficient Integration of Perceptual VAE Into Dynamic Latent Scale GAN", Alg. 1.

    paper     here                  shape
    x         part.real_NCHW        N × C × H × W
    b         part.global_batch     the split in halves is by slots of the *global* batch
    s         scale_L               L          from v_f (eq. 1)
    v_r v_f   state["real"], ["fake"]   L      traced variances of z_r and z′
    a_r z_r y_r   real              adversarial value, code and feature of real images
    a_f z′ y′_r   fake              the same of generated images
    d_f       feature_BF.shape[1]   l. 7 of the paper prints d_z; eq. 6 has d_f, which we follow

Line 4 lost its first half in print; the text restores it: the codes of the last b/2 samples are
nograd(z_r[b/2:]) + N(0, I) ∘ √max(1 − v_r, 0).

The author's 2024 code differs, and is had by `schedule: sequential, share_trace: true,
vae_half: first`: D steps first on prior samples alone, then G on reconstructions and fresh prior
samples; only prior samples count for G's encoder loss and for the trace; one trace serves as v_f
and v_r. Real codes and features are those of D before its step.

Shapes: N samples of the part, L latent elements, F features.
"""

from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from ganinv.errors import ConfigError
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

HALF = 0.5  # share of the global batch that holds VAE samples


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(AdversarialConfig):
    """PVDGAN's knobs; the defaults are the paper's (§3)."""

    name: str = "pvdgan"
    lambda_enc: float = 1.0
    lambda_rec: float = 1.0
    schedule: Literal["simultaneous", "sequential"] = "simultaneous"
    share_trace: bool = False  # True: v_f serves as v_r too (author's code)
    vae_half: Literal["first", "last"] = "last"  # which half of the global batch is reconstructed
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
        return ("loss/d", "loss/g", "loss/enc", "loss/rec", "loss/r1", "d/real", "d/fake")

    @property
    def rounds(self) -> tuple[Round, ...]:
        if self.config.schedule == "simultaneous":
            return (self.both,)
        return (self.discriminator_first, self.generator_second)

    def new_state(self, latent_size: int, global_batch: int) -> dict[str, Tensor]:
        if global_batch % 2:
            raise ConfigError(
                f"train.global_batch = {global_batch}: PVDGAN reconstructs half of every batch, so "
                f"it must be even; choose {global_batch + 1}"
            )
        names = ("fake",) if self.config.share_trace else ("fake", "real")
        return {n: new_trace(self.config.trace, latent_size, global_batch) for n in names}

    def next_state(self, state: State, moments: Moments) -> dict[str, Tensor]:
        return {  # l. 10–11
            name: update_trace(self.config.trace, trace, mean_square(moments[name]))
            for name, trace in state.items()
        }

    def scale(self, state: State) -> Tensor:
        return latent_scale(trace_variance(state["fake"]))

    def variances(self, state: State) -> dict[str, Tensor]:
        return {name: trace_variance(trace) for name, trace in state.items()}

    def both(self, nets: Nets, part: Part, state: State) -> RoundOutput:
        """Algorithm 1: one forward of G and D serves all losses."""
        config = self.config
        vae_N = self.vae_samples(part)
        scale_L = self.scale(state).to(part.noise["z"])  # Alg. 1 l. 2
        real, r1 = judge_real(nets, part, config)  # l. 3
        z_NL = self.codes(part.noise["z"], real.latent_BL, vae_N, state)  # l. 4
        image_NCHW = nets.g(z_NL * scale_L)
        leaf_NCHW = cut(image_NCHW)
        fake = nets.d(leaf_NCHW)  # l. 5
        l_enc = encoder_loss(part, z_NL, fake.latent_BL, scale_L)  # l. 6
        l_rec = reconstruction_loss(part, real.feature_BF, fake.feature_BF, vae_N)  # l. 7
        l_adv_d, statistics = discriminator_loss(part, real, fake, r1, config.lambda_r1)
        l_d = l_adv_d + config.lambda_enc * l_enc  # l. 8
        l_g = part.mean(real_loss(fake.adversarial_B))  # l. 9
        l_g = l_g + config.lambda_enc * l_enc + config.lambda_rec * l_rec
        return RoundOutput(
            discriminator=l_d,
            generator=GeneratorLoss(l_g, image_NCHW, leaf_NCHW),
            statistics={
                **statistics,
                "d/fake": part.mean(fake.adversarial_B),
                "loss/d": l_d,
                "loss/g": l_g,
                "loss/enc": l_enc,
                "loss/rec": l_rec,
            },
            moments=self.moments(square_moments(fake.latent_BL), real.latent_BL),  # l. 10–11
        )

    def discriminator_first(self, nets: Nets, part: Part, state: State) -> RoundOutput:
        """First round of the author's 2024 schedule: prior samples alone, G stands still.

        Like him we report the figures of generated images from the second round.
        """
        z_NL = part.noise["z"]
        scale_L = self.scale(state).to(z_NL)
        with torch.no_grad():
            image_NCHW = nets.g(z_NL * scale_L)
        fake = nets.d(image_NCHW)
        real, r1 = judge_real(nets, part, self.config)
        part.carry.update(latent=real.latent_BL.detach(), feature=real.feature_BF.detach())
        l_enc = encoder_loss(part, z_NL, fake.latent_BL, scale_L)
        l_adv_d, statistics = discriminator_loss(part, real, fake, r1, self.config.lambda_r1)
        l_d = l_adv_d + self.config.lambda_enc * l_enc
        return RoundOutput(
            discriminator=l_d,
            statistics={**statistics, "loss/d": l_d},
            moments=self.moments(square_moments(fake.latent_BL), real.latent_BL),
        )

    def generator_second(self, nets: Nets, part: Part, state: State) -> RoundOutput:
        """Second round: reconstructions and fresh prior samples through the new discriminator."""
        vae_N = self.vae_samples(part)
        noise_NL = part.noise["z_generator"]
        scale_L = self.scale(state).to(noise_NL)
        z_NL = self.codes(noise_NL, part.carry["latent"], vae_N, state)
        image_NCHW = nets.g(z_NL * scale_L)
        leaf_NCHW = cut(image_NCHW)
        fake = nets.d(leaf_NCHW)
        error_N = ((z_NL - fake.latent_BL).square() * scale_L.square()).mean(1)
        l_enc = part.mean(error_N, ~vae_N, HALF)
        l_rec = reconstruction_loss(part, part.carry["feature"], fake.feature_BF, vae_N)
        l_g = part.mean(real_loss(fake.adversarial_B))
        l_g = l_g + self.config.lambda_enc * l_enc + self.config.lambda_rec * l_rec
        return RoundOutput(
            generator=GeneratorLoss(l_g, image_NCHW, leaf_NCHW),
            statistics={
                "d/fake": part.mean(fake.adversarial_B),
                "loss/g": l_g,
                "loss/enc": l_enc,
                "loss/rec": l_rec,
            },
            moments={"fake": square_moments(fake.latent_BL, ~vae_N)},
        )

    def vae_samples(self, part: Part) -> Tensor:
        """Which samples of the part are reconstructed: by slot of the global batch, bool N."""
        in_last_half_N = part.slots_N >= part.global_batch // 2
        return in_last_half_N if self.config.vae_half == "last" else ~in_last_half_N

    def codes(self, noise_NL: Tensor, latent_NL: Tensor, vae_N: Tensor, state: State) -> Tensor:
        """Prior codes, and for VAE samples nograd(z_r) + noise ∘ √max(1 − v_r, 0) (eq. 4)."""
        variance_L = trace_variance(state.get("real", state["fake"]))
        spread_L = (1 - variance_L).clamp(min=0).sqrt().to(noise_NL)
        return torch.where(vae_N[:, None], latent_NL.detach() + noise_NL * spread_L, noise_NL)

    def moments(self, fake: Tensor, real_latent_NL: Tensor) -> Moments:
        if self.config.share_trace:
            return {"fake": fake}
        return {"fake": fake, "real": square_moments(real_latent_NL)}


def reconstruction_loss(part: Part, real_NF: Tensor, fake_NF: Tensor, vae_N: Tensor) -> Tensor:
    """L_rec = ‖y_r − y′_r‖² / (b/2 × d_f) over the VAE samples, y_r without gradient (eq. 5–6)."""
    distance_N = (real_NF.detach() - fake_NF).square().mean(1)
    return part.mean(distance_N, vae_N, HALF)
