"""The codec of methods whose D reads codes: DLSGAN, PVDGAN, DEDGAN.

Conditional codes end with a label, which a classifier reads from the features of D.

Shapes: B samples, L latent elements, F features, C × H × W image.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from ganinv.codec import Codec
from ganinv.latents.labelled import one_at_largest
from ganinv.latents.spaces import Space, style_spaces
from ganinv.networks.base import Judgement
from ganinv.networks.labels import embedding_size

CLASSIFIER = "c"


@dataclass(frozen=True, kw_only=True)
class EncoderInDiscriminator(Codec):
    """Images are G of what the latent lets enter, codes are read by D (DLSGAN §3)."""

    def decode(self, code_BL: Tensor) -> Tensor:
        image_BCHW: Tensor = self.networks["g"](self._entering(code_BL))
        return image_BCHW

    def encode(self, image_BCHW: Tensor) -> Tensor:
        """The code; of a conditional model with the label that is most probable."""
        judged = self.networks["d"](image_BCHW)
        code_BL = self.code_of(judged)
        if not self.classes:
            return code_BL
        label_BK = one_at_largest(self.networks[CLASSIFIER](judged.feature_BF))
        return torch.cat([code_BL, label_BK], 1)

    def code_of(self, judged: Judgement) -> Tensor:
        """What D says of images → their codes, without labels."""
        return judged.latent_BL

    @property
    def spaces(self) -> Mapping[str, Space]:
        """Points hold the label where codes do; no gradient reaches it."""
        generator, found = self.networks["g"], dict(super().spaces)
        if self.latent.entering:
            found["u"] = Space(
                title=self.latent.entering,
                of_code=self._entering,
                decode=generator,
                to_code=lambda entering_BL: self.latent.to_code(entering_BL, self.tensors),
                fixed=len(self.classes),
            )
        return {**found, **style_spaces(generator, self._entering)}

    @property
    def first_weight(self) -> Tensor | None:
        """Of the code; what a label does is 0 here."""
        labels = len(self.classes)
        size = self.latent.size - labels
        width = size + (embedding_size(size) if labels else 0)
        weights = (w for w in self.networks["g"].parameters() if w.ndim > 1)
        first = next((w for w in weights if w.shape[1] == width), None)
        if first is None:
            return None
        flat_OL = first.detach().movedim(1, -1).reshape(-1, width)[:, :size]
        return F.pad(flat_OL, (0, labels))

    def _entering(self, code_BL: Tensor) -> Tensor:
        return self.latent.to_generator(code_BL, self.tensors)

    @property
    def feature_source(self) -> str:
        return f"discriminator, block {self.networks['d'].feature_block}, mean over pixels"

    def features(self, image_BCHW: Tensor) -> Tensor:
        pixels = self.networks["d"].feature_pixels
        feature_BCP: Tensor = self.feature_map(image_BCHW).unflatten(1, (-1, pixels))
        return feature_BCP.mean(2)

    def feature_map(self, image_BCHW: Tensor) -> Tensor:
        feature_BF: Tensor = self.networks["d"](image_BCHW).feature_BF
        return feature_BF
