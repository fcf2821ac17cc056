"""Adversarial losses by options: non-saturating or relativistic, with penalties R1 and R2.

For methods whose D gives one value a for an image (and its code). Real images x_i and generated
ones G(z_i) of a global batch are pairs by their index i.

                     L_D                                    L_G
    nonsaturating    softplus(−a(x)) + softplus(a(G(z)))    softplus(−a(G(z)))
    relativistic     softplus(−Δ)                           softplus(Δ),  Δ = a(x) − a(G(z))

Relativistic pairing: Jolicoeur-Martineau (2019), arXiv 1807.00734, as R3GAN takes it up (Huang et
al. 2024, arXiv 2501.05441), which adds (γ/2) E‖∇a‖² at real images (R1) and at generated ones
(R2). Here penalties are **without ½**: λ_r1 = λ_r2 = γ/2. a(x) is a constant in L_G.

D may judge augmented images T(x) and T(G(z)) (`ganinv.augmentation`). Codes and features then come
from a second pass, without T. Penalties are on the slope of a where D sees an image, ∇a(T(x)): T is
no part of it. (The codes of ADA and R3GAN take the slope ∇ₓ a(T(x)), which contrast, saturation and
scale of T make larger or smaller; their papers leave it open.)

In piecewise linear networks, ã(2κ u, 0) of `networks.piecewise` gives the weight gradient of R2
alone; the pass that gave a(G(z)) keeps its graph for the other losses.

Shapes: N samples of the micro-batch, L latent elements, F features, C × H × W image.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.autograd.profiler import record_function

from ganinv.augmentation.options import AugmentConfig
from ganinv.declarations import Statistic
from ganinv.networks.base import Judgement
from ganinv.networks.piecewise import Recording, replay
from ganinv.objectives.adversarial import (
    R2_STATISTIC,
    STATISTICS,
    AdversarialConfig,
    RealImages,
    fake_loss,
    gradient_penalty,
    judge_real,
    real_loss,
)
from ganinv.objectives.augmented import STATISTICS as AUGMENTATION_STATISTICS
from ganinv.objectives.augmented import Augmentation
from ganinv.objectives.base import MicroBatch, Moments, Nets
from ganinv.schedules import Scheduled, extremes


@dataclass(frozen=True, kw_only=True, slots=True)
class LossConfig(AdversarialConfig):
    """Options of every method whose D gives one value an image; the defaults are the papers'.

    `r1_every` holds for both penalties.
    """

    adversarial: Literal["nonsaturating", "relativistic"] = "nonsaturating"
    lambda_r2: Scheduled = 0.0  # without ½: R3GAN's γ is twice this, and twice λ_r1
    augment: AugmentConfig = field(default_factory=AugmentConfig)  # what D judges

    @property
    def penalises_generated(self) -> bool:
        """Whether R2 is ever part of the loss."""
        return extremes(self.lambda_r2)[1] > 0

    @property
    def statistics(self) -> tuple[Statistic, ...]:
        """What the functions here and `judge_real` report."""
        r2 = (R2_STATISTIC,) if self.penalises_generated else ()
        augmentation = AUGMENTATION_STATISTICS if self.augment.on else ()
        return (*STATISTICS.values(), *r2, *augmentation)

    def step_kind(self, images_seen: int, global_batch: int) -> Hashable:
        return (
            AdversarialConfig.step_kind(self, images_seen, global_batch),
            self.augment.at(images_seen),
        )


def judge_augmented(
    nets: Nets,
    batch: MicroBatch,
    config: LossConfig,
    augmentation: Augmentation | None,
    code_NL: Tensor | None = None,
    *,
    encode: bool = False,
) -> RealImages:
    """`judge_real`, of T(x) where there is augmentation.

    `encode`: whether codes and features are needed. They are those of x; else they are empty.
    """
    if augmentation is None:
        return judge_real(nets, batch, config, code_NL)
    seen = replace(batch, real_NCHW=augmentation.real(batch.real_NCHW))
    real = judge_real(nets, seen, config, code_NL)
    if not augmentation.acts:
        return real
    if not encode:
        return replace(real, latent_BL=real.latent_BL[:, :0], feature_BF=real.feature_BF[:, :0])
    with record_function("d: real images, encoded"), torch.no_grad():
        clean: Judgement = nets["d"](batch.real_NCHW)
    return replace(real, latent_BL=clean.latent_BL, feature_BF=clean.feature_BF)


class GeneratedImages(NamedTuple):
    """A `Judgement` of generated images, and R2 before λ_r2, whose gradient is that of D's weights.

    `r2` is None if it is not part of the loss at any time.
    """

    adversarial_B: Tensor
    latent_BL: Tensor
    feature_BF: Tensor
    r2: Tensor | None = None


def judge_generated(
    nets: Nets,
    batch: MicroBatch,
    config: LossConfig,
    image_NCHW: Tensor,
    augmentation: Augmentation | None = None,
    code_NL: Tensor | None = None,
    *,
    encode: bool = True,
    penalise: bool = True,
) -> GeneratedImages:
    """D(G(z)) and R2 from the same forward pass. `code_NL`: as for `judge_real`.

    With augmentation, both are at T(G(z)). `encode`: whether codes and features are needed; they
    are those of G(z), from another pass, else empty. `penalise`: False where D does not step.
    """
    codes = () if code_NL is None else (code_NL,)
    if augmentation is None or not augmentation.acts:
        return _generated_as_seen(nets, batch, config, image_NCHW, codes, penalise)
    seen_NCHW = augmentation.generated(image_NCHW)
    fake = _generated_as_seen(nets, batch, config, seen_NCHW, codes, penalise)
    if not encode:
        return fake._replace(latent_BL=fake.latent_BL[:, :0], feature_BF=fake.feature_BF[:, :0])
    with record_function("d: generated images, encoded"):
        clean: Judgement = nets["d"](image_NCHW, *codes)
    return fake._replace(latent_BL=clean.latent_BL, feature_BF=clean.feature_BF)


def _generated_as_seen(
    nets: Nets,
    batch: MicroBatch,
    config: LossConfig,
    image_NCHW: Tensor,
    codes: Sequence[Tensor],
    penalise: bool,
) -> GeneratedImages:
    if not (config.penalises_generated and penalise):
        return GeneratedImages(*nets["d"](image_NCHW, *codes))
    share = config.r1_share(batch.step)
    if not share:
        return _generated(nets["d"](image_NCHW, *codes), image_NCHW.new_zeros(()))
    if not image_NCHW.requires_grad:
        image_NCHW = image_NCHW.detach().requires_grad_()
    if getattr(nets["d"], "piecewise_linear", False):
        return _first_order(nets["d"], batch, share, image_NCHW, codes)
    fake: Judgement = nets["d"](image_NCHW, *codes)
    with record_function("d: generated images, gradient"):
        penalty_N = gradient_penalty(fake.adversarial_B, image_NCHW)
    return _generated(fake, share * batch.mean(penalty_N))


def _generated(fake: Judgement, r2: Tensor) -> GeneratedImages:
    return GeneratedImages(fake.adversarial_B, fake.latent_BL, fake.feature_BF, r2)


def _first_order(
    d: Callable[..., Judgement],
    batch: MicroBatch,
    share: int,
    image_NCHW: Tensor,
    codes: Sequence[Tensor],
) -> GeneratedImages:
    recording = Recording(constant=False)
    with recording:
        fake = d(image_NCHW, *codes)
    with record_function("d: generated images, gradient"):
        (gradient_NCHW,), toward = recording.back(fake.adversarial_B, image_NCHW, retain_graph=True)
    r2 = share * batch.mean(gradient_NCHW.square().flatten(1).sum(1))
    kappa = share * batch.weight  # of `piecewise`; λ_r2 multiplies the whole
    others = [torch.zeros_like(code_NL) for code_NL in codes]
    with record_function("d: generated images, replay"):
        zero = replay(
            lambda given_NCHW: d(given_NCHW, *others),
            recording,
            toward,
            2 * kappa * gradient_NCHW,
            None,
        )
    return _generated(fake, r2 + zero)


def told_apart(config: LossConfig, real_N: Tensor, fake_N: Tensor) -> Tensor:
    """Per sample, small where real images have higher values than generated ones."""
    if config.adversarial == "relativistic":
        return real_loss(real_N - fake_N)
    return real_loss(real_N) + fake_loss(fake_N)


def decisions(config: LossConfig, real: RealImages, fake: GeneratedImages) -> Tensor:
    """Per real image, what is above 0 where D takes it for real: its value, or Δ."""
    if config.adversarial == "relativistic":
        return real.adversarial_B - fake.adversarial_B
    return real.adversarial_B


def augmentation_moments(
    config: LossConfig, augmentation: Augmentation | None, real: RealImages, fake: GeneratedImages
) -> Moments:
    """What moves p, of the round in which D steps."""
    return augmentation.moments(decisions(config, real, fake)) if augmentation else {}


def loss_of_discriminator(
    batch: MicroBatch,
    config: LossConfig,
    real: RealImages,
    fake: GeneratedImages,
    augmentation: Augmentation | None = None,
) -> tuple[Tensor, dict[str, Tensor]]:
    """L_D with its penalties, and the statistics of its terms."""
    weight = config.weights(batch.images_seen)
    adversarial = batch.mean(told_apart(config, real.adversarial_B, fake.adversarial_B))
    loss = real.with_r1(adversarial, weight["r1"])
    statistics = {"loss/r1": real.r1, "d/real": batch.mean(real.adversarial_B)}
    if fake.r2 is not None:
        loss = loss + weight["r2"] * fake.r2
        statistics["loss/r2"] = fake.r2
    if augmentation is not None:
        statistics["augment/p"] = augmentation.p
        statistics["augment/signs"] = batch.mean(decisions(config, real, fake).sign())
    return loss, statistics


def loss_of_generator(
    nets: Nets,
    batch: MicroBatch,
    config: LossConfig,
    fake_N: Tensor,
    real_N: Tensor | None = None,
    augmentation: Augmentation | None = None,
) -> Tensor:
    """L_G. `real_N`: D's values at the real images, unless D has stepped since then."""
    if config.adversarial == "nonsaturating":
        return batch.mean(real_loss(fake_N))
    if real_N is None:
        real_NCHW = batch.real_NCHW if augmentation is None else augmentation.real(batch.real_NCHW)
        with torch.no_grad():
            real_N = nets["d"](real_NCHW).adversarial_B
    return batch.mean(fake_loss(real_N.detach() - fake_N))
