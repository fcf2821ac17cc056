"""DLSGAN: J. Cho, "Dynamic Latent Scale GAN", Algorithm 1.

    paper   here                shape
    x       batch.real_NCHW     N × C × H × W
    z       batch.noise["z"]    N × L      drawn by the caller
    s       scale_L             L          from v by `latent_scale`
    v       state["fake"]       L          traced variance of z′ (or K × L, a window)
    a_g z′  fake.adversarial_B, fake.latent_BL
    a_r     real.adversarial_B
    λ_enc   config.lambda_enc

The encoder is part of D. Variants of the paper's figures 1–11: scale `dls` | `mse` (s = 1), encoder
loss in the loss of D only (`d`) or of both networks (`dg`). The author's later code steps D first
and G second with fresh codes (`schedule: sequential`); the paper's one forward serves both losses
and both networks step from the old weights (`simultaneous`).

Shapes: N samples of the micro-batch, L latent elements, C × H × W image.
"""

from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from ganinv.latent_scale import TraceConfig
from ganinv.latents.labelled import Condition
from ganinv.objectives.augmented import AugmentedObjective, augmentation
from ganinv.objectives.base import Loss, MicroBatch, Nets, Round, RoundOutput, State, cut
from ganinv.objectives.conditional import STATISTICS as LABEL_STATISTICS
from ganinv.objectives.conditional import classifier_loss, with_labels
from ganinv.objectives.latent import encoder_loss, square_moments
from ganinv.objectives.losses import (
    LossConfig,
    augmentation_moments,
    judge_augmented,
    judge_generated,
    loss_of_discriminator,
    loss_of_generator,
)
from ganinv.objectives.traced import TracedObjective
from ganinv.schedules import Scheduled


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(LossConfig):
    """Options of DLSGAN; the defaults are the PVDGAN paper's, which compares both methods."""

    name: str = "dlsgan"
    scale: Literal["dls", "mse"] = "dls"
    encoder_loss_to: Literal["d", "dg"] = "dg"
    lambda_enc: Scheduled = 1.0
    schedule: Literal["simultaneous", "sequential"] = "simultaneous"
    trace: TraceConfig = field(default_factory=TraceConfig)
    condition: Condition = field(default_factory=Condition)  # set by data.label


class Objective(AugmentedObjective, TracedObjective):
    """Algorithm 1 as rounds of losses."""

    config: Config
    optional_statistics = (*AugmentedObjective.optional_statistics, *LABEL_STATISTICS)

    @property
    def rounds(self) -> tuple[Round, ...]:
        if self.config.schedule == "simultaneous":
            return (self.both,)
        return (self.discriminator_first, self.generator_second)

    def scale(self, state: State) -> Tensor:
        scale_L = super().scale(state)
        return torch.ones_like(scale_L) if self.config.scale == "mse" else scale_L

    def both(self, nets: Nets, batch: MicroBatch, state: State) -> RoundOutput:
        """Algorithm 1: one forward of G and D serves both losses."""
        weight = self.config.weights(batch.images_seen)
        nets = with_labels(nets, batch)
        z_NL = batch.noise["z"]  # Alg. 1 l. 1
        scale_L = self.scale(state).to(z_NL)  # l. 2
        augment = augmentation(self.config.augment, batch, state)
        image = cut("g", nets["g"](z_NL * scale_L))
        fake = judge_generated(nets, batch, self.config, image.leaf, augment)  # l. 3
        l_enc = encoder_loss(batch, z_NL, fake.latent_BL, scale_L)  # l. 4
        real = judge_augmented(
            nets, batch, self.config, augment, encode=batch.label_NK is not None
        )  # l. 5
        l_adv_d, statistics = loss_of_discriminator(batch, self.config, real, fake, augment)
        l_d = l_adv_d + weight["enc"] * l_enc  # l. 6
        # l. 7: non-saturating in the paper
        l_g = loss_of_generator(nets, batch, self.config, fake.adversarial_B, real.adversarial_B)
        if self.config.encoder_loss_to == "dg":
            l_g = l_g + weight["enc"] * l_enc
        classifier, of_labels = classifier_loss(nets, batch, real.feature_BF)
        return RoundOutput(
            losses={"d": Loss(l_d), "g": Loss(l_g, (image,)), **classifier},
            statistics={
                **statistics,
                **of_labels,
                "d/fake": batch.mean(fake.adversarial_B),
                "loss/enc": l_enc,
                "loss/d": l_d,
                "loss/g": l_g,
            },
            moments={
                "fake": square_moments(fake.latent_BL),  # l. 8
                **augmentation_moments(self.config, augment, real, fake),
            },
        )

    def discriminator_first(self, nets: Nets, batch: MicroBatch, state: State) -> RoundOutput:
        """First round of the author's 2024 schedule: G does not step.

        As in his code, the statistics of generated images come from the second round.
        """
        weight = self.config.weights(batch.images_seen)
        nets = with_labels(nets, batch)
        z_NL = batch.noise["z"]
        scale_L = self.scale(state).to(z_NL)
        augment = augmentation(self.config.augment, batch, state)
        with torch.no_grad():
            image_NCHW = nets["g"](z_NL * scale_L)
        fake = judge_generated(nets, batch, self.config, image_NCHW, augment)
        l_enc = encoder_loss(batch, z_NL, fake.latent_BL, scale_L)
        real = judge_augmented(nets, batch, self.config, augment, encode=batch.label_NK is not None)
        l_adv_d, statistics = loss_of_discriminator(batch, self.config, real, fake, augment)
        l_d = l_adv_d + weight["enc"] * l_enc
        classifier, of_labels = classifier_loss(nets, batch, real.feature_BF)
        return RoundOutput(
            losses={"d": Loss(l_d), **classifier},
            statistics={**statistics, **of_labels, "loss/d": l_d},
            moments={
                "fake": square_moments(fake.latent_BL),
                **augmentation_moments(self.config, augment, real, fake),
            },
        )

    def generator_second(self, nets: Nets, batch: MicroBatch, state: State) -> RoundOutput:
        """Second round: fresh codes through the discriminator that has just stepped."""
        nets = with_labels(nets, batch)
        z_NL = batch.noise["z_generator"]
        scale_L = self.scale(state).to(z_NL)
        image = cut("g", nets["g"](z_NL * scale_L))
        augment = augmentation(self.config.augment, batch, state)
        fake = judge_generated(nets, batch, self.config, image.leaf, augment, penalise=False)
        l_enc = encoder_loss(batch, z_NL, fake.latent_BL, scale_L)
        l_g = loss_of_generator(nets, batch, self.config, fake.adversarial_B, augmentation=augment)
        if self.config.encoder_loss_to == "dg":
            l_g = l_g + self.config.weights(batch.images_seen)["enc"] * l_enc
        return RoundOutput(
            losses={"g": Loss(l_g, (image,))},
            statistics={
                "d/fake": batch.mean(fake.adversarial_B),
                "loss/enc": l_enc,
                "loss/g": l_g,
            },
            moments={"fake": square_moments(fake.latent_BL)},
        )
