"""PVDGAN: J. Cho, "Efficient Integration of Perceptual VAE Into Dynamic Latent Scale GAN", Alg. 1.

    paper     here                  shape
    x         batch.real_NCHW       N × C × H × W
    b         batch.global_batch    the split in halves is by slots of the *global* batch
    s         scale_L               L          from v_f (eq. 1)
    v_r v_f   state["real"], ["fake"]   L      traced variances of z_r and z′
    a_r z_r y_r   real              adversarial value, code and feature of real images
    a_f z′ y′_r   fake              the same of generated images
    d_f       feature_BF.shape[1]   l. 7 of the paper prints d_z; eq. 6 has d_f, which we follow

Line 4 lost its first half in print; the text restores it: the codes of the last b/2 samples are
nograd(z_r[b/2:]) + N(0, I) ∘ √max(1 − v_r, 0).

The author's 2024 code differs; `schedule: sequential, share_trace: true, vae_half: first` selects
it: D steps first on prior samples alone, then G on reconstructions and fresh prior
samples; only prior samples count for G's encoder loss and for the trace; one trace serves as v_f
and v_r. Real codes and features are those of D before its step.

Shapes: N samples of the micro-batch, L latent elements, F features.
"""

from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from ganinv.declarations import Plot, Statistic
from ganinv.errors import ConfigError
from ganinv.latent_scale import TraceConfig, checked_initial, trace_variance
from ganinv.latents.labelled import Condition
from ganinv.objectives.augmented import AugmentedObjective, augmentation
from ganinv.objectives.base import (
    Loss,
    MicroBatch,
    Moments,
    Nets,
    Round,
    RoundOutput,
    State,
    cut,
)
from ganinv.objectives.conditional import STATISTICS as LABEL_STATISTICS
from ganinv.objectives.conditional import classifier_loss, with_labels
from ganinv.objectives.latent import encoder_loss, square_moments
from ganinv.objectives.losses import (
    GeneratedImages,
    LossConfig,
    augmentation_moments,
    judge_augmented,
    judge_generated,
    loss_of_discriminator,
    loss_of_generator,
)
from ganinv.objectives.traced import TracedObjective
from ganinv.schedules import Scheduled

