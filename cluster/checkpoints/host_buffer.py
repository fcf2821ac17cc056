"""A buffer in host memory with the layout of a safetensors file, reused by every save.

Training pauses only while the tensors are copied into the buffer. The bytes are then hashed and
uploaded without another copy. File format: eight bytes with the length of the header, a JSON header
with type, shape and offsets of each tensor, the tensors
(https://github.com/huggingface/safetensors#format).
"""

import json
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

Named = Sequence[tuple[str, Tensor]]
_TYPES = {
    torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16",
    torch.int64: "I64", torch.int32: "I32", torch.int16: "I16", torch.int8: "I8",
    torch.uint8: "U8", torch.bool: "BOOL",
}  # fmt: skip
# Tensors are aligned to cache lines: a copy to an unaligned address takes a fifth longer.
_LINE_BYTES = 64


class HostBuffer:
    """Memory for one save at a time; pinned if any tensor comes from a GPU."""

    def __init__(self) -> None:
        self._signature: list[Any] | None = None
        self._bytes = torch.empty(0, dtype=torch.uint8)
        self._views: dict[str, Tensor] = {}  # into `_bytes`, by tensor name

    def fill(self, tensors: Named) -> memoryview:
        """Copy `tensors` into the buffer. Returns the file's bytes, valid until the next call."""
        signature = [(name, t.dtype, t.shape, t.is_cuda) for name, t in tensors]
        if signature != self._signature:
            self._lay_out(tensors)
            self._signature = signature
        for name, tensor in tensors:
            self._views[name].copy_(tensor.detach(), non_blocking=True)
        if any(tensor.is_cuda for _, tensor in tensors):
            torch.cuda.synchronize()
        file: memoryview = self._bytes.numpy().data
        return file

    def _lay_out(self, tensors: Named) -> None:
        # The format allows no gaps. So tensors that fill whole cache lines (large ones) come first;
        # the rest follow by item size, so that each offset is a multiple of its item size.
        ordered = sorted(
            tensors, key=lambda n: (n[1].nbytes % _LINE_BYTES != 0, -n[1].itemsize, n[0])
        )
        header: dict[str, Any] = {}
        end = 0
        for name, tensor in ordered:
            start, end = end, end + tensor.nbytes
            header[name] = {
                "dtype": _TYPES[tensor.dtype],
                "shape": list(tensor.shape),
                "data_offsets": [start, end],
            }
        assert len(header) == len(tensors), "two tensors have the same name"
        text = json.dumps(header, separators=(",", ":")).encode()
        text += b" " * (-(8 + len(text)) % _LINE_BYTES)
        head = len(text).to_bytes(8, "little") + text
        pin = any(tensor.is_cuda for _, tensor in tensors)
        self._bytes = torch.empty(len(head) + end, dtype=torch.uint8, pin_memory=pin)
        self._bytes[: len(head)] = torch.frombuffer(bytearray(head), dtype=torch.uint8)
        self._views = {}
        for name, tensor in ordered:
            start, end = (len(head) + offset for offset in header[name]["data_offsets"])
            self._views[name] = self._bytes[start:end].view(tensor.dtype).view(tensor.shape)
