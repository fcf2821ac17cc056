"""Writes a codec as TorchScript, for C++ programs with libtorch, or Python programs without ganinv.

`generator.pt` and, for methods that encode, `encoder.pt`: the functions of `graphs`. Both take any
batch size and run on any device.
"""

import io

import torch
from torch import Tensor, nn

from ganinv.model import InvertibleGan
from ganinv.saved.graphs import ENCODER, GENERATOR, graphs_of

GRAPH_NAMES = tuple(f"{name}.pt" for name in (GENERATOR, ENCODER))


def graph_files(model: InvertibleGan) -> dict[str, bytes]:
    """The graphs as files by name; the model must be on the CPU."""
    return {f"{name}.pt": _traced(*traceable) for name, traceable in graphs_of(model).items()}


def _traced(network: nn.Module, example: Tensor) -> bytes:
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.trace(network, example), buffer)
    return buffer.getvalue()
