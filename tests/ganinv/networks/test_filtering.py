"""Filters equal PyTorch's grouped convolutions, to any order of gradients, without their cost."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from ganinv.networks.filtering import filtered
from tests.support.families import normal

CHANNELS = 3
OPTIONS = [
    {"padding": 1, "stride": 2, "transposed": False},
    {"padding": 1, "stride": 2, "transposed": True},
    {"padding": 1, "stride": 1, "transposed": False},
    {"padding": 2, "stride": 1, "transposed": False},
]
options = pytest.mark.parametrize("option", OPTIONS)


def kernel() -> Tensor:
    return normal(CHANNELS, 1, 4, 4, seed=1).double()  # not symmetric


def images(dtype: torch.dtype = torch.float64) -> Tensor:
    return normal(2, CHANNELS, 6, 8).to(dtype).requires_grad_()


def plain(x: Tensor, kernel: Tensor, *, padding: int, stride: int, transposed: bool) -> Tensor:
    convolve = F.conv_transpose2d if transposed else F.conv2d
    return convolve(x, kernel, padding=padding, stride=stride, groups=CHANNELS)


@options
def test_values_and_gradients_of_two_orders(option: dict[str, int]) -> None:
    x = images()
    torch.testing.assert_close(filtered(x, kernel(), **option), plain(x, kernel(), **option))
    assert torch.autograd.gradcheck(lambda x: filtered(x, kernel(), **option), x)
    assert torch.autograd.gradgradcheck(lambda x: filtered(x, kernel(), **option), x)


@options
def test_bfloat16_stays_bfloat16_and_is_rounded_once(option: dict[str, int]) -> None:
    x = images(torch.bfloat16)
    exact = plain(x.double(), kernel(), **option)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        narrow = filtered(x, kernel().float(), **option)
        wide = filtered(images(torch.float32), kernel().float(), **option)
    assert (narrow.dtype, wide.dtype) == (torch.bfloat16, torch.float32)
    torch.testing.assert_close(narrow, exact.bfloat16(), rtol=2**-7, atol=1e-6)
    narrow.sum().backward()
    assert x.grad is not None
    assert x.grad.dtype == torch.bfloat16


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_torchscript_can_hold_them() -> None:
    taps = kernel()

    def down(x: Tensor) -> Tensor:
        return filtered(x, taps, padding=1, stride=2)

    traced = torch.jit.trace(down, (images(),))
    x = normal(5, CHANNELS, 8, 4).double()
    torch.testing.assert_close(traced(x), down(x))
