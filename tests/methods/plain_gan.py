"""A plain GAN (Goodfellow et al. 2014, non-saturating): no encoder, no statistics of codes.

Shapes: N samples of the micro-batch, L latent elements, C × H × W image.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional as F

from ganinv.codec import Codec
from ganinv.declarations import Statistic
from ganinv.latents.normal import StandardNormal
from ganinv.objectives import base
from ganinv.objectives.base import Loss, MicroBatch, Nets, Role, Round, RoundOutput, State, cut

FAMILY = "plain_networks"  # the network family, where none is named


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """A plain GAN has no options."""

    name: str = "plain_gan"


@dataclass(frozen=True, kw_only=True)
class Images(Codec):
    """Codes to images alone."""

    def decode(self, code_BL: Tensor) -> Tensor:
        image_BCHW: Tensor = self.networks["g"](code_BL)
        return image_BCHW


class Objective(base.Objective):
    """One round, both networks at once."""

    def __init__(self, config: Config, latent_size: int) -> None:
        self.config = config
        self.latent = StandardNormal(latent_size)

    @property
    def roles(self) -> Mapping[str, Role]:
        return {
            "g": Role(title="generator"),
            "d": Role(title="discriminator", averaged=False, exported=False),
        }

    @property
    def statistics(self) -> tuple[Statistic, ...]:
        return (
            Statistic("loss/g", "", "Loss of the generator"),
            Statistic("loss/d", "", "Loss of the discriminator"),
        )

    @property
    def rounds(self) -> tuple[Round, ...]:
        return (self.both,)

    def codec(self, networks: Mapping[str, nn.Module], tensors: Mapping[str, Tensor]) -> Codec:
        del tensors
        return Images(latent=self.latent, networks={"g": networks["g"]})

    def both(self, nets: Nets, batch: MicroBatch, state: State) -> RoundOutput:
        del state
        image = cut("g", nets["g"](batch.noise["z"]))
        fake_N = nets["d"](image.leaf)
        l_d = batch.mean(F.softplus(-nets["d"](batch.real_NCHW)) + F.softplus(fake_N))
        l_g = batch.mean(F.softplus(-fake_N))
        return RoundOutput(
            losses={"d": Loss(l_d), "g": Loss(l_g, (image,))},
            statistics={"loss/d": l_d, "loss/g": l_g},
        )
