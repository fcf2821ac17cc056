"""Filters with constant kernels, one per channel, and their gradients of any order.

PyTorch's double backward of a grouped convolution loops over the groups to compute the gradient of
the kernel, even where the kernel is a constant and nobody wants it: at 256² that was 2,103
convolutions in a step where 149 do. Here, the gradient of a filter is the transposed filter, and
that of a transposed filter is the filter.

Shapes: B samples, C channels, H × W pixels; kernels C × 1 × h × w.
"""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F


def filtered(
    x_BCHW: Tensor, kernel_C1hw: Tensor, *, padding: int, stride: int = 1, transposed: bool = False
) -> Tensor:
    """Each channel's convolution (`F.conv2d`, or `F.conv_transpose2d`) with its constant kernel.

    The result has the precision of `x_BCHW`, under autocast too.
    """
    options = (stride, padding, transposed)
    with without_autocast(x_BCHW.device):
        # TorchScript cannot hold a `Function`.
        tracing = torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
        if torch.is_grad_enabled() and x_BCHW.requires_grad and not tracing:
            result: Tensor = _Filter.apply(x_BCHW, kernel_C1hw, *options)  # type: ignore[no-untyped-call]
            return result
        return _convolved(x_BCHW, kernel_C1hw, *options)


class _Filter(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x_BCHW: Tensor, kernel_C1hw: Tensor, stride: int, padding: int, transposed: bool
    ) -> Tensor:
        ctx.save_for_backward(kernel_C1hw)
        ctx.options = stride, padding, transposed
        return _convolved(x_BCHW, kernel_C1hw, stride, padding, transposed)

    @staticmethod
    def backward(ctx: Any, grad_BCHW: Tensor) -> Any:
        (kernel_C1hw,) = ctx.saved_tensors
        stride, padding, transposed = ctx.options
        toward_BCHW = filtered(
            grad_BCHW, kernel_C1hw, stride=stride, padding=padding, transposed=not transposed
        )
        return toward_BCHW, None, None, None, None


def _convolved(
    x_BCHW: Tensor, kernel_C1hw: Tensor, stride: int, padding: int, transposed: bool
) -> Tensor:
    """In float32 on processors: their grouped convolutions have no fast path in bfloat16."""
    convolve = F.conv_transpose2d if transposed else F.conv2d
    narrow = x_BCHW.dtype == torch.bfloat16 and x_BCHW.device.type == "cpu"
    inner_BCHW = x_BCHW.float() if narrow else x_BCHW
    y_BCHW = convolve(
        inner_BCHW,
        kernel_C1hw.to(inner_BCHW.dtype),
        stride=stride,
        padding=padding,
        groups=kernel_C1hw.shape[0],
    )
    return y_BCHW.to(x_BCHW.dtype)


def without_autocast(device: torch.device) -> AbstractContextManager[Any]:
    if torch.amp.is_autocast_available(device.type):
        return torch.autocast(device.type, enabled=False)
    return nullcontext()