HALF = 0.5  # share of the global batch that holds VAE samples
RECONSTRUCTION_STATISTIC = Statistic(
    "loss/rec", "", "Perceptual reconstruction loss of the VAE half (PVDGAN)"
)
RECONSTRUCTION_PLOT = Plot(
    title="Error of features, L_rec",
    series={"loss/rec": ""},
    caption="The distance of a real image from its reconstruction in the features of the "
    "discriminator. The features change in training too, so this need not fall.",
    from_zero=True,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(LossConfig):
    """Options of PVDGAN; the defaults are the paper's (§3)."""

    name: str = "pvdgan"
    lambda_enc: Scheduled = 1.0
    lambda_rec: Scheduled = 1.0
    schedule: Literal["simultaneous", "sequential"] = "simultaneous"
    share_trace: bool = False  # True: v_f serves as v_r too (author's code)
    vae_half: Literal["first", "last"] = "last"  # which half of the global batch is reconstructed
    trace: TraceConfig = field(default_factory=TraceConfig)
    condition: Condition = field(default_factory=Condition)  # set by data.label
    reconstruct: Literal["features", "pixels"] = "features"  # pixels: a plain VAE loss, to compare
    # Of the relativistic loss: the image that a reconstruction is judged against, its own or
    # another one. Not in the papers. See `Objective.partners`.
    pairing: Literal["reconstruction", "shuffled"] = "reconstruction"
    # The paper gives no value; docs/results/trace-start.md compares four.
    initial_real: float | None = None  # v_r before the first step; None: `trace.initial`

    def __post_init__(self) -> None:
        LossConfig.__post_init__(self)
        if self.pairing == "shuffled" and self.adversarial != "relativistic":
            raise ConfigError(
                f"pairing = {self.pairing}: only the relativistic loss has pairs; also give "
                "adversarial=relativistic, or leave it out"
            )
        if self.initial_real is None:
            return
        checked_initial(self.initial_real, "initial_real")
        if self.share_trace:
            raise ConfigError(
                f"initial_real = {self.initial_real}: share_trace = True has one trace for v_f and "
                "v_r; give trace.initial in its place"
            )


class Objective(AugmentedObjective, TracedObjective):
    """Algorithm 1 as rounds of losses."""

    config: Config
    optional_statistics = (*AugmentedObjective.optional_statistics, *LABEL_STATISTICS)
    plots = (*TracedObjective.plots[:3], RECONSTRUCTION_PLOT, *TracedObjective.plots[3:])

    def __init__(self, config: Config, latent_size: int) -> None:
        super().__init__(config, latent_size)
        self.traces = ("fake",) if config.share_trace else ("fake", "real")

    @property
    def statistics(self) -> tuple[Statistic, ...]:
        return (*super().statistics, RECONSTRUCTION_STATISTIC)

    @property
    def rounds(self) -> tuple[Round, ...]:
        if self.config.schedule == "simultaneous":
            return (self.both,)
        return (self.discriminator_first, self.generator_second)

    def new_state(self, global_batch: int) -> dict[str, Tensor]:
        if global_batch % 2:
            raise ConfigError(
                f"train.global_batch = {global_batch}: PVDGAN reconstructs half of every batch, so "
                f"it must be even; choose {global_batch + 1}"
            )
        return super().new_state(global_batch)

    def check_micro_batch(self, images: int) -> None:
        if self.config.pairing == "shuffled" and images == 1:
            raise ConfigError(
                "objective.pairing = shuffled: a micro-batch of one image has no other image; "
                "choose a train.micro_batch of at least 2, or fewer workers"
            )

    def initial(self, trace: str) -> float | None:
        return self.config.initial_real if trace == "real" else None

    def both(self, nets: Nets, batch: MicroBatch, state: State) -> RoundOutput:
        """Algorithm 1: one forward of G and D serves all losses."""
        weight = self.config.weights(batch.images_seen)
        nets, vae_N = with_labels(nets, batch), self.vae_samples(batch)
        scale_L = self.scale(state).to(batch.noise["z"])  # Alg. 1 l. 2
        augment = augmentation(self.config.augment, batch, state)
        real = judge_augmented(nets, batch, self.config, augment, encode=True)  # l. 3
        z_NL = self.codes(batch.noise["z"], real.latent_BL, vae_N, state)  # l. 4
        image = cut("g", nets["g"](z_NL * scale_L))
        fake = judge_generated(nets, batch, self.config, image.leaf, augment)  # l. 5
        l_enc = encoder_loss(batch, z_NL, fake.latent_BL, scale_L)  # l. 6
        l_rec = self.reconstruction(batch, real.feature_BF, fake.feature_BF, image.leaf, vae_N)
        fake = self.partners(fake)
        l_adv_d, statistics = loss_of_discriminator(batch, self.config, real, fake, augment)
        l_d = l_adv_d + weight["enc"] * l_enc  # l. 8
        l_g = loss_of_generator(  # l. 9
            nets, batch, self.config, fake.adversarial_B, real.adversarial_B
        )
        l_g = l_g + weight["enc"] * l_enc + weight["rec"] * l_rec
        classifier, of_labels = classifier_loss(nets, batch, real.feature_BF)
        return RoundOutput(
            losses={"d": Loss(l_d), "g": Loss(l_g, (image,)), **classifier},
            statistics={
                **statistics,
                **of_labels,
                "d/fake": batch.mean(fake.adversarial_B),
                "loss/d": l_d,
                "loss/g": l_g,
                "loss/enc": l_enc,
                "loss/rec": l_rec,
            },
            moments={
                **self.moments(square_moments(fake.latent_BL), real.latent_BL),  # l. 10–11
                **augmentation_moments(self.config, augment, real, fake),
            },
        )

    def discriminator_first(self, nets: Nets, batch: MicroBatch, state: State) -> RoundOutput:
        """First round of the author's 2024 schedule: prior samples alone, G does not step.

        As in his code, the statistics of generated images come from the second round.
        """
        weight = self.config.weights(batch.images_seen)
        nets = with_labels(nets, batch)
        z_NL = batch.noise["z"]
        scale_L = self.scale(state).to(z_NL)
        with torch.no_grad():
            image_NCHW = nets["g"](z_NL * scale_L)
        augment = augmentation(self.config.augment, batch, state)
        fake = judge_generated(nets, batch, self.config, image_NCHW, augment)
        real = judge_augmented(nets, batch, self.config, augment, encode=True)
        batch.carry.update(latent=real.latent_BL, feature=real.feature_BF)
        l_enc = encoder_loss(batch, z_NL, fake.latent_BL, scale_L)
        l_adv_d, statistics = loss_of_discriminator(batch, self.config, real, fake, augment)
        l_d = l_adv_d + weight["enc"] * l_enc
        classifier, of_labels = classifier_loss(nets, batch, real.feature_BF)
        return RoundOutput(
            losses={"d": Loss(l_d), **classifier},
            statistics={**statistics, **of_labels, "loss/d": l_d},
            moments={
                **self.moments(square_moments(fake.latent_BL), real.latent_BL),
                **augmentation_moments(self.config, augment, real, fake),
            },
        )

    def generator_second(self, nets: Nets, batch: MicroBatch, state: State) -> RoundOutput:
        """Second round: reconstructions and fresh prior samples through the new discriminator."""
        weight = self.config.weights(batch.images_seen)
        nets, vae_N = with_labels(nets, batch), self.vae_samples(batch)
        noise_NL = batch.noise["z_generator"]
        scale_L = self.scale(state).to(noise_NL)
        z_NL = self.codes(noise_NL, batch.carry["latent"], vae_N, state)
        image = cut("g", nets["g"](z_NL * scale_L))
        augment = augmentation(self.config.augment, batch, state)
        fake = self.partners(
            judge_generated(nets, batch, self.config, image.leaf, augment, penalise=False)
        )
        error_N = ((z_NL - fake.latent_BL).square() * scale_L.square()).mean(1)
        l_enc = batch.mean(error_N, ~vae_N, HALF)
        feature_BF = batch.carry["feature"]
        l_rec = self.reconstruction(batch, feature_BF, fake.feature_BF, image.leaf, vae_N)
        l_g = loss_of_generator(nets, batch, self.config, fake.adversarial_B, augmentation=augment)
        l_g = l_g + weight["enc"] * l_enc + weight["rec"] * l_rec
        return RoundOutput(
            losses={"g": Loss(l_g, (image,))},
            statistics={
                "d/fake": batch.mean(fake.adversarial_B),
                "loss/g": l_g,
                "loss/enc": l_enc,
                "loss/rec": l_rec,
            },
            moments={"fake": square_moments(fake.latent_BL, ~vae_N)},
        )

    def vae_samples(self, batch: MicroBatch) -> Tensor:
        """Which samples are reconstructed: by slot of the global batch, bool N."""
        in_last_half_N = batch.slots_N >= batch.global_batch // 2
        return in_last_half_N if self.config.vae_half == "last" else ~in_last_half_N

    def partners(self, fake: GeneratedImages) -> GeneratedImages:
        """The adversarial values in the order of the real images that they are judged against.

        With `pairing: shuffled` each image of the micro-batch gets the generated one before its own
        place, so that results depend on the division into micro-batches.
        """
        if self.config.pairing == "reconstruction":
            return fake
        self.check_micro_batch(len(fake.adversarial_B))
        return fake._replace(adversarial_B=fake.adversarial_B.roll(1))

    def codes(self, noise_NL: Tensor, latent_NL: Tensor, vae_N: Tensor, state: State) -> Tensor:
        """Prior codes, and for VAE samples nograd(z_r) + noise ∘ √max(1 − v_r, 0) (eq. 4)."""
        variance_L = trace_variance(state.get("real", state["fake"]))
        spread_L = (1 - variance_L).clamp(min=0).sqrt().to(noise_NL)
        return torch.where(vae_N[:, None], latent_NL.detach() + noise_NL * spread_L, noise_NL)

    def reconstruction(
        self, batch: MicroBatch, real_NF: Tensor, fake_NF: Tensor, image_NCHW: Tensor, vae_N: Tensor
    ) -> Tensor:
        """L_rec (l. 7), of the features of D or of pixels."""
        if self.config.reconstruct == "pixels":
            real_NF, fake_NF = batch.real_NCHW.flatten(1), image_NCHW.flatten(1)
        return reconstruction_loss(batch, real_NF, fake_NF, vae_N)

    def moments(self, fake: Tensor, real_latent_NL: Tensor) -> Moments:
        if self.config.share_trace:
            return {"fake": fake}
        return {"fake": fake, "real": square_moments(real_latent_NL)}


def reconstruction_loss(
    batch: MicroBatch, real_NF: Tensor, fake_NF: Tensor, vae_N: Tensor
) -> Tensor:
    """L_rec = ‖y_r − y′_r‖² / (b/2 × d_f) over the VAE samples, y_r without gradient (eq. 5–6)."""
    distance_N = (real_NF.detach() - fake_NF).square().mean(1)
    return batch.mean(distance_N, vae_N, HALF)
