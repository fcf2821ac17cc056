"""DEDGAN: J. Cho, "Inverting generator of GAN through direction embedding discriminator", Alg. 1.

    paper    here                    shape
    x        batch.real_NCHW         N × C × H × W
    z_s      latent.angles(z_NL)     N × L      L = 2^k − 1 angles, from z ~ N(0, I)
    z_c      target_NE               N × E      E = L + 1 = 2^k coordinates of length 1
    z′       softplus(head), embedding of an image, N × E; it is never computed itself
    z′_c     fake.latent_BL          N × E      its direction
    v_r v_g  −real.adversarial_B, −fake.adversarial_B     the log of its length
    λ_emb    config.lambda_emb

The discriminator lowers v on real images and raises it on generated ones; the generator lowers it.
So a = −v is an adversarial value in this project's sense, higher for real images, and `d/real` and
`d/fake` report it. f are those of NSGAN, with R1 on v_r; λ_r1 = 10 is that of the author's code for
DLSGAN of the same months, because the paper gives none. One forward pass of G and D serves both
losses, and both networks step from their old weights.

The head: a family's D has 1 + L outputs, its adversarial value and its code, each a linear function
of the same features. Together they are the E outputs that DEDGAN needs, in this order.

Numbers: D drives v_r down, and the squares of softplus(h) underflow in float32 below h = −44;
so all is computed from ln softplus(h). tan(arccos(c)) of float32 has a NaN for a gradient below
1e-4 rad; here it is the ratio of the embedding's parts perpendicular and parallel to z_c.

With labels, G sees the label's embedding beside n, and a = −v + yᵀ V φ(x): the projection moves the
logarithm of the length, and the direction stays that of the E coordinates.

R1 and R2 take the double backward, also where D is piecewise linear up to its head. The weight
gradient without it (`networks.piecewise`) saves passes because one direction, ∂a/∂h, serves the
loss and the penalty; here ∂v/∂h changes with h, the penalty adds a second direction, and the exact
gradient takes as many passes as the double backward does.

Shapes: N samples of the micro-batch, L angles, E coordinates, C × H × W image.
"""

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ganinv.codec import Codec
from ganinv.declarations import Highlight, Plot, Statistic
from ganinv.latents.hypersphere import Hypersphere
from ganinv.latents.labelled import Condition
from ganinv.networks.base import Judgement, LabelledJudgement
from ganinv.objectives.adversarial import PLOTS
from ganinv.objectives.augmented import AugmentedObjective, augmentation
from ganinv.objectives.base import Loss, MicroBatch, Nets, Round, RoundOutput, State, cut
from ganinv.objectives.conditional import STATISTICS as LABEL_STATISTICS
from ganinv.objectives.conditional import ConditionalObjective, classifier_loss, with_labels
from ganinv.objectives.losses import (
    LossConfig,
    augmentation_moments,
    judge_augmented,
    judge_generated,
    loss_of_discriminator,
    loss_of_generator,
)
from ganinv.objectives.traced_codec import EncoderInDiscriminator
from ganinv.schedules import Scheduled

Said = TypeVar("Said", Judgement, LabelledJudgement)

LINEAR_BELOW = -20.0  # there, ln softplus(h) = h − eʰ/2 is h up to 1e-9
ROUNDING = 1e-6  # rad; angles below it have no gradient, because float32 does not resolve them

