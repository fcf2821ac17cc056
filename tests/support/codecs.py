"""Codecs of networks that no run has trained: with an encoder, and without."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from ganinv.codec import Codec
from ganinv.latents.normal import StandardNormal
from ganinv.latents.scaled_normal import SCALE, ScaledNormal
from ganinv.objectives.traced import EncoderInDiscriminator


def codec_of(built: Mapping[str, nn.Module], scale_L: Tensor) -> Codec:
    """The codec of DLSGAN and PVDGAN with these networks and this latent scale."""
    return EncoderInDiscriminator(
        latent=ScaledNormal(len(scale_L)), networks=built, tensors={SCALE: scale_L}
    )


@dataclass(frozen=True, kw_only=True)
class GeneratorAlone(Codec):
    """Images are G(z); the method recovers no codes and has no features."""

    def decode(self, code_BL: Tensor) -> Tensor:
        image_BCHW: Tensor = self.networks["g"](self.latent.to_generator(code_BL, self.tensors))
        return image_BCHW


def codec_without_encoder(generator: nn.Module, latent_size: int) -> Codec:
    return GeneratorAlone(latent=StandardNormal(latent_size), networks={"g": generator})
