"""What is counted of a step: FLOP as PyTorch counts them, and the tensors alive at once."""

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn
from torch.autograd.profiler import record_function
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from ganinv.profiling.counting import FILTER, FORWARD, INPUT, MATMUL, REST, WEIGHT, Counting
from ganinv.seams.engine import no_reduction
from ganinv.training.step import train_step
from tests.support.families import LATENT_SIZE, build, families
from tests.support.micro_batches import local_engines, random_batch
from tests.support.runs import make_objective


class Whole(TorchDispatchMode):
    """FLOP of whole calls, as `FlopCounterMode` adds them up; which takes a second to import."""

    flop = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if count := flop_registry.get(func.overloadpacket):
            self.flop += count(*args, **(kwargs or {}), out_val=result)
        return result


@families
def test_flop_are_those_of_pytorchs_counter(name: str) -> None:
    """Ours takes the gradients of a convolution apart; the sum must be the same."""
    objective = make_objective("pvdgan", latent_size=LATENT_SIZE)
    engines = local_engines(objective, build(name))
    batch = random_batch(objective, dtype=torch.float32)
    with Whole() as whole, Counting() as counted:
        train_step(objective, engines, [batch], objective.new_state(8), no_reduction)
    flop = sum(product.flop * calls for (_, product), calls in counted.products.items())
    assert flop == whole.flop > 0


def test_products_by_kind_and_part() -> None:
    images = torch.randn(2, 3, 8, 8, requires_grad=True)
    convolution, kernel = nn.Conv2d(3, 4, 3), torch.randn(4, 1, 2, 2)
    with Counting() as counted:
        with record_function("outer"), record_function("inner"):
            y = convolution(images)
        F.conv2d(y, kernel, groups=4).flatten(1).mm(torch.randn(100, 5)).sum().backward()
    found: Counter[tuple[str, str]] = Counter()
    for (part, product), calls in counted.products.items():
        found[part, product.kind] += product.flop * calls
    multiply_adds = 2 * 4 * 36 * 3 * 9
    assert found == {
        ("outer", FORWARD): 2 * multiply_adds,
        (REST, FILTER): 2 * 2 * 4 * 25 * 4 * 2,  # forward, and the gradient of the input
        (REST, MATMUL): 2 * 2 * 100 * 5 * 2,  # forward, and the gradient of one factor
        (REST, INPUT): 2 * multiply_adds,
        (REST, WEIGHT): 2 * multiply_adds,
    }
    assert counted.calls == {"outer": 1}


def test_tensors_count_until_nothing_holds_them() -> None:
    kilobyte = torch.ones(256)
    with Counting() as counted:
        for _ in range(3):
            a = kilobyte + 1  # 1 kB
            b = a * a  # 2 kB
            del a, b
        with record_function("peak"):
            c = kilobyte + 1
            d = (c + 1).view(16, 16)  # a view holds no memory of its own
            e = c + d.flatten()  # 3 kB
        del c, d, e
        kilobyte.add_(1)  # in place: nothing new
    assert (counted.peak_bytes, counted.peak_part) == (3 * 1024, "peak")


def test_tensors_that_the_graph_holds_count() -> None:
    weight = torch.ones(256, requires_grad=True)
    with Counting() as counted:
        y = weight.exp().exp().exp()  # each result is kept for the backward pass
        del y
    assert counted.peak_bytes == pytest.approx(3 * 1024, abs=16)


def test_the_precision_of_an_engine_is_that_of_its_products() -> None:
    objective = make_objective("pvdgan", latent_size=LATENT_SIZE)
    engines = {
        name: replace(engine, precision="bf16")
        for name, engine in local_engines(objective, build("conv")).items()
    }
    batch = random_batch(objective, dtype=torch.float32)
    with Counting() as counted:
        train_step(objective, engines, [batch], objective.new_state(8), no_reduction)
    kinds = {p.kind for _, p in counted.products if p.dtype == torch.bfloat16}
    assert kinds >= {FORWARD, INPUT, WEIGHT}
    filters = {p.dtype for _, p in counted.products if p.kind == FILTER}
    assert filters == {torch.float32}  # on a processor
