"""Engines that keep the gradients of a step, for comparison with plain autograd."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from ganinv.seams.engine import LocalEngine

Gradients = dict[str, Tensor]


@dataclass
class KeepingEngine(LocalEngine):
    """Keeps the gradients of its last step. Unlike `LocalEngine` it lets a backward pass reach all
    that the graph holds, so that nothing but the step itself keeps the losses apart.
    """

    kept: Gradients = field(default_factory=dict)

    def backward(self, loss: Tensor, *, last: bool) -> None:
        del last
        (loss / self.micro_batches).backward()

    def finish(self, *, apply: bool) -> None:
        named = self.network.named_parameters()
        self.kept = {name: p.grad.clone() for name, p in named if p.grad is not None}
        super().finish(apply=apply)


def difference(found: Gradients, expected: Gradients) -> float:
    """The largest relative difference of any parameter's gradient."""
    assert found.keys() == expected.keys()
    assert all(value.norm() > 0 for value in expected.values())
    return max(float((found[n] - g).norm() / g.norm()) for n, g in expected.items())


def same_bits(found: Gradients, expected: Gradients) -> bool:
    assert found.keys() == expected.keys()
    return all(torch.equal(found[name], value) for name, value in expected.items())
