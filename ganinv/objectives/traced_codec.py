"""The codec of methods whose D reads codes: DLSGAN, PVDGAN, DEDGAN.

Shapes: B samples, L latent elements, F features, C × H × W image.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from ganinv.codec import Codec
from ganinv.latents.scaled_normal import SCALE
from ganinv.latents.spaces import Space, style_spaces


@dataclass(frozen=True, kw_only=True)
class EncoderInDiscriminator(Codec):
    """Images are G(z ∘ s), codes are read by D (DLSGAN §3)."""

    def decode(self, code_BL: Tensor) -> Tensor:
        image_BCHW: Tensor = self.networks["g"](self.latent.to_generator(code_BL, self.tensors))
        return image_BCHW

    def encode(self, image_BCHW: Tensor) -> Tensor:
        code_BL: Tensor = self.networks["d"](image_BCHW).latent_BL
        return code_BL

    @property
    def spaces(self) -> Mapping[str, Space]:
        def scaled(code_BL: Tensor) -> Tensor:
            return self.latent.to_generator(code_BL, self.tensors)

        generator, scale_L = self.networks["g"], self.tensors[SCALE]
        entering = Space(
            title="scaled code, z ∘ s",
            of_code=scaled,
            decode=generator,
            to_code=lambda entering_BL: entering_BL / scale_L,  # s is above 0: see latent_scale
        )
        return {**super().spaces, "u": entering, **style_spaces(generator, scaled)}

    @property
    def first_weight(self) -> Tensor | None:
        size = self.latent.size
        weights = (w for w in self.networks["g"].parameters() if w.ndim > 1)
        first = next((w for w in weights if w.shape[1] == size), None)
        return None if first is None else first.detach().movedim(1, -1).reshape(-1, size)

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
