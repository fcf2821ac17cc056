"""Events of the profiler are added up by part and by kind; made-up events, without a profiler."""

from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest

from ganinv.profiling.counting import REST
from ganinv.profiling.events import (
    CONVOLUTION,
    FILTERS,
    INTERPRETER,
    MATMUL,
    OPTIMIZER,
    VIEWS,
    kind_of,
    times,
)

MASK = [True, True, False]


@dataclass(eq=False)
class Event:
    """As `torch.autograd.profiler_util.FunctionEvent`, in microseconds."""

    name: str
    start: float
    end: float
    cpu_parent: "Event | None" = None
    gpu_us: float = 0.0
    is_user_annotation: bool = False
    concrete_inputs: list[object] = field(default_factory=list)
    cpu_children: list["Event"] = field(default_factory=list)
    device_type: SimpleNamespace = field(default_factory=lambda: SimpleNamespace(name="CPU"))

    def __post_init__(self) -> None:
        if self.cpu_parent is not None:
            self.cpu_parent.cpu_children.append(self)

    @property
    def time_range(self) -> SimpleNamespace:
        return SimpleNamespace(start=self.start, end=self.end)

    @property
    def self_cpu_time_total(self) -> float:
        return self.end - self.start - sum(c.end - c.start for c in self.cpu_children)

    @property
    def self_device_time_total(self) -> float:
        return self.gpu_us


def events() -> list[Event]:
    """One step of 100 µs, and an event after it."""
    step = Event("step", 0, 100, is_user_annotation=True)
    part = Event("d: forward", 10, 60, step, is_user_annotation=True)
    inner = Event("inner", 10, 50, part, is_user_annotation=True)
    groups = [None] * 8
    convolution = Event("aten::convolution", 10, 40, inner, 7, concrete_inputs=[*groups, 1])
    copy = Event("aten::copy_", 20, 25, convolution, 2)
    update = Event("Optimizer.step#Adam.step", 70, 90, step, is_user_annotation=True)
    add = Event("aten::_foreach_add_", 70, 80, update, 3)
    # Of autograd's own thread, while the part waits.
    backward = Event("aten::mm", 52, 58, None, 5)
    return [step, part, inner, convolution, copy, update, add, backward, Event("later", 101, 200)]


def in_us(found: dict[str, float]) -> dict[str, float]:
    return {key: pytest.approx(value * 1e6) for key, value in found.items()}


def test_time_on_a_processor() -> None:
    by_part, by_kind = times(events(), 1, on_gpu=False)
    assert in_us(by_part) == {"d: forward": 50 + 6, "Optimizer.step#Adam.step": 20, REST: 30}
    assert in_us(by_kind) == {CONVOLUTION: 30, INTERPRETER: 50, OPTIMIZER: 20, MATMUL: 6}


def test_time_on_a_gpu_is_that_of_the_kernels() -> None:
    by_part, by_kind = times(events(), 1, on_gpu=True, slowdown=0.5)
    assert in_us(by_part) == {"d: forward": 14, "Optimizer.step#Adam.step": 3, REST: 0}
    assert in_us(by_kind) == {CONVOLUTION: 9, INTERPRETER: 0, OPTIMIZER: 3, MATMUL: 5}


def test_the_cost_of_recording_is_taken_off_around_each_event() -> None:
    each = 0.08 * 106 / 8  # of 106 µs in 8 events
    by_part, by_kind = times(events(), 1, on_gpu=False, slowdown=0.08)
    assert in_us(by_kind)[CONVOLUTION] == 30 - each
    assert in_us(by_kind)[OPTIMIZER] == 20 - each
    assert in_us(by_part)["d: forward"] == 56 - 3 * each


@pytest.mark.parametrize(
    ("name", "arguments", "kind"),
    [
        ("aten::convolution", [None] * 8 + [8], FILTERS),
        ("aten::convolution_backward", [None] * 9 + [8, MASK], FILTERS),
        ("aten::convolution_backward", [None] * 9 + [1, MASK], CONVOLUTION),
        ("aten::addmm_", [], MATMUL),
        ("aten::as_strided", [], VIEWS),
        ("MulBackward0", [], INTERPRETER),
    ],
)
def test_kinds(name: str, arguments: list[object], kind: str) -> None:
    assert kind_of(Event(name, 0, 1, concrete_inputs=arguments)) == kind
