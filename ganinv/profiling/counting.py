"""What a step computes: its convolutions and matrix products, and the tensors alive at its peak.

A convolution counts as a filter if it has groups. A gradient of a convolution with respect to both
input and weight counts as the two that it consists of. FLOP are twice the multiply-adds, by the
formulas of `torch.utils.flop_counter`.
"""

import weakref
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

REST = "losses and the rest"  # what lies in no part that the code names
# Kinds of products.
FILTER, MATMUL = "filter", "matrix product"
FORWARD, INPUT = "convolution, forward", "convolution, input gradient"
WEIGHT = "convolution, weight gradient"

_GROUPS = {"convolution": 8, "convolution_backward": 9}  # place of the argument
_MASK = 10  # the gradients that convolution_backward gives: input, weight, bias


class Layout(NamedTuple):
    """A tensor without its values."""

    shape: tuple[int, ...]
    stride: tuple[int, ...]
    dtype: torch.dtype


@dataclass(frozen=True, slots=True)
class Product:
    """A convolution or a matrix product; tensors among the arguments are given as `Layout`."""

    function: Any  # an operation of ATen
    arguments: tuple[Any, ...]
    flop: int

    @property
    def dtype(self) -> torch.dtype:
        return next(a.dtype for a in self.arguments if isinstance(a, Layout))

    @property
    def kind(self) -> str:
        name = self.function.overloadpacket.__name__
        if name not in _GROUPS:
            return MATMUL
        if self.arguments[_GROUPS[name]] > 1:
            return FILTER
        if name == "convolution":
            return FORWARD
        return INPUT if self.arguments[_MASK][0] else WEIGHT


class Counting(TorchDispatchMode):
    """Counts what runs inside. Parts are the outermost ranges of `record_function`.

    `products`: how often each ran, by part. `calls`: how often each part was entered. `peak_bytes`:
    the most memory that tensors made inside held at once, in `peak_part`.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.products: Counter[tuple[str, Product]] = Counter()
        self.calls: Counter[str] = Counter()
        self.peak_bytes, self.peak_part = 0, REST
        self._ranges: list[str] = []
        self._live: dict[int, int] = {}  # bytes of each storage, by its identity
        self._live_bytes = 0

    @property
    def part(self) -> str:
        return self._ranges[0] if self._ranges else REST

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        del types
        if func.namespace == "profiler":
            self._range(func, args)
            return func(*args, **(kwargs or {}))
        self._watch(args, made=False)
        result = func(*args, **(kwargs or {}))
        self._watch((result,), made=True)
        if func.overloadpacket in flop_registry:
            for product in products(func, args, kwargs or {}, result):
                self.products[self.part, product] += 1
        return result

    def _range(self, func: Any, args: tuple[Any, ...]) -> None:
        if "enter" not in func.overloadpacket.__name__:
            self._ranges.pop()
            return
        self._ranges.append(args[0])
        if len(self._ranges) == 1:
            self.calls[args[0]] += 1

    def _watch(self, values: Iterable[Any], *, made: bool) -> None:
        """Note storages: those made inside count until they are freed, others do not."""
        for tensor in _tensors(values):
            storage = tensor.untyped_storage()
            key = id(storage)
            if key in self._live:
                continue
            self._live[key] = storage.nbytes() if made else 0
            weakref.finalize(storage, self._freed, key).atexit = False
            self._live_bytes += self._live[key]
        if self._live_bytes > self.peak_bytes:
            self.peak_bytes, self.peak_part = self._live_bytes, self.part

    def _freed(self, key: int) -> None:
        self._live_bytes -= self._live.pop(key)


def products(
    func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], result: Any
) -> Iterator[Product]:
    """The products that a call consists of: a convolution's gradients apart from each other."""
    variants = [args]
    if func.overloadpacket.__name__ == "convolution_backward":
        toward_input, *others = args[_MASK]
        masks = [[True, False, False]] if toward_input else []
        masks += [[False, *others]] if others[0] else []
        variants = [(*args[:_MASK], mask, *args[_MASK + 1 :]) for mask in masks]
    count = flop_registry[func.overloadpacket]
    for variant in variants:
        flop = int(count(*variant, **kwargs, out_val=result))
        yield Product(func, tuple(map(_frozen, variant)), flop)


def _frozen(value: Any) -> Any:
    if isinstance(value, Tensor):
        return Layout(tuple(value.shape), value.stride(), value.dtype)
    return tuple(value) if isinstance(value, list) else value


def _tensors(values: Iterable[Any]) -> Iterator[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from _tensors(value)
