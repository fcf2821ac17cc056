"""A function of tensors as a CUDA graph: its kernels are recorded once, and later started at once.

Arguments are copied to where the graph reads them, and results are overwritten by the next call.
Memory that the function needs inside stays reserved. Reductions over workers and optimizers run
outside of the graph.
"""

from typing import Any

import torch
from torch import Tensor

from ganinv.errors import ConfigError
from ganinv.training.round_functions import Function

WARM_UP = 3  # calls before the capture: cuDNN chooses its algorithms, libraries load kernels


class Captures:
    """Makes CUDA graphs of functions. The graphs share their memory: only one runs at a time."""

    def __init__(self) -> None:
        self._pool: Any = None  # torch has no public name for its type

    def __call__(self, function: Function, given: list[Tensor]) -> Function:
        """`function` as a CUDA graph, for arguments of the shapes of `given`."""
        device = given[0].device
        held = [tensor.detach().clone() for tensor in given]
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.device(device):
            self._pool = self._pool or torch.cuda.graph_pool_handle()
            side = torch.cuda.Stream(device)
            side.wait_stream(torch.cuda.current_stream(device))
            with torch.cuda.stream(side):
                for _ in range(WARM_UP):
                    function(held)
            torch.cuda.current_stream(device).wait_stream(side)
            # Only this thread's calls are restricted: others load data, and NCCL watches its work.
            with torch.cuda.graph(
                graph, pool=self._pool, stream=side, capture_error_mode="thread_local"
            ):
                results = function(held)

        def call(tensors: list[Tensor]) -> list[Tensor]:
            for place, tensor in zip(held, tensors, strict=True):
                place.copy_(tensor, non_blocking=True)
            graph.replay()
            return results

        return call


def check_graphs(device: torch.device, engine: str) -> None:
    """Raises `ConfigError` if CUDA graphs cannot be used on `device` with this engine."""
    if device.type != "cuda":
        raise ConfigError(
            "train.cuda_graphs = True: only NVIDIA GPUs have them; leave it out, or give "
            "cluster.use_gpu=true"
        )
    if engine == "deepspeed":
        raise ConfigError(
            "train.cuda_graphs = True: engine.name=deepspeed may move weights and gradients, whose "
            "places a graph holds; add engine.name=flat engine.zero_stage=0"
        )
