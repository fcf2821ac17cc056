"""A codec as TorchScript: for programs with PyTorch's C++ library, or Python without ganinv.

`generator.pt`: codes B × L as `encode` gives them → images, clamped as `InvertibleGan.decode` does.
`encoder.pt`, of methods that encode: images B × C × H × W in [−1, 1] → codes B × L. Any batch size,
any device.
"""

import io
from collections.abc import Callable

import torch
from torch import Tensor, nn

from ganinv.codec import Codec
from ganinv.model import InvertibleGan

TRACED_IMAGES = 2  # more than one, so that no dimension of length 1 is taken for a constant


class _Graph(nn.Module):
    """A function of a codec, which holds all that the function uses so that tracing finds it."""

    def __init__(self, codec: Codec, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.networks = nn.ModuleDict(codec.networks)
        for name, tensor in codec.tensors.items():
            self.register_buffer(name, tensor)
        self.function = function

    def forward(self, inputs: Tensor) -> Tensor:
        return self.function(inputs)


def graph_files(model: InvertibleGan) -> dict[str, bytes]:
    """The graphs as files by name; the model must be on the CPU."""
    codec = model.codec
    code_BL = model.prior(range(TRACED_IMAGES), seed=0)
    decode = _Graph(codec, lambda code: codec.decode(code).clamp(-1, 1))
    files = {"generator.pt": _traced(decode, code_BL)}
    if codec.encodes:
        files["encoder.pt"] = _traced(_Graph(codec, codec.encode), model.decode(code_BL))
    return files


def _traced(network: nn.Module, example: Tensor) -> bytes:
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.trace(network.eval(), example), buffer)
    return buffer.getvalue()
