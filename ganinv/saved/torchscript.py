"""Writes a codec as TorchScript, for C++ programs with libtorch, or Python programs without ganinv.

`generator.pt`: codes B × L, as `encode` returns → images, clamped as in `InvertibleGan.decode`.
`encoder.pt`, only for methods that encode: images B × C × H × W in [−1, 1] → codes B × L. Both take
any batch size and run on any device.
"""

import io
from collections.abc import Callable

import torch
from torch import Tensor, nn

from ganinv.codec import Codec
from ganinv.model import InvertibleGan

GRAPH_NAMES = GENERATOR, ENCODER = "generator.pt", "encoder.pt"
TRACED_IMAGES = 2  # not 1, because tracing may treat a dimension of length 1 as constant


class _Graph(nn.Module):
    """A function of a codec, with the networks and tensors it uses, so that tracing finds them."""

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
    files = {GENERATOR: _traced(decode, code_BL)}
    if codec.encodes:
        files[ENCODER] = _traced(_Graph(codec, codec.encode), model.decode(code_BL))
    return files


def _traced(network: nn.Module, example: Tensor) -> bytes:
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.trace(network.eval(), example), buffer)
    return buffer.getvalue()