EMBEDDING_STATISTICS = (
    Statistic("loss/emb", "", "Embedding loss: tangent of the angle between z_c and z′_c"),
    Statistic("angles/error_rad", "rad", "Mean error of the recovered angles of generated images"),
    Statistic(
        "angles/error_by_mass_rad", "rad",
        "The same, each angle weighted with the squared length of z_c below it",
    ),
)  # fmt: skip
EMBEDDING_PLOT = Plot(
    title="Embedding loss, L_emb",
    series={"loss/emb": ""},
    caption="The tangent of the angle between the code of a generated image and the direction of "
    "its embedding. Lower is better. The key figures say which value means no information.",
    from_zero=True,
)
ANGLES_PLOT = Plot(
    title="Errors of the recovered angles",
    series={"angles/error_rad": "all alike", "angles/error_by_mass_rad": "by mass"},
    caption="π/8 = 0.39 rad means no information. An angle far down in a small branch of the tree "
    "hardly moves the code; by mass, it counts as little as it moves it.",
    from_zero=True,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(LossConfig):
    """Options of DEDGAN.

    The paper trains with λ_emb = 1 at first, and with 10 "after some training" (§5.1). The recipes
    change at half of the run: `{kind: step, start: 1, factor: 10, every: IMAGES, end: 10}`.
    """

    name: str = "dedgan"
    lambda_emb: Scheduled = 1.0
    lambda_r1: Scheduled = 10.0  # without ½
    condition: Condition = field(default_factory=Condition)  # set by data.label


@dataclass(frozen=True, kw_only=True)
class DirectionInDiscriminator(EncoderInDiscriminator):
    """E(x) = Φ⁻¹((2/π) z_s) with z_s = cartesian_to_spherical(D(x) / ‖D(x)‖) (§2)."""

    sphere: Hypersphere

    def code_of(self, judged: Judgement) -> Tensor:
        return self.sphere.code(self.sphere.to_spherical(embedding(judged).latent_BL))


class Objective(AugmentedObjective, ConditionalObjective):
    """Algorithm 1 as one round of losses."""

    config: Config
    latent: Hypersphere
    optional_statistics = (*AugmentedObjective.optional_statistics, *LABEL_STATISTICS)
    plots = (PLOTS[0], PLOTS[1], EMBEDDING_PLOT, ANGLES_PLOT, PLOTS[2])

    def __init__(self, config: Config, latent_size: int) -> None:
        """Raises `ConfigError` for a latent size that is not 2^k − 1."""
        self.config = config
        self.latent = Hypersphere(latent_size)

    @property
    def statistics(self) -> tuple[Statistic, ...]:
        return (*self.config.statistics, *EMBEDDING_STATISTICS, *self.label_statistics)

    @property
    def rounds(self) -> tuple[Round, ...]:
        return (self.both,)

    def step_kind(self, images_seen: int, global_batch: int) -> Hashable:
        return self.config.step_kind(images_seen, global_batch)

    def codec(self, networks: Mapping[str, nn.Module], tensors: Mapping[str, Tensor]) -> Codec:
        del tensors
        held = {name: networks[name] for name in self.roles}
        return DirectionInDiscriminator(
            latent=self.latent_of_model, networks=held, sphere=self.latent
        )

    def highlights(self, state: State) -> tuple[Highlight, ...]:
        del state
        return (
            Highlight(
                label="Encoder loss without information",
                value=f"{self.latent.uninformed_error():.2f}",
                meaning=f"of an encoder that ignores the image, for {self.latent.size} angles",
            ),
        )

    def both(self, nets: Nets, batch: MicroBatch, state: State) -> RoundOutput:
        """Algorithm 1: one forward of G and D serves both losses."""
        weight = self.config.weights(batch.images_seen)
        z_NL = batch.noise["z"]  # Alg. 1 l. 1
        angle_NL = self.latent.angles(z_NL)
        target_NE = self.latent.to_cartesian(angle_NL)  # l. 2
        nets = with_labels({**nets, "d": _embedding_of(nets["d"])}, batch)
        image = cut("g", nets["g"](z_NL))
        augment = augmentation(self.config.augment, batch, state)
        # l. 3, 4 and 6
        fake = judge_generated(nets, batch, self.config, image.leaf, augment)
        real = judge_augmented(
            nets, batch, self.config, augment, encode=batch.label_NK is not None
        )  # l. 5
        l_emb = batch.mean(embedding_loss(target_NE, fake.latent_BL))  # l. 7
        l_adv_d, statistics = loss_of_discriminator(batch, self.config, real, fake, augment)
        l_d = l_adv_d + weight["emb"] * l_emb  # l. 8
        l_g = loss_of_generator(nets, batch, self.config, fake.adversarial_B, real.adversarial_B)
        l_g = l_g + weight["emb"] * l_emb  # l. 9
        classifier, of_labels = classifier_loss(nets, batch, real.feature_BF)
        return RoundOutput(
            losses={"d": Loss(l_d), "g": Loss(l_g, (image,)), **classifier},
            statistics={
                **statistics,
                **of_labels,
                "d/fake": batch.mean(fake.adversarial_B),
                "loss/emb": l_emb,
                "loss/d": l_d,
                "loss/g": l_g,
                **self._angle_errors(batch, angle_NL, fake.latent_BL.detach()),
            },
            moments=augmentation_moments(self.config, augment, real, fake),
        )

    def _angle_errors(
        self, batch: MicroBatch, angle_NL: Tensor, direction_NE: Tensor
    ) -> dict[str, Tensor]:
        error_NL = (self.latent.to_spherical(direction_NE) - angle_NL).abs()
        by_mass_NL = error_NL * self.latent.masses(angle_NL)
        return {
            "angles/error_rad": batch.mean(error_NL.mean(1)),
            "angles/error_by_mass_rad": batch.mean(by_mass_NL.sum(1) / self.latent.levels),
        }


def embedding(judgement: Said) -> Said:
    """What D's E outputs say: −v as the adversarial value, and the direction z′_c as the code.

    softplus makes all coordinates positive (§2), and gradients are finite for any output.
    """
    head_BE = torch.cat([judgement.adversarial_B[:, None], judgement.latent_BL], 1)
    log_BE = torch.where(
        head_BE < LINEAR_BELOW, head_BE, F.softplus(head_BE.clamp(min=LINEAR_BELOW)).log()
    )
    v_B = torch.logsumexp(2 * log_BE, 1) / 2
    return judgement._replace(adversarial_B=-v_B, latent_BL=(log_BE - v_B[:, None]).exp())


def embedding_loss(target_BE: Tensor, direction_BE: Tensor) -> Tensor:
    """L_emb = tan(arccos(z_c · z′_c)) per sample (Alg. 1 l. 7), for vectors of length 1.

    The angle itself, and the norm of its gradient, are right from 1e-5 rad on in float32.
    """
    parallel_B = (target_BE * direction_BE).sum(1)
    perpendicular_BE = direction_BE - parallel_B[:, None] * target_BE
    square_B = perpendicular_BE.square().sum(1) + (ROUNDING * parallel_B).square()
    return square_B.sqrt() / parallel_B


def _embedding_of(d: Callable[..., Any]) -> Callable[[Tensor], Any]:
    return lambda image_NCHW: embedding(d(image_NCHW))
