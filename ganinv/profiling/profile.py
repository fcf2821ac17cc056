"""The profile of training steps: time by part and by kind of operation, FLOP, limit and memory."""

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch

from ganinv.profiling import events
from ganinv.profiling.clock import Clock, Spread
from ganinv.profiling.counting import FILTER, MATMUL, Counting, Product
from ganinv.profiling.rates import Rate, by_product, measured_rates

IDLE = "GPU waits"
WARMUP = 2  # steps; the first one makes the optimizer's state


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """What a part of the step, or a kind of operation, costs per step.

    FLOP of filters count in their own row only.
    """

    name: str
    seconds: float
    flop: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Memory:
    """Bytes. `kept`: weights, averages and optimizer states. `peak`: of tensors made in a step."""

    kept: int
    peak: int
    peak_part: str
    on_gpu: int | None  # the most that PyTorch held on the GPU; None on a processor


@dataclass(frozen=True, kw_only=True, slots=True)
class Profile:
    """What steps of `images` images cost this process.

    `step`: seconds without a profiler, by the clock of `ganinv.profiling.clock`; `wall_s` and
    `processor_s`, of all threads, are means. `forward_flop`: of one image through each network.
    """

    images: int
    device: str
    threads: int
    processor_time: bool
    step: Spread
    wall_s: float
    processor_s: float
    parts: tuple[Row, ...]
    kinds: tuple[Row, ...]
    forward_flop: Mapping[str, int]
    filter_flop: int  # per step; not part of any other number
    rates: tuple[Rate, ...]
    memory: Memory

    @property
    def images_per_s(self) -> float:
        return self.images / self.step.median

    @property
    def flop(self) -> int:
        """Of all convolutions and matrix products of a step."""
        return sum(rate.flop for rate in self.rates)

    @property
    def limit_s(self) -> float:
        """The time of a step whose products run at their best rates, and nothing else costs."""
        return sum(rate.seconds for rate in self.rates)

    @property
    def share_of_limit(self) -> float:
        return self.limit_s / self.step.median

    @property
    def share_of_other_work(self) -> float:
        """The share of time that goes into neither convolutions nor matrix products."""
        products = (events.CONVOLUTION, events.MATMUL)
        spent = sum(row.seconds for row in self.kinds if row.name in products)
        return 1 - spent / sum(row.seconds for row in self.kinds)

    def plain(self) -> dict[str, Any]:
        """All numbers, for JSON."""
        return {
            **asdict(self),
            "step": self.step._asdict(),
            "images_per_s": self.images_per_s,
            "flop": self.flop,
            "flop_per_image": self.flop / self.images,
            "flop_per_s": self.flop / self.step.median,
            "limit_s": self.limit_s,
            "limit_images_per_s": self.images / self.limit_s,
            "share_of_limit": self.share_of_limit,
            "share_of_other_work": self.share_of_other_work,
        }


def profile_steps(
    step: Callable[[], None],
    *,
    images: int,
    micro_batches: int,
    kept_bytes: Callable[[], int],
    device: torch.device,
    steps: int,
    repeats: int,
    trace: str | None = None,
) -> Profile:
    """Profile a training step, which is run again and again.

    `images`: those of a step in this process, in equal `micro_batches`. `kept_bytes` is
    asked after the steps. `repeats`: measurements of each product, of which the
    best counts. `trace`: a file for the events of the profiled steps.
    """
    clock = Clock(device)
    for _ in range(WARMUP):
        step()
    if clock.on_gpu:
        torch.cuda.reset_peak_memory_stats(device)
    wall, processor = time.perf_counter(), time.process_time()
    spread = clock.spread(step, steps)
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    on_gpu = torch.cuda.max_memory_allocated(device) if clock.on_gpu else None
    by_part, by_kind = events.record(step, steps, clock, spread.median, trace)
    with Counting() as counted:
        step()
    products = by_product(counted.products)
    return Profile(
        images=images,
        device=torch.cuda.get_device_name(device) if clock.on_gpu else "CPU",
        threads=torch.get_num_threads(),
        processor_time=clock.processor_time,
        step=spread,
        wall_s=wall / steps,
        processor_s=processor / steps,
        parts=_rows(by_part, _by_part(counted), spread.median, on_gpu=clock.on_gpu),
        kinds=_rows(by_kind, _by_kind(products), spread.median, on_gpu=clock.on_gpu),
        forward_flop=_forward(counted, images // micro_batches),
        filter_flop=sum(p.flop * calls for p, calls in products.items() if p.kind == FILTER),
        rates=measured_rates(products, device, repeats),
        memory=Memory(
            kept=kept_bytes(),
            peak=counted.peak_bytes,
            peak_part=counted.peak_part,
            on_gpu=on_gpu,
        ),
    )


def _rows(
    seconds: Mapping[str, float], flop: Mapping[str, int], step_s: float, *, on_gpu: bool
) -> tuple[Row, ...]:
    """Rows that add up to the time of a step without a profiler, which slows a processor down."""
    total = sum(seconds.values())
    scale = 1.0 if on_gpu else step_s / total
    rows = [
        Row(name=name, seconds=scale * s, flop=flop.get(name, 0)) for name, s in seconds.items()
    ]
    if on_gpu:
        rows.append(Row(name=IDLE, seconds=max(step_s - total, 0.0), flop=0))
    return tuple(rows)


def _by_part(counted: Counting) -> dict[str, int]:
    flop: Counter[str] = Counter()
    for (part, product), calls in counted.products.items():
        if product.kind != FILTER:
            flop[part] += product.flop * calls
    return dict(flop)


def _by_kind(products: Mapping[Product, int]) -> dict[str, int]:
    flop: Counter[str] = Counter()
    names = {FILTER: events.FILTERS, MATMUL: events.MATMUL}
    for product, calls in products.items():
        flop[names.get(product.kind, events.CONVOLUTION)] += product.flop * calls
    return dict(flop)


def _forward(counted: Counting, images_per_call: int) -> dict[str, int]:
    """FLOP of one image on its way through each network."""
    found = {}
    for part, flop in _by_part(counted).items():
        network, _, what = part.partition(": ")
        if what == "forward":
            found[network] = flop // (counted.calls[part] * images_per_call)
    return found
