"""Labels in the rounds of losses of methods with their encoder in D, and in their networks.

The generated image i of a batch takes the label of the real image i. So both kinds have the same
classes equally often, pairs of the relativistic loss agree in their class, and a reconstruction of
PVDGAN carries the label of its image.

    y            batch.label_NK     N × K   zeros and a one
    G(z ∘ s, y)  networks.labels.LabelEmbedding; DEDGAN has G(z, y)
    a(x, y)      the adversarial value and the projection of the label on D's features. What else a
                 method reads from D, its code above all, sees no label.
    p(y | x)     network c, on the features of D without gradient to D: it learns beside the GAN,
                 whose training is the same with and without it

Shapes: N samples of a micro-batch, B samples, L latent elements, K classes, F features.
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from ganinv.declarations import Statistic
from ganinv.latents.base import Latent
from ganinv.latents.labelled import Labelled, one_at_largest
from ganinv.networks.base import Judgement, LabelledJudgement
from ganinv.objectives import adversarial
from ganinv.objectives.base import Loss, MicroBatch, Nets, Objective, Role
from ganinv.objectives.traced_codec import CLASSIFIER

OPTIONAL_ROLES = {CLASSIFIER: Role(title="classifier", kind="classifier")}
ROLES = {**adversarial.ROLES, **OPTIONAL_ROLES}
STATISTICS = (
    Statistic("loss/label", "nats", "Cross-entropy of the classifier on real images"),
    Statistic("label/accuracy", "", "Share of real images whose label the classifier finds"),
)


class ConditionalObjective(Objective):
    """A method with `condition` among its options, and its encoder in D."""

    latent: Latent  # of codes without labels, which a step draws
    optional_roles = OPTIONAL_ROLES

    @property
    def roles(self) -> Mapping[str, Role]:
        return ROLES if self.condition else adversarial.ROLES

    @property
    def label_statistics(self) -> tuple[Statistic, ...]:
        return STATISTICS if self.condition else ()

    @property
    def latent_of_model(self) -> Latent:
        """That of the codes of a trained model, which end with a label where images have one."""
        if not (condition := self.condition):
            return self.latent
        return Labelled(self.latent, tuple(condition.classes), tuple(condition.counts))


class _WithLabel:
    """A discriminator that sees the labels of a micro-batch: its values are a(x, y)."""

    def __init__(self, d: Callable[[Tensor], LabelledJudgement], label_NK: Tensor) -> None:
        self._d, self._label_NK = d, label_NK
        self.piecewise_linear: bool = getattr(d, "piecewise_linear", False)

    def __call__(self, image_NCHW: Tensor) -> Judgement:
        judged = self._d(image_NCHW)
        projection_N = (judged.projection_BK * self._label_NK).sum(1)
        return Judgement(judged.adversarial_B + projection_N, judged.latent_BL, judged.feature_BF)


def with_labels(nets: Nets, batch: MicroBatch) -> Nets:
    """Networks whose g and d see the labels of the micro-batch; the same without labels."""
    if batch.label_NK is None:
        return nets
    label_NK, g = batch.label_NK, nets["g"]

    def generate(scaled_NL: Tensor) -> Tensor:
        image_NCHW: Tensor = g(torch.cat([scaled_NL, label_NK.to(scaled_NL)], 1))
        return image_NCHW

    return {**nets, "g": generate, "d": _WithLabel(nets["d"], label_NK)}


def classifier_loss(
    nets: Nets, batch: MicroBatch, feature_NF: Tensor
) -> tuple[dict[str, Loss], dict[str, Tensor]]:
    """The loss of c on real images and its statistics; nothing without labels."""
    if batch.label_NK is None:
        return {}, {}
    score_NK = nets[CLASSIFIER](feature_NF.detach())
    loss = batch.mean(F.cross_entropy(score_NK, batch.label_NK, reduction="none"))
    right_N = (one_at_largest(score_NK.detach()) * batch.label_NK).sum(1)
    return {CLASSIFIER: Loss(loss)}, {"loss/label": loss, "label/accuracy": batch.mean(right_N)}
