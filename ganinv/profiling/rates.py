"""How fast this machine computes the products of a step, each by itself: the limit of the step.

Each product runs as in the step: with its shapes, memory formats and precision, on the threads in
use. If nothing but these products cost time, and each ran at its own best rate, a step would take
`Σ calls × best time`.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ganinv.profiling.clock import Clock
from ganinv.profiling.counting import FILTER, Layout, Product


@dataclass(frozen=True, kw_only=True, slots=True)
class Rate:
    """Products of one kind in one precision: what they take at best, per step."""

    kind: str
    precision: str
    calls: int  # per step
    flop: int  # per step
    seconds: float  # per step, if every product runs at its best rate
    best_flop_per_s: float  # of the fastest product

    @property
    def flop_per_s(self) -> float:
        return self.flop / self.seconds


def measured_rates(
    products: Mapping[Product, int], device: torch.device, repeats: int
) -> tuple[Rate, ...]:
    """The rates of all products but filters, by kind and precision. `products`: calls per step."""
    clock = Clock(device)
    groups: dict[tuple[str, str], dict[Product, int]] = {}
    for product, calls in products.items():
        if product.kind != FILTER:
            precision = str(product.dtype).removeprefix("torch.")
            groups.setdefault((product.kind, precision), {})[product] = calls
    return tuple(_rate(*key, groups[key], clock, device, repeats) for key in sorted(groups))


def _rate(
    kind: str,
    precision: str,
    products: Mapping[Product, int],
    clock: Clock,
    device: torch.device,
    repeats: int,
) -> Rate:
    seconds = {product: _best_seconds(product, clock, device, repeats) for product in products}
    return Rate(
        kind=kind,
        precision=precision,
        calls=sum(products.values()),
        flop=sum(product.flop * calls for product, calls in products.items()),
        seconds=sum(seconds[product] * calls for product, calls in products.items()),
        best_flop_per_s=max(product.flop / seconds[product] for product in products),
    )


def _best_seconds(product: Product, clock: Clock, device: torch.device, repeats: int) -> float:
    arguments = [_argument(value, device) for value in product.arguments]
    with torch.no_grad():
        return clock.best(lambda: product.function(*arguments), repeats)


def _argument(value: Any, device: torch.device) -> Any:
    """A tensor of random numbers with this layout; other arguments as they are."""
    if not isinstance(value, Layout):
        return value
    return _random(value, device)


def _random(layout: Layout, device: torch.device) -> Tensor:
    places = zip(layout.shape, layout.stride, strict=True)
    elements = 1 + sum((size - 1) * stride for size, stride in places)
    values = torch.randn(elements, device=device).to(layout.dtype)
    return values.as_strided(layout.shape, layout.stride)


def by_product(counted: Counter[tuple[str, Product]]) -> Counter[Product]:
    """Calls of each product, over all parts."""
    total: Counter[Product] = Counter()
    for (_, product), calls in counted.items():
        total[product] += calls
    return total
