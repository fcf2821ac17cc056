"""A VAE/GAN after Larsen et al. 2016: three trained networks, a frozen one, a chain of two cuts.

    h = (μ, ln σ²) = e(x), z = μ + σ ∘ ε, x̃ = g(z), x_p = g(z_p)
    L_kl  = ½ Σ (μ² + σ² − ln σ² − 1) / L
    L_rec = mean (p(x) − p(x̃))²                 p: fixed features
    e     L_kl + L_rec                           through x̃ (cut, made by g) and h (cut, made by e)
    g     λ_rec L_rec + adversarial of x̃, x_p    through x̃ and x_p
    d     adversarial of x, x̃, x_p               direct

Shapes: N samples of the micro-batch, L latent elements, C × H × W image.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional as F

from ganinv.codec import Codec
from ganinv.declarations import Statistic
from ganinv.latents.base import Latent
from ganinv.latents.normal import StandardNormal
from ganinv.objectives import base
from ganinv.objectives.base import Loss, MicroBatch, Nets, Role, Round, RoundOutput, State, cut
from ganinv.schedules import Scheduled, scheduled, value_at

FAMILY = "chained_networks"  # the network family, where none is named


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """The weight of the reconstruction in the decoder's loss, a number or a schedule."""

    name: str = "chained"
    lambda_rec: Scheduled = 2.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "lambda_rec", scheduled(self.lambda_rec, "lambda_rec"))


@dataclass(frozen=True, kw_only=True)
class EncoderDecoder(Codec):
    """E(x) = μ, images are g(z)."""

    def decode(self, code_BL: Tensor) -> Tensor:
        image_BCHW: Tensor = self.networks["g"](code_BL)
        return image_BCHW

    def encode(self, image_BCHW: Tensor) -> Tensor:
        mean_BL, _ = self.networks["e"](image_BCHW).chunk(2, dim=1)
        return mean_BL  # type: ignore[no-any-return]  # a network's output


class Objective(base.Objective):
    """One round, three networks at once."""

    config: Config

    def __init__(self, config: Config, latent_size: int) -> None:
        self.config = config
        self.latent: Latent = StandardNormal(latent_size)

    @property
    def roles(self) -> Mapping[str, Role]:
        return {
            "e": Role(title="encoder", optimizer="rmsprop"),
            "g": Role(title="decoder"),
            "d": Role(title="discriminator", averaged=False, exported=False),
            "p": Role(title="feature network", trained=False, averaged=False, exported=False),
        }

    @property
    def noise(self) -> Mapping[str, Latent]:
        return {"posterior": self.latent, "prior": self.latent}

    @property
    def statistics(self) -> tuple[Statistic, ...]:
        words = {"e": "encoder", "g": "decoder", "d": "discriminator"}
        return (
            *(Statistic(f"loss/{name}", "", f"Loss of the {w}") for name, w in words.items()),
            Statistic("loss/kl", "", "Divergence of the codes from the prior"),
            Statistic("loss/rec", "", "Distance of features"),
        )

    @property
    def rounds(self) -> tuple[Round, ...]:
        return (self.all_three,)

    def codec(self, networks: Mapping[str, nn.Module], tensors: Mapping[str, Tensor]) -> Codec:
        del tensors
        held = {name: networks[name] for name in ("e", "g")}
        return EncoderDecoder(latent=self.latent, networks=held)

    def all_three(self, nets: Nets, batch: MicroBatch, state: State) -> RoundOutput:
        del state
        x_NCHW = batch.real_NCHW
        h = cut("e", nets["e"](x_NCHW))
        mean_NL, log_variance_NL = h.leaf.chunk(2, dim=1)
        z_NL = mean_NL + (log_variance_NL / 2).exp() * batch.noise["posterior"]
        again, invented = cut("g", nets["g"](z_NL)), cut("g", nets["g"](batch.noise["prior"]))
        kl_NL = mean_NL.square() + log_variance_NL.exp() - log_variance_NL - 1
        l_kl = batch.mean(kl_NL.mean(1) / 2)
        l_rec = batch.mean((nets["p"](x_NCHW) - nets["p"](again.leaf)).square().mean(1))
        fake_N = [nets["d"](image.leaf).squeeze(1) for image in (again, invented)]
        l_d = batch.mean(
            F.softplus(-nets["d"](x_NCHW).squeeze(1)) + sum(F.softplus(a_N) for a_N in fake_N)
        )
        weight = value_at(self.config.lambda_rec, batch.images_seen)
        l_g = weight * l_rec + batch.mean(F.softplus(-fake_N[0]) + F.softplus(-fake_N[1]))
        l_e = l_kl + l_rec
        return RoundOutput(
            losses={
                "e": Loss(l_e, (h, again)),
                "g": Loss(l_g, (again, invented)),
                "d": Loss(l_d),
            },
            statistics={
                "loss/e": l_e, "loss/g": l_g, "loss/d": l_d, "loss/kl": l_kl, "loss/rec": l_rec,
            },
        )  # fmt: skip
