"""Checks what users pass to the library: numbers, arrays, devices and places.

A wrong array raises `DataError`, anything else `ConfigError`; the message names the argument.
"""

import operator
import os
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ganinv.errors import ConfigError, DataError

# Floats of any depth: `[[0.5, -1]]`, or a list of tensors of equal shape.
Floats: TypeAlias = "Tensor | NDArray[Any] | Sequence[Any]"
Device: TypeAlias = torch.device | str | int


def floats(
    values: Floats, what: str, *, whole: bool = False, remedy: str = "convert them by x.float()"
) -> Tensor:
    """Floats as a dense tensor; a tensor is returned as it is, so its gradients survive.

    NumPy arrays and nested lists are copied if NumPy's or the machine's number format demands it.
    Whole numbers count as floats in lists, and with `whole` everywhere. Raises `DataError`, with
    `what` as the argument's name and `remedy` for other types, for anything else, and for numbers
    that are not finite.
    """
    tensor = _tensor(values, what)
    if tensor.layout is not torch.strided or tensor.device.type == "meta":
        kind = "meta tensors hold no numbers" if tensor.device.type == "meta" else tensor.layout
        raise DataError(f"{what}: {kind}; pass a dense tensor, for example x.to_dense()")
    if whole and not (tensor.is_complex() or tensor.dtype == torch.bool):
        tensor = tensor if tensor.is_floating_point() else tensor.float()
    if not tensor.is_floating_point():
        raise DataError(f"{what} of type {tensor.dtype}: must be floats; {remedy}")
    if not tensor.isfinite().all():
        raise DataError(
            f"{what}: some are not finite (NaN or infinite); find the operation that gave them"
        )
    return tensor


def _tensor(values: Floats, what: str) -> Tensor:
    if isinstance(values, Tensor):
        return values
    if isinstance(values, list | tuple) and values and isinstance(values[0], Tensor):
        try:
            return torch.stack(list(values))
        except (RuntimeError, TypeError) as error:
            raise DataError(
                f"{what}: a list of tensors must hold tensors of equal shape ({error})"
            ) from error
    if not isinstance(values, np.ndarray | list | tuple):
        raise DataError(
            f"{what}: {type(values).__name__} cannot be converted; pass a tensor, a NumPy array or "
            "a list of numbers"
        )
    try:
        array = np.asarray(values)
        if isinstance(values, list | tuple) and array.dtype.kind in "iu":
            array = array.astype(np.float32)  # Python's whole numbers have no type to respect
        if array.dtype.kind == "f":
            array = array.astype(np.float32 if array.dtype.itemsize <= 4 else np.float64)
        return torch.from_numpy(np.ascontiguousarray(array))
    except (ValueError, TypeError, OverflowError) as error:
        raise DataError(
            f"{what}: not an array of numbers ({str(error).partition('. ')[0]}); all rows must "
            "have the same length"
        ) from error


def whole_number(value: Any, what: str, low: int, high: int) -> int:
    """A whole number from `low` up to, not including, `high`. Raises `ConfigError` otherwise."""
    try:
        found = operator.index(value)
    except (TypeError, RuntimeError):
        found = None
    if found is None or isinstance(value, bool) or not low <= found < high:
        raise ConfigError(f"{what} = {value!r}: must be a whole number, {_interval(low, high)}")
    return found


def _interval(low: int, high: int) -> str:
    top = f"below 2^{high.bit_length() - 1}" if high >= 2**31 else f"at most {high - 1}"
    return f"at least {low} and {top}"


def usable_device(device: Device) -> torch.device:
    """A device of this machine; a number is that of an accelerator, as in PyTorch.

    Raises `ConfigError` if PyTorch does not know it or cannot use it here.
    """
    if isinstance(device, bool) or not isinstance(device, torch.device | str | int):
        raise ConfigError(f"device = {device!r}: must be a name or a number; {_devices()}")
    try:
        found = torch.device(device)
    except RuntimeError as error:
        reason = str(error).partition("\n")[0].partition(". ")[0].rstrip(".")
        known = "PyTorch knows no such device" if reason.startswith("Expected one") else reason
        raise ConfigError(f"device = {device!r}: {known}; {_devices()}") from error
    if found.type == "meta":
        raise ConfigError(f"device = {device!r}: holds no numbers; {_devices()}")
    try:
        torch.zeros(1, device=found)  # PyTorch names many devices that this machine lacks
    except (RuntimeError, AssertionError, ImportError) as error:
        reason = str(error).partition("\n")[0].partition(". ")[0]
        raise ConfigError(
            f"device = {device!r}: cannot be used here ({reason}); {_devices()}"
        ) from error
    return found


def _devices() -> str:
    count = torch.cuda.device_count()
    numbers = f", cuda:0 … cuda:{count - 1}" if count > 1 else ", cuda" if count else ""
    return f"choose cpu{numbers}"


def place_name(place: "str | bytes | os.PathLike[Any]") -> str:
    """A path or URL as text. Raises `ConfigError` for other values and impossible paths."""
    try:
        found = os.fsdecode(place)
    except TypeError as error:
        raise ConfigError(
            f"place = {place!r}: must be a directory, a URL or a .safetensors file, as text or Path"
        ) from error
    if "\0" in found:
        raise ConfigError(f"place = {found!r}: no path contains a null byte; correct it")
    return found
