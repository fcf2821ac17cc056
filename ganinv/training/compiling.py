"""`torch.compile` of a function of tensors that takes gradients inside, as GAN losses do.

`torch.compile` by itself leaves out what R1 and shared graphs need: gradients inside a function,
places in a graph, and graphs that serve two losses. So the function is first traced on the level of
operations, where all passes are alike, into a graph without autograd. Weights are read where they
lie.
"""

import os
import shutil
import socket
from importlib.util import find_spec

import torch
from torch import Tensor, fx
from torch.fx.experimental.proxy_tensor import make_fx

from ganinv.errors import ConfigError
from ganinv.training.round_functions import Function


def compiled(function: Function, given: list[Tensor], backend: str) -> Function:
    """A function equal to `function` up to rounding, for arguments of the shapes of `given`."""
    fast = torch.compile(traced(function, given), backend=backend, fullgraph=True, dynamic=False)

    def call(tensors: list[Tensor]) -> list[Tensor]:
        with torch.no_grad():
            results: list[Tensor] = fast(tensors)
        return results

    return call


def traced(function: Function, given: list[Tensor]) -> fx.GraphModule:
    """The operations of `function`, without the names that a step gives its parts for profilers."""
    graph = make_fx(function)(given)
    for node in reversed(list(graph.graph.nodes)):
        if getattr(node.target, "namespace", None) == "profiler":
            graph.graph.erase_node(node)
    graph.recompile()
    return graph


def check_compiler(device: torch.device) -> None:
    """Raises `ConfigError` if this machine lacks what `torch.compile` needs for `device`."""
    if device.type == "cuda":
        needed, found = "a C compiler (package gcc)", _program("CC", "gcc", "clang", "cc")
        if find_spec("triton") is None:
            needed, found = "Triton, which PyTorch's CUDA wheels bring", False
    else:
        needed, found = "a C++ compiler (package g++)", _program("CXX", "g++", "clang++", "c++")
    if not found:
        raise ConfigError(
            f"train.compile = True on {socket.gethostname()}: torch.compile needs {needed}; "
            "install it on every node, or leave out train.compile"
        )


def _program(variable: str, *names: str) -> bool:
    named = os.environ.get(variable)
    return any(shutil.which(name) for name in ([named] if named else names))
