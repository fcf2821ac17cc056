"""The adversarial loss of all the papers: NSGAN with R1.

Non-saturating loss: Goodfellow et al. 2014. R1: Mescheder et al., "Which training methods for GANs
do actually converge?" (2018), eq. 9 — here **without its ½** and on every step, as the author's
code has it: λ_r1 = 5 is StyleGAN's γ = 10. Shapes: B samples, C × H × W image.
"""

from dataclasses import dataclass, fields

import torch
from torch import Tensor
from torch.nn import functional as F

from ganinv.declarations import Plot, Statistic
from ganinv.errors import ConfigError
from ganinv.networks.base import Judgement
from ganinv.objectives.base import MicroBatch, Nets, Role
from ganinv.schedules import Scheduled, extremes, scheduled, value_at

ROLES = {"g": Role(title="generator"), "d": Role(title="discriminator")}
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


def judge_real(
    nets: Nets, batch: MicroBatch, config: AdversarialConfig
) -> tuple[Judgement, Tensor]:
    """D(x) and R1 from the same forward pass (DLSGAN Alg. 1 l. 5, PVDGAN Alg. 1 l. 3).

    R1 as it enters the loss: lazy R1 is 0 on most steps, and its mean is unchanged.
    """
    share = config.r1_share(batch.step)
    if not share:
        return nets["d"](batch.real_NCHW), batch.real_NCHW.new_zeros(())
    real_NCHW = batch.real_NCHW.detach().requires_grad_()
    real = nets["d"](real_NCHW)
    return real, share * batch.mean(gradient_penalty(real.adversarial_B, real_NCHW))


def discriminator_loss(
    batch: MicroBatch, real: Judgement, fake: Judgement, r1: Tensor, lambda_r1: float
) -> tuple[Tensor, dict[str, Tensor]]:
    """f_d(a_r, a_g) + λ_r1 R1, and the statistics of its terms."""
    adversarial = batch.mean(real_loss(real.adversarial_B) + fake_loss(fake.adversarial_B))
    return adversarial + lambda_r1 * r1, {"loss/r1": r1, "d/real": batch.mean(real.adversarial_B)}
