"""E and G as TorchScript: for programs that have PyTorch's C++ library, or Python without ganinv.

`encoder.pt`: images B × C × H × W in [−1, 1] → codes B × L. `generator.pt`: codes B × L, not
scaled → images, clamped as `InvertibleGan.decode` does. Any batch size, any device.
"""

import io

import torch
from torch import Tensor, nn

from ganinv.model import InvertibleGan

TRACED_IMAGES = 2  # more than one, so that no dimension of length 1 is taken for a constant


class Decoder(nn.Module):
    """G(z ∘ s), clamped to [−1, 1]."""

    scale_L: Tensor

    def __init__(self, generator: nn.Module, scale_L: Tensor) -> None:
        super().__init__()
        self.generator = generator
        self.register_buffer("scale_L", scale_L)

    def forward(self, code_BL: Tensor) -> Tensor:
        image_BCHW: Tensor = self.generator(code_BL * self.scale_L)
        return image_BCHW.clamp(-1, 1)


class Encoder(nn.Module):
    """E(x), without the rest of D's outputs."""

    def __init__(self, discriminator: nn.Module) -> None:
        super().__init__()
        self.discriminator = discriminator

    def forward(self, image_BCHW: Tensor) -> Tensor:
        code_BL: Tensor = self.discriminator(image_BCHW).latent_BL
        return code_BL


def graph_files(model: InvertibleGan) -> dict[str, bytes]:
    """Both graphs as files by name; the model must be on the CPU."""
    code_BL = model.prior(range(TRACED_IMAGES), seed=0)
    return {
        "generator.pt": _traced(Decoder(model.generator, model.scale_L), code_BL),
        "encoder.pt": _traced(Encoder(model.discriminator), model.decode(code_BL)),
    }


def _traced(network: nn.Module, example: Tensor) -> bytes:
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.trace(network.eval(), example), buffer)
    return buffer.getvalue()
