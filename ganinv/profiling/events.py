"""Time by part of the step and by kind of operation, from the events of `torch.profiler`.

Every event has a time of its own, which none of its inner events took. On a processor that is the
time reported; on a GPU it is that of the kernels that the event started.
"""

import bisect
import os
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from torch.profiler import ProfilerActivity, profile, record_function, schedule

from ganinv.profiling.clock import Clock
from ganinv.profiling.counting import REST

STEP = "step"
CONVOLUTION, FILTERS, MATMUL = "convolutions", "filters", "matrix products"
OPTIMIZER, AVERAGES = "optimizer", "averages"
INTERPRETER = "Python and autograd"
VIEWS = "views and allocation"
# ATen's operations by kind, without `_` at the end; the outermost one of these decides.
_NAMES = {
    MATMUL: "mm addmm bmm baddbmm linear matmul dot mv addmv",
    "activations": "leaky_relu leaky_relu_backward relu threshold_backward softplus "
    "softplus_backward sigmoid sigmoid_backward tanh tanh_backward log_sigmoid",
    "copies and conversions": "copy clone contiguous to _to_copy cat stack flip fill zero zeros "
    "zeros_like ones ones_like index index_select gather scatter constant_pad_nd",
    "elementwise": "add sub rsub mul div neg square pow sqrt rsqrt exp log abs sign where clamp "
    "clamp_min addcmul addcdiv lerp maximum minimum eq ne lt le gt ge logical_not bitwise_not "
    "bitwise_and isfinite reciprocal",
    "sums and norms": "sum mean norm linalg_vector_norm _foreach_norm all any var std max min "
    "amax amin argmax cumsum",
    AVERAGES: "_foreach_lerp",
}
_KINDS = {name: kind for kind, names in _NAMES.items() for name in names.split()}
_GROUPS = {"convolution": 8, "convolution_backward": 9}  # place of the argument
_OPTIMIZER_RANGE = "Optimizer.step"  # of torch.optim

Times = dict[str, float]  # seconds per step, by part or by kind


def record(
    step: Callable[[], None], steps: int, clock: Clock, plain_s: float, trace: str | None = None
) -> tuple[Times, Times]:
    """Run steps under the profiler; returns seconds per step by part and by kind.

    `plain_s`: the time of a step without the profiler. `trace`: a file for all events, as Chrome's
    JSON (chrome://tracing, ui.perfetto.dev).
    """
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # it announces every recording on stderr
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if clock.on_gpu else [])]
    found: list[tuple[Times, Times]] = []
    took_s: list[float] = []

    def named() -> None:
        with record_function(STEP):
            step()
            clock.wait()

    def keep(profiler: profile) -> None:
        slowdown = max(0.0, 1 - plain_s / statistics.median(took_s[1:]))
        found.append(times(profiler.events() or [], steps, on_gpu=clock.on_gpu, slowdown=slowdown))
        if trace is not None:
            profiler.export_chrome_trace(trace)

    with profile(
        activities=activities,
        # The first step under the profiler is slow.
        schedule=schedule(wait=0, warmup=1, active=steps, repeat=1),
        on_trace_ready=keep,
        record_shapes=True,
    ) as profiler:
        for _ in range(1 + steps):
            took_s.append(clock.seconds(named))
            profiler.step()
    return found[0]


def times(
    events: Iterable[Any], steps: int, *, on_gpu: bool, slowdown: float = 0.0
) -> tuple[Times, Times]:
    """Seconds per step by part and by kind. The parts are the outermost ranges of a step.

    `slowdown`: the share of the time that recording took. Each event costs the same, and that time
    lies in the event around it. It is taken off there; GPUs do not wait for it.
    """
    on_host = [event for event in events if event.device_type.name == "CPU"]
    whole = [event for event in on_host if event.name == STEP]
    spans, parts = _Places(whole), _Places(_ranges_in(on_host))
    inside = [event for event in on_host if spans.name_at(event.time_range.start)]
    spent_us = sum(event.self_cpu_time_total for event in inside)
    recording_us = 0.0 if on_gpu else slowdown * spent_us / len(inside)
    by_part: defaultdict[str, float] = defaultdict(float)
    by_kind: defaultdict[str, float] = defaultdict(float)
    for event in sorted(inside, key=lambda event: event.time_range.start):
        own_us = event.self_device_time_total if on_gpu else event.self_cpu_time_total
        own_us -= recording_us * len(event.cpu_children)
        seconds = max(own_us, 0.0) / 1e6 / steps
        by_part[parts.name_at(event.time_range.start) or REST] += seconds
        by_kind[kind_of(event)] += seconds
    return dict(by_part), dict(by_kind)


def _ranges_in(events: Iterable[Any]) -> list[Any]:
    """The outermost ranges in every step."""
    named = [event for event in events if event.is_user_annotation and event.cpu_parent]
    return [event for event in named if event.cpu_parent.name == STEP]


class _Places:
    """Ranges that do not overlap. Autograd's threads work while the range waits for them."""

    def __init__(self, ranges: Sequence[Any]) -> None:
        ordered = sorted(ranges, key=lambda event: event.time_range.start)
        self._starts = [event.time_range.start for event in ordered]
        self._ends = [event.time_range.end for event in ordered]
        self._names = [event.name for event in ordered]

    def name_at(self, time: float) -> str | None:
        place = bisect.bisect_right(self._starts, time) - 1
        return self._names[place] if place >= 0 and time <= self._ends[place] else None


def kind_of(event: Any) -> str:
    """The kind of the outermost operation that an event belongs to."""
    found = VIEWS if event.name.startswith("aten::") else INTERPRETER
    while event is not None:
        found = _own_kind(event) or found
        event = event.cpu_parent
    return found


def _own_kind(event: Any) -> str | None:
    if event.name.startswith(_OPTIMIZER_RANGE):
        return OPTIMIZER
    if not event.name.startswith("aten::"):
        return None
    name = event.name.removeprefix("aten::").rstrip("_")
    if name in _GROUPS:
        return FILTERS if event.concrete_inputs[_GROUPS[name]] > 1 else CONVOLUTION
    return _KINDS.get(name)
