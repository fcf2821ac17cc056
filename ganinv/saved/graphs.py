"""A model's functions as modules, from which `torchscript` and `onnx_graphs` write graphs.

`generator`: codes B × L, as `encode` returns → images, clamped as in `InvertibleGan.decode`.
`encoder`, only of methods that encode: images B × C × H × W in [−1, 1] → codes B × L.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from torch import Tensor, nn

from ganinv.codec import Codec
from ganinv.model import InvertibleGan

GENERATOR, ENCODER = "generator", "encoder"
TRACED_IMAGES = 2  # not 1, because tracing may treat a dimension of length 1 as constant


class Graph(nn.Module):
    """A function of a codec, with the networks and tensors it uses, so that tracing finds them."""

    def __init__(self, codec: Codec, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.networks = nn.ModuleDict(codec.networks)
        for name, tensor in codec.tensors.items():
            self.register_buffer(name, tensor)
        self.function = function

    def forward(self, inputs: Tensor) -> Tensor:
        return self.function(inputs)


class Traceable(NamedTuple):
    """A function to trace, and inputs to trace it with."""

    graph: Graph
    example: Tensor


def graphs_of(model: InvertibleGan) -> Mapping[str, Traceable]:
    """The functions by name; the model must be on the CPU."""
    codec = model.codec
    code_BL = model.prior(range(TRACED_IMAGES), seed=0)
    decode = Graph(codec, lambda code: codec.decode(code).clamp(-1, 1)).eval()
    graphs = {GENERATOR: Traceable(decode, code_BL)}
    if codec.encodes:
        encode = Graph(codec, codec.encode).eval()
        graphs[ENCODER] = Traceable(encode, model.decode(code_BL))
    return graphs
