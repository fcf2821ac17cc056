"""LIA, first stage: a GAN whose mapper is the inverse of an invertible network.

Zhu et al., "Disentangled Inference for GANs with Latently Invertible Autoencoder", arXiv
1906.08090, §4.1, eq. 9 and 10. `lia.py` is the second stage, the encoder.

    paper    here              shape
    x        batch.real_NCHW   N × C × H × W
    z        batch.noise["z"]  N × L          drawn by the caller
    φ⁻¹, g   nets["g"]                        z → y → x̃ (`ganinv.networks.lia`)
    c        nets["d"]                        higher means more real
    γ / 2    config.lambda_r1

The paper writes eq. 8 for the Wasserstein GAN; the authors' code has the non-saturating loss, and
so has this file: L_d = softplus(D(x̃)) + softplus(−D(x)) + (γ/2) ‖∇D(x)‖², L_g = softplus(−D(x̃)).
As in the code, D steps first and G follows with fresh codes (`sequential`); `simultaneous` takes
both gradients from one forward pass. Left out of the code: noise, minibatch standard deviation,
progressive growing, style mixing.

Shapes: N samples of the micro-batch, B samples, L latent elements, C × H × W image.
"""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ganinv.codec import Codec
from ganinv.declarations import Plot, Statistic
from ganinv.draws import Draws
from ganinv.latents.base import Latent
from ganinv.latents.normal import StandardNormal
from ganinv.latents.spaces import Space, style_spaces
from ganinv.objectives.adversarial import PLOTS
from ganinv.objectives.augmented import AugmentedObjective, augmentation
from ganinv.objectives.base import Loss, MicroBatch, Nets, Role, Round, RoundOutput, State, cut
from ganinv.objectives.losses import (
    LossConfig,
    augmentation_moments,
    judge_augmented,
    judge_generated,
    loss_of_discriminator,
    loss_of_generator,
)

FAMILY = "lia"  # the network family, where none is named


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(LossConfig):
    """Options of LIA's first stage; λ_r1 = 5 is the paper's γ = 10."""

    name: str = "lia_generator"
    schedule: Literal["sequential", "simultaneous"] = "sequential"


@dataclass(frozen=True, kw_only=True)
class Generating(Codec):
    """Images are g(φ⁻¹(z)). Styles have codes if the mapper is invertible."""

    def decode(self, code_BL: Tensor) -> Tensor:
        image_BCHW: Tensor = self.networks["g"](code_BL)
        return image_BCHW

    @property
    def spaces(self) -> Mapping[str, Space]:
        generator: Any = self.networks["g"]
        styles = style_spaces(generator, lambda code_BL: code_BL)
        if getattr(generator, "invertible", False):
            styles["y"] = replace(styles["y"], to_code=generator.code)
        return {**super().spaces, **styles}


class Objective(AugmentedObjective):
    """The first stage as rounds of losses."""

    config: Config
    plots: tuple[Plot, ...] = PLOTS

    def __init__(self, config: Config, latent_size: int) -> None:
        self.config = config
        self.latent: Latent = StandardNormal(latent_size)

    @property
    def roles(self) -> Mapping[str, Role]:
        """D has no average: the second stage goes on from its current weights."""
        return {
            "g": Role(title="generator"),
            "d": Role(title="discriminator", averaged=False, exported=False),
        }

    @property
    def statistics(self) -> tuple[Statistic, ...]:
        return self.config.statistics

    @property
    def noise(self) -> Mapping[str, Draws]:
        names = ("z",) if self.config.schedule == "simultaneous" else ("z", "z_generator")
        return {**super().noise, **dict.fromkeys(names, self.latent)}

    @property
    def rounds(self) -> tuple[Round, ...]:
        if self.config.schedule == "simultaneous":
            return (self.both,)
        return (self.discriminator_first, self.generator_second)

    def step_kind(self, images_seen: int, global_batch: int) -> Hashable:
        return self.config.step_kind(images_seen, global_batch)

    def codec(self, networks: Mapping[str, nn.Module], tensors: Mapping[str, Tensor]) -> Codec:
        del tensors
        return Generating(latent=self.latent, networks={"g": networks["g"]})

    def both(self, nets: Nets, batch: MicroBatch, state: State) -> RoundOutput:
        """Eq. 9 and 10 with one forward pass of G and D for both losses."""
        augment = augmentation(self.config.augment, batch, state)
        image = cut("g", nets["g"](batch.noise["z"]))
        fake = judge_generated(nets, batch, self.config, image.leaf, augment, encode=False)
        real = judge_augmented(nets, batch, self.config, augment)
        l_d, statistics = loss_of_discriminator(batch, self.config, real, fake, augment)
        l_g = loss_of_generator(nets, batch, self.config, fake.adversarial_B, real.adversarial_B)
        d_fake = batch.mean(fake.adversarial_B)
        return RoundOutput(
            losses={"d": Loss(l_d), "g": Loss(l_g, (image,))},
            statistics={**statistics, "d/fake": d_fake, "loss/d": l_d, "loss/g": l_g},
            moments=augmentation_moments(self.config, augment, real, fake),
        )

    def discriminator_first(self, nets: Nets, batch: MicroBatch, state: State) -> RoundOutput:
        augment = augmentation(self.config.augment, batch, state)
        with torch.no_grad():
            image_NCHW = nets["g"](batch.noise["z"])
        fake = judge_generated(nets, batch, self.config, image_NCHW, augment, encode=False)
        real = judge_augmented(nets, batch, self.config, augment)
        l_d, statistics = loss_of_discriminator(batch, self.config, real, fake, augment)
        return RoundOutput(
            losses={"d": Loss(l_d)},
            statistics={**statistics, "loss/d": l_d},
            moments=augmentation_moments(self.config, augment, real, fake),
        )

    def generator_second(self, nets: Nets, batch: MicroBatch, state: State) -> RoundOutput:
        """Fresh codes, and the discriminator that has just stepped."""
        augment = augmentation(self.config.augment, batch, state)
        image = cut("g", nets["g"](batch.noise["z_generator"]))
        adversarial_N = judge_generated(
            nets, batch, self.config, image.leaf, augment, encode=False, penalise=False
        ).adversarial_B
        l_g = loss_of_generator(nets, batch, self.config, adversarial_N, augmentation=augment)
        return RoundOutput(
            losses={"g": Loss(l_g, (image,))},
            statistics={"d/fake": batch.mean(adversarial_N), "loss/g": l_g},
        )
