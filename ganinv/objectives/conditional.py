"""Labels in rounds of losses, and the codec of a conditional model with its encoder in D.

The generated image i of a batch takes the label of the real image i. So both kinds have the same
classes equally often, pairs of the relativistic loss agree in their class, and a reconstruction of
PVDGAN carries the label of its image.

    y            batch.label_NK     N × K   zeros and a one
    G(z ∘ s, y)  networks.labels.LabelEmbedding
    a(x, y)      projection of the label on D's features
    p(y | x)     network c, on the features of D without gradient to D: it learns beside the GAN,
                 whose training is the same with and without it

Shapes: N samples of a micro-batch, B samples, L latent elements, K classes, F features.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ganinv.declarations import Statistic
from ganinv.latents.labelled import Labelled, one_at_largest
from ganinv.latents.spaces import Space, code_space
from ganinv.networks.labels import embedding_size
from ganinv.objectives import adversarial
from ganinv.objectives.base import Loss, MicroBatch, Nets, Role
from ganinv.objectives.traced_codec import EncoderInDiscriminator

CLASSIFIER = "c"
OPTIONAL_ROLES = {CLASSIFIER: Role(title="classifier", kind="classifier")}
ROLES = {**adversarial.ROLES, **OPTIONAL_ROLES}
STATISTICS = (
    Statistic("loss/label", "nats", "Cross-entropy of the classifier on real images"),
    Statistic("label/accuracy", "", "Share of real images whose label the classifier finds"),
)


class _WithLabel:
    """A discriminator that sees the labels of a micro-batch."""

    def __init__(self, d: Any, label_NK: Tensor) -> None:
        self._d, self._label_NK = d, label_NK
        self.piecewise_linear: bool = getattr(d, "piecewise_linear", False)

    def __call__(self, image_NCHW: Tensor) -> Any:
        return self._d(image_NCHW, self._label_NK)


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


@dataclass(frozen=True, kw_only=True)
class LabelledEncoder(EncoderInDiscriminator):
    """Images are G(z ∘ s, y); D reads z, and the classifier y."""

    latent: Labelled

    @property
    def classes(self) -> tuple[str, ...]:
        return self.latent.classes

    def prior(self, seed: int, purpose: str, image_numbers: Any) -> Tensor:
        code_BL = self.latent.draw(seed, purpose, image_numbers)
        return self.latent.with_label(code_BL, self.latent.labels(seed, image_numbers))

    def encode(self, image_BCHW: Tensor) -> Tensor:
        """The code, with the label that the classifier finds most probable."""
        judged = self.networks["d"](image_BCHW)
        label_BK = one_at_largest(self.networks[CLASSIFIER](judged.feature_BF))
        return torch.cat([judged.latent_BL, label_BK], 1)

    def interpolate(self, code_BL: Tensor, other_BL: Tensor, share_B: Tensor) -> Tensor:
        """The inner code on its arc; the label changes halfway."""
        latent = self.latent
        inner_BL = super().interpolate(
            latent.without_label(code_BL), latent.without_label(other_BL), share_B
        )
        share_B1 = share_B.double()[:, None]
        label_BK = torch.lerp(
            latent.label_of(code_BL).double(), latent.label_of(other_BL).double(), share_B1
        )
        return torch.cat([inner_BL, label_BK], 1)

    @property
    def spaces(self) -> Mapping[str, Space]:
        """Points hold the label where codes do; no gradient reaches it."""
        spread_L = self.latent.inner.spread(self.tensors)

        def to_code(entering_BL: Tensor) -> Tensor:
            code_BL = self.latent.without_label(entering_BL) / spread_L  # above 0: latent_scale
            return torch.cat([code_BL, self.latent.label_of(entering_BL)], 1)

        entering = Space(
            title="scaled code, z ∘ s, and label",
            of_code=lambda code_BL: self.latent.to_generator(code_BL, self.tensors),
            decode=self.networks["g"],
            to_code=to_code,
            fixed=len(self.classes),
        )
        return {"z": code_space(self.decode, len(self.classes)), "u": entering}

    @property
    def first_weight(self) -> Tensor | None:
        """Of the code; what a label does is 0 here."""
        size = self.latent.inner.size
        width = size + embedding_size(size)
        weights = (w for w in self.networks["g"].parameters() if w.ndim > 1)
        first = next((w for w in weights if w.shape[1] == width), None)
        if first is None:
            return None
        flat_OL = first.detach().movedim(1, -1).reshape(-1, width)[:, :size]
        return F.pad(flat_OL, (0, len(self.classes)))
