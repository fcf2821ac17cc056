"""The adversarial loss of all the papers: NSGAN with R1.

Non-saturating loss: Goodfellow et al. 2014. R1: Mescheder et al., "Which training methods for GANs
do actually converge?" (2018), eq. 9 — here **without its ½** and on every step, as the author's
code has it: λ_r1 = 5 is StyleGAN's γ = 10. Shapes: B samples, C × H × W image.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor
from torch.autograd.profiler import record_function
from torch.nn import functional as F

from ganinv.declarations import Plot, Statistic
from ganinv.errors import ConfigError
from ganinv.networks.base import Judgement
from ganinv.networks.piecewise import Recording, replay
from ganinv.objectives.base import MicroBatch, Nets, Role
from ganinv.schedules import Scheduled, extremes, scheduled, value_at

ROLES = {
    "g": Role(title="generator", kind="generator"),
    "d": Role(title="discriminator", kind="discriminator"),
}
STATISTICS = {
    row.name: row
    for row in (
        Statistic("loss/d", "", "Loss of the discriminator, all terms"),
        Statistic("loss/g", "", "Loss of the generator, all terms"),
        Statistic("loss/r1", "", "R1: squared gradient norm of D at real images, before λ_r1"),
        Statistic(
            "d/real", "", "Mean adversarial value of real images", gauge="discriminator_real"
        ),
        Statistic(
            "d/fake", "", "Mean adversarial value of generated images", gauge="discriminator_fake"
        ),
    )
}
R2_STATISTIC = Statistic(
    "loss/r2", "", "R2: squared gradient norm of D at generated images, before λ_r2"
)
PLOTS = (
    Plot(
        title="Losses of the two networks",
        series={"loss/d": "discriminator", "loss/g": "generator"},
        caption="The two networks compete. Look for a lasting balance: if one loss departs for "
        "good, one network has won and neither learns.",
    ),
    Plot(
        title="Scores of the discriminator",
        series={"d/real": "real", "d/fake": "generated"},
        caption="The mean score of real and of generated images. The closer the lines, the "
        "harder the images are to tell apart.",
    ),
    Plot(
        title="Gradient penalty, R1",
        series={"loss/r1": ""},
        caption="How steeply the discriminator's score changes around real images. Growing "
        "spikes are an early sign of instability.",
        from_zero=True,
    ),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class AdversarialConfig:
    """Options of every method with this loss. Loss weights are numbers or schedules of images.

    Checks every field named `lambda_…`, those of subclasses included.
    """

    lambda_r1: Scheduled = 5.0  # without ½: StyleGAN's γ is twice this
    # Global batches from one R1 to the next, which then weighs this many times as much. 1 is the
    # papers' algorithm. More is a deviation from it that saves time: "lazy regularization" of
    # StyleGAN2 (arXiv 1912.04958, §3.1), which takes 16 and besides slows Adam by 16/17.
    r1_every: int = 1

    def __post_init__(self) -> None:
        for key in (field.name for field in fields(self) if field.name.startswith("lambda_")):
            weight = scheduled(getattr(self, key), key)
            if extremes(weight)[0] < 0:
                raise ConfigError(f"{key} = {getattr(self, key)}: a loss weight must not be < 0")
            object.__setattr__(self, key, weight)  # frozen, and set before anybody sees it
        if self.r1_every < 1:
            raise ConfigError(f"r1_every = {self.r1_every}: must be at least 1 (R1 on every step)")

    def weights(self, images_seen: int) -> dict[str, float]:
        """Every λ by its name without `lambda_`, for the step that begins at `images_seen`."""
        names = (field.name for field in fields(self) if field.name.startswith("lambda_"))
        return {
            name.removeprefix("lambda_"): value_at(getattr(self, name), images_seen)
            for name in names
        }

    def r1_share(self, step: int) -> int:
        """How many times R1 counts in the loss of a step, counted from 0; 0 where it is left out.

        The mean over any `r1_every` steps in a row is 1.
        """
        return 0 if step % self.r1_every else self.r1_every

    def step_kind(self, images_seen: int, global_batch: int) -> Hashable:
        """All that a loss of these options takes from the clock (`Objective.step_kind`)."""
        weights = tuple(self.weights(images_seen).items())
        return weights, self.r1_share(images_seen // global_batch)


def real_loss(adversarial_B: Tensor) -> Tensor:
    """−log sigmoid(a), per sample: small where images are taken for real."""
    return F.softplus(-adversarial_B)


def fake_loss(adversarial_B: Tensor) -> Tensor:
    """−log(1 − sigmoid(a)), per sample: small where images are taken for generated."""
    return F.softplus(adversarial_B)


def gradient_penalty(adversarial_B: Tensor, real_BCHW: Tensor) -> Tensor:
    """‖∇ₓ a‖² per sample, differentiable again; reuses the forward pass that gave `adversarial_B`.

    `real_BCHW` must require gradients. Samples do not mix in the networks, so that the gradient of
    the sum holds each sample's own.
    """
    (gradient_BCHW,) = torch.autograd.grad(adversarial_B.sum(), real_BCHW, create_graph=True)
    return gradient_BCHW.square().flatten(1).sum(1)


@dataclass(frozen=True, kw_only=True)
class RealImages:
    """What D says of a micro-batch's real images, and R1. The code and the feature are constants.

    `r1` is a number for statistics: as R1 enters the loss, before λ_r1. `with_r1` adds λ_r1 R1 to a
    loss that was computed from `adversarial_B`.
    """

    adversarial_B: Tensor
    latent_BL: Tensor
    feature_BF: Tensor
    r1: Tensor
    with_r1: Callable[[Tensor, float], Tensor]


def judge_real(
    nets: Nets, batch: MicroBatch, config: AdversarialConfig, code_NL: Tensor | None = None
) -> RealImages:
    """D(x) and R1 from the same forward pass (DLSGAN Alg. 1 l. 5, PVDGAN Alg. 1 l. 3).

    `code_NL`: codes of the images, for a D of pairs (image, code); R1 is on the image alone.
    `adversarial_B` passes gradients on to them.

    Lazy R1 is 0 on most steps, and its mean is unchanged. A piecewise linear D needs no double
    backward (`ganinv.networks.piecewise`); the gradients are the same up to rounding.
    """
    share = config.r1_share(batch.step)
    codes = () if code_NL is None else (code_NL,)
    if not share:
        with record_function("d: real images, forward"):
            real = nets["d"](batch.real_NCHW, *codes)
        return _without_r1(real, batch)
    if getattr(nets["d"], "piecewise_linear", False):
        return _first_order(nets["d"], batch, share, codes)
    return _double_backward(nets["d"], batch, share, codes)


def _without_r1(real: Judgement, batch: MicroBatch) -> RealImages:
    def with_r1(loss: Tensor, lambda_r1: float) -> Tensor:
        del lambda_r1
        return loss

    return _real_images(real, real.adversarial_B, batch.real_NCHW.new_zeros(()), with_r1)


def _double_backward(
    d: Callable[..., Judgement], batch: MicroBatch, share: int, codes: Sequence[Tensor]
) -> RealImages:
    real_NCHW = batch.real_NCHW.detach().requires_grad_()
    with record_function("d: real images, forward"):
        real = d(real_NCHW, *codes)
    with record_function("d: real images, gradient"):
        r1 = share * batch.mean(gradient_penalty(real.adversarial_B, real_NCHW))

    def with_r1(loss: Tensor, lambda_r1: float) -> Tensor:
        return loss + lambda_r1 * r1

    return _real_images(real, real.adversarial_B, r1.detach(), with_r1)


def _first_order(
    d: Callable[..., Judgement], batch: MicroBatch, share: int, codes: Sequence[Tensor]
) -> RealImages:
    """Here the adversarial values are leaves; a replay gives the gradient of the whole loss.

    Toward codes, a value is the linear function that has its gradient.
    """
    real_NCHW = batch.real_NCHW.detach().requires_grad_()
    constants = [code_NL.detach().requires_grad_() for code_NL in codes]
    recording = Recording()
    with record_function("d: real images, forward"), recording:
        real = d(real_NCHW, *constants)
    with record_function("d: real images, gradient"):
        gradients, toward = recording.back(real.adversarial_B, real_NCHW, *constants)
    gradient_NCHW, *slopes = gradients
    r1 = share * batch.mean(gradient_NCHW.square().flatten(1).sum(1))
    leaf_N = real.adversarial_B.detach().requires_grad_()
    adversarial_N = leaf_N
    for code_NL, slope_NL in zip(codes, slopes, strict=True):
        adversarial_N = adversarial_N + ((code_NL - code_NL.detach()) * slope_NL).sum(1)

    def with_r1(loss: Tensor, lambda_r1: float) -> Tensor:
        (factor_N,) = torch.autograd.grad(loss, leaf_N, retain_graph=True)
        penalty = lambda_r1 * share * batch.weight  # κ of `piecewise`
        images_NCHW = factor_N[:, None, None, None] * batch.real_NCHW + 2 * penalty * gradient_NCHW
        others = [factor_N[:, None] * code_NL.detach() for code_NL in codes]
        with record_function("d: real images, replay"):
            zero = replay(
                lambda image_NCHW: d(image_NCHW, *others), recording, toward, images_NCHW, factor_N
            )
        return loss + lambda_r1 * r1 + zero

    return _real_images(real, adversarial_N, r1, with_r1)


def _real_images(
    real: Judgement, adversarial_B: Tensor, r1: Tensor, with_r1: Callable[[Tensor, float], Tensor]
) -> RealImages:
    return RealImages(
        adversarial_B=adversarial_B,
        latent_BL=real.latent_BL.detach(),
        feature_BF=real.feature_BF.detach(),
        r1=r1,
        with_r1=with_r1,
    )


def discriminator_loss(
    batch: MicroBatch, real: RealImages, fake: Judgement, lambda_r1: float
) -> tuple[Tensor, dict[str, Tensor]]:
    """f_d(a_r, a_g) + λ_r1 R1, and the statistics of its terms."""
    adversarial = batch.mean(real_loss(real.adversarial_B) + fake_loss(fake.adversarial_B))
    loss = real.with_r1(adversarial, lambda_r1)
    return loss, {"loss/r1": real.r1, "d/real": batch.mean(real.adversarial_B)}
