"""The buffer is a valid safetensors file, whatever tensors are copied into it."""

import json

import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from cluster.checkpoints.host_buffer import HostBuffer

TYPES = [torch.float64, torch.float32, torch.bfloat16, torch.int64, torch.uint8, torch.bool]
SHAPES = st.lists(st.integers(0, 3), max_size=3).map(tuple)


def tensors_of(kinds: list[tuple[torch.dtype, tuple[int, ...]]], seed: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        f"ü/{number}": (torch.rand(shape, generator=generator) * 100).to(dtype)
        for number, (dtype, shape) in enumerate(kinds)
    }


@settings(max_examples=30)
@given(st.lists(st.tuples(st.sampled_from(TYPES), SHAPES), max_size=6))
def test_tensors_read_back_as_they_were_copied_in(
    kinds: list[tuple[torch.dtype, tuple[int, ...]]],
) -> None:
    buffer = HostBuffer()
    for seed in (0, 1):  # the second time into the same memory
        tensors = tensors_of(kinds, seed)
        found = safetensors.torch.load(bytes(buffer.fill(list(tensors.items()))))
        assert found.keys() == tensors.keys()
        for name, tensor in tensors.items():
            assert found[name].dtype == tensor.dtype
            assert torch.equal(found[name], tensor)


def test_large_tensors_are_aligned_to_cache_lines() -> None:
    """Otherwise copying them takes a fifth longer, and training pauses for the copy."""
    odd = [(f"odd {n}", torch.ones(n, dtype=torch.float64)) for n in (1, 3, 5)]
    large = [(f"large {n}", torch.zeros(64 * n)) for n in (1, 4, 9)]
    file = bytes(HostBuffer().fill([odd[0], large[0], odd[1], large[1], odd[2], large[2]]))
    end_of_header = 8 + int.from_bytes(file[:8], "little")
    header = json.loads(file[8:end_of_header])
    for name, _ in large:
        assert (end_of_header + header[name]["data_offsets"][0]) % 64 == 0


def test_the_memory_is_kept_while_names_and_shapes_stay() -> None:
    buffer = HostBuffer()
    wide = torch.arange(6.0).view(2, 3)
    first = buffer.fill([("x", wide)])
    again = buffer.fill([("x", wide.T.contiguous().T * 2)])  # other strides, the same shape
    assert bytes(first) == bytes(again)  # both are the same memory
    assert torch.equal(safetensors.torch.load(bytes(again))["x"], 2 * wide)
    grown = buffer.fill([("x", wide), ("y", torch.zeros(1))])
    assert safetensors.torch.load(bytes(grown)).keys() == {"x", "y"}
    assert bytes(first) == bytes(again)  # a buffer that was returned before stays as it is
