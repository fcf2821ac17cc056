"""The precision of training: what networks compute in, and which kernels GPUs may choose.

    fp32   float32; TensorFloat-32 is off, although PyTorch allows it in convolutions by default
    tf32   float32 whose convolutions and matrix products round their inputs to 10 bits, on GPUs
    bf16   forward passes under autocast: convolutions round their inputs to 7 bits; the families
           say which layers stay float32 (`ganinv.networks.layers.in_float32`). Weights, gradients
           of weights, losses, optimizers and averages are float32

Evaluations and trained models compute without autocast, whatever the run's precision was.
"""

import socket
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

import torch

from ganinv.errors import ConfigError

Precision = Literal["fp32", "tf32", "bf16"]

# What deterministic training needs in a GPU worker's environment before it uses cuBLAS and NCCL:
# one workspace for each stream, and one order of summation whatever the size of a message.
DETERMINISTIC = {
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
    "NCCL_ALGO": "Ring",
    "NCCL_PROTO": "Simple",
}
# Processors that multiply bfloat16 numbers, by the names that PyTorch has for their units. On
# others, autocast works too, but is slower than float32.
_UNITS = ("avx512_bf16", "amx_bf16", "bf16")  # x86, x86 with matrix units, ARM
_TF32_CAPABILITY = (8, 0)  # CUDA's number of the first GPUs with TensorFloat-32 (A100)


def autocast(precision: Precision, device: torch.device) -> AbstractContextManager[Any]:
    """The context of forward passes on `device`."""
    if precision != "bf16":
        return nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)


def bf16_units() -> str | None:
    """The processor's units for bfloat16, if it has any."""
    has = torch.cpu.get_capabilities()
    return next((name for name in _UNITS if has.get(name)), None)


def check_precision(precision: Precision, device: torch.device) -> None:
    """Raises `ConfigError` if `device`, of this machine, lacks the units for `precision`."""
    problem = None
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
        bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
        tf32 = torch.cuda.get_device_capability(device) >= _TF32_CAPABILITY
        if (precision == "bf16" and not bf16) or (precision == "tf32" and not tf32):
            problem = f"the GPU {name} has no units for it; choose fp32"
    elif precision == "bf16" and bf16_units() is None:
        problem = (
            f"the processor has no units for it ({' or '.join(_UNITS[:2])} in /proc/cpuinfo), and "
            "it would be slower than float32; choose fp32"
        )
    if problem is not None:
        raise ConfigError(f"train.precision = {precision!r} on {socket.gethostname()}: {problem}")


def use_kernels_of(
    precision: Precision, device: torch.device, *, deterministic: bool = False
) -> None:
    """Set, for this whole process, which kernels its GPU may choose. Nothing changes on processors.

    `deterministic`: the same inputs always give the same bits; an operation without a kernel that
    promises it raises `RuntimeError`. Start the process with `DETERMINISTIC` in its environment.
    Otherwise, cuDNN measures its algorithms once for every shape, and takes the fastest.
    """
    if device.type != "cuda":
        return
    torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    torch.backends.cudnn.allow_tf32 = precision == "tf32"
    torch.backends.cudnn.benchmark = not deterministic
    torch.backends.cudnn.deterministic = deterministic
    torch.use_deterministic_algorithms(deterministic)
    # Otherwise every new tensor would be filled, which only helps code that reads it too early.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
