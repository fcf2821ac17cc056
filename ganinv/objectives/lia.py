"""LIA, second stage: an encoder of the frozen generator's styles; D is trained on, too.

Zhu et al., "Disentangled Inference for GANs with Latently Invertible Autoencoder", arXiv
1906.08090, §4.2, eq. 11 and 12. The generator (averaged) and the discriminator (current weights)
come from a run of the first stage, `lia_generator.py`: `start.run` names it.

    paper    here                        shape
    x        batch.real_NCHW             N × C × H × W
    f        nets["e"]                   x → y
    g*       nets["g"](y, "y")           y → x̃; frozen
    c        nets["d"]                   higher means more real
    ε        nets["p"]                   features N × F, frozen: `perceptual`
    β₁, β₂   config.lambda_perceptual, config.lambda_adversarial

    L_e = mean (x̃ − x)² + β₁ mean (ε(x̃) − ε(x))² + β₂ softplus(−D(x̃))          x̃ = g(f(x))
    L_d = softplus(D(x̃)) + softplus(−D(x)) + (γ/2) ‖∇D(x)‖²

Eq. 12 has β₂ on the reconstruction; the authors' code, which this file follows, has it on the
adversarial term. As in the code, E steps first, then D on the same batch (`sequential`);
`simultaneous` takes both gradients from one forward pass.

The code of a real image is z = φ(f(x)). With StyleGAN's own mapper (`network.mapper=mlp`, the
paper's "StyleGAN with encoder") styles have no codes: then the styles themselves stand for codes.

Shapes: N samples of the micro-batch, B samples, L latent and style elements, F features.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ganinv.codec import Codec
from ganinv.declarations import Plot, Statistic
from ganinv.errors import ConfigError
from ganinv.latents.base import Latent
from ganinv.latents.normal import StandardNormal
from ganinv.latents.spaces import Space, code_space
from ganinv.objectives import base
from ganinv.objectives.adversarial import (
    PLOTS,
    STATISTICS,
    AdversarialConfig,
    discriminator_loss,
    judge_real,
    real_loss,
)
from ganinv.objectives.base import (
    FeatureNetwork,
    Loss,
    MicroBatch,
    Nets,
    Role,
    Round,
    RoundOutput,
    State,
    cut,
)
from ganinv.objectives.lia_generator import FAMILY as FAMILY
from ganinv.objectives.lia_generator import Generating
from ganinv.schedules import Scheduled

ENCODER_STATISTICS = (
    Statistic("loss/e", "", "Loss of the encoder, all terms"),
    Statistic("loss/mse", "", "Mean squared error of reconstructed pixels, which lie in [-1, 1]"),
    Statistic("loss/perceptual", "", "Mean squared error of features, before its weight"),
    Statistic("loss/adversarial", "", "Adversarial term of the encoder, before its weight"),
)
ENCODER_PLOTS = (
    Plot(
        title="Losses of the two networks",
        series={"loss/d": "discriminator", "loss/e": "encoder"},
        caption="The encoder reconstructs images; the discriminator tells reconstructions from "
        "real images.",
    ),
    Plot(
        title="Error of reconstructed pixels",
        series={"loss/mse": ""},
        caption="Mean squared error of training images that go through encoder and generator.",
        from_zero=True,
    ),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(AdversarialConfig):
    """Options of LIA's second stage.

    β₁ = 5e-5 belongs to VGG16's features (conv4_3 after its ReLU) of pixels in [0, 255]. Other
    networks have features of another size: choose β₁ for them by the ratio of `loss/perceptual` to
    `loss/mse` at the start (docs/training.md).
    """

    name: str = "lia"
    lambda_perceptual: Scheduled = 5e-5  # β₁
    lambda_adversarial: Scheduled = 0.1  # β₂, on the adversarial term
    perceptual: Literal["none", "lite0", "vgg16"] = "none"  # ε; none: no such term
    perceptual_file: str | None = None  # weights of vgg16, TorchScript or safetensors
    # What pixels the weights of vgg16 were trained on: bgr and rgb are 0…255 minus ImageNet's mean
    # (Caffe, Keras; the paper's), imagenet is rgb in standard deviations (torchvision).
    perceptual_pixels: Literal["bgr", "rgb", "imagenet"] = "bgr"
    schedule: Literal["sequential", "simultaneous"] = "sequential"

    def __post_init__(self) -> None:
        AdversarialConfig.__post_init__(self)
        if (self.perceptual == "vgg16") != (self.perceptual_file is not None):
            raise ConfigError(
                f"perceptual_file = {self.perceptual_file!r}: perceptual = {self.perceptual!r} "
                "takes "
                + ("a file with the weights" if self.perceptual == "vgg16" else "no file")
                + "; give objective.perceptual=vgg16 and objective.perceptual_file=FILE together"
            )


@dataclass(frozen=True, kw_only=True)
class LatentlyInvertible(Generating):
    """Codes are φ(f(x)), eq. 4."""

    def encode(self, image_BCHW: Tensor) -> Tensor:
        generator: Any = self.networks["g"]
        code_BL: Tensor = generator.code(self.networks["e"](image_BCHW))
        return code_BL


@dataclass(frozen=True, kw_only=True)
class StyleAutoencoder(Codec):
    """Without an invertible mapper: codes are styles y, and the prior's are mapped from z."""

    def prior(self, seed: int, purpose: str, image_numbers: Sequence[int]) -> Tensor:
        z_BL = self.latent.draw(seed, purpose, image_numbers).to(self.device, self.dtype)
        generator: Any = self.networks["g"]
        style_BL: Tensor = generator.style(z_BL)
        return style_BL

    def decode(self, code_BL: Tensor) -> Tensor:
        image_BCHW: Tensor = self.networks["g"](code_BL, "y")
        return image_BCHW

    def encode(self, image_BCHW: Tensor) -> Tensor:
        style_BL: Tensor = self.networks["e"](image_BCHW)
        return style_BL

    def interpolate(self, code_BL: Tensor, other_BL: Tensor, share_B: Tensor) -> Tensor:
        """A straight line: codes are styles, whose prior is no normal one."""
        return torch.lerp(code_BL.double(), other_BL.double(), share_B.double()[:, None])

    @property
    def spaces(self) -> Mapping[str, Space]:
        """`z`, the code, is the style here; no code of the prior is known for an image."""
        generator: Any = self.networks["g"]
        layers: int = generator.style_layers

        def one_for_each_layer(code_BL: Tensor) -> Tensor:
            return code_BL[:, None].repeat(1, layers, 1)

        return {
            "z": code_space(self.decode),
            "y_layers": Space(
                title="one style for each layer",
                of_code=one_for_each_layer,
                decode=generator.synthesis,
            ),
        }


class Objective(base.Objective):
    """The second stage as rounds of losses."""

    config: Config
    plots: tuple[Plot, ...] = (*ENCODER_PLOTS, *PLOTS[1:])

    def __init__(self, config: Config, latent_size: int) -> None:
        self.config = config
        self.latent: Latent = StandardNormal(latent_size)

    @property
    def roles(self) -> Mapping[str, Role]:
        roles = {
            "e": Role(title="encoder"),
            "g": Role(title="generator", trained=False, averaged=False, started=True),
            "d": Role(title="discriminator", averaged=False, exported=False),
        }
        if self.config.perceptual != "none":
            roles["p"] = Role(
                title="feature network", trained=False, averaged=False, exported=False,
                features=FeatureNetwork(
                    name=self.config.perceptual,
                    file=self.config.perceptual_file,
                    pixels=self.config.perceptual_pixels,
                ),
            )  # fmt: skip
        return roles

    @property
    def statistics(self) -> tuple[Statistic, ...]:
        shared = (row for name, row in STATISTICS.items() if name != "loss/g")
        return (*shared, *ENCODER_STATISTICS)

    @property
    def noise(self) -> Mapping[str, Latent]:
        return {}

    @property
    def rounds(self) -> tuple[Round, ...]:
        if self.config.schedule == "simultaneous":
            return (self.both,)
        return (self.encoder_first, self.discriminator_second)

    def step_kind(self, images_seen: int, global_batch: int) -> Hashable:
        return self.config.step_kind(images_seen, global_batch)

    def codec(self, networks: Mapping[str, nn.Module], tensors: Mapping[str, Tensor]) -> Codec:
        del tensors
        held = {name: networks[name] for name in ("g", "e")}
        kind = LatentlyInvertible if getattr(held["g"], "invertible", False) else StyleAutoencoder
        return kind(latent=self.latent, networks=held)

    def both(self, nets: Nets, batch: MicroBatch, state: State) -> RoundOutput:
        """Both losses from one forward pass: two cuts in a chain, y and x̃."""
        del state
        style = cut("e", nets["e"](batch.real_NCHW))
        image = cut("g", nets["g"](style.leaf, "y"))
        fake = nets["d"](image.leaf)
        l_e, of_e = self._encoder_loss(nets, batch, image.leaf, fake.adversarial_B)
        real = judge_real(nets, batch, self.config)
        weight = self.config.weights(batch.images_seen)
        l_d, of_d = discriminator_loss(batch, real, fake, weight["r1"])
        d_fake = batch.mean(fake.adversarial_B)
        return RoundOutput(
            losses={"e": Loss(l_e, (style, image)), "d": Loss(l_d)},
            statistics={**of_e, **of_d, "loss/d": l_d, "d/fake": d_fake},
        )

    def encoder_first(self, nets: Nets, batch: MicroBatch, state: State) -> RoundOutput:
        del state
        style = cut("e", nets["e"](batch.real_NCHW))
        image_NCHW = nets["g"](style.leaf, "y")
        adversarial_N = nets["d"](image_NCHW).adversarial_B
        l_e, statistics = self._encoder_loss(nets, batch, image_NCHW, adversarial_N)
        return RoundOutput(losses={"e": Loss(l_e, (style,))}, statistics=statistics)

    def discriminator_second(self, nets: Nets, batch: MicroBatch, state: State) -> RoundOutput:
        """Reconstructions by the encoder that has just stepped."""
        del state
        with torch.no_grad():
            image_NCHW = nets["g"](nets["e"](batch.real_NCHW), "y")
        fake = nets["d"](image_NCHW)
        real = judge_real(nets, batch, self.config)
        weight = self.config.weights(batch.images_seen)
        l_d, statistics = discriminator_loss(batch, real, fake, weight["r1"])
        return RoundOutput(
            losses={"d": Loss(l_d)},
            statistics={**statistics, "loss/d": l_d, "d/fake": batch.mean(fake.adversarial_B)},
        )

    def _encoder_loss(
        self, nets: Nets, batch: MicroBatch, image_NCHW: Tensor, adversarial_N: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """L_e, eq. 12 with β₂ where the code has it; and its terms."""
        weight = self.config.weights(batch.images_seen)
        mse = batch.mean((image_NCHW - batch.real_NCHW).square().flatten(1).mean(1))
        adversarial = batch.mean(real_loss(adversarial_N))
        perceptual = torch.zeros_like(mse)
        if "p" in self.roles:
            with torch.no_grad():
                real_NF = nets["p"](batch.real_NCHW)
            perceptual = batch.mean((nets["p"](image_NCHW) - real_NF).square().mean(1))
        l_e = mse + weight["perceptual"] * perceptual + weight["adversarial"] * adversarial
        return l_e, {
            "loss/e": l_e,
            "loss/mse": mse,
            "loss/perceptual": perceptual,
            "loss/adversarial": adversarial,
        }
