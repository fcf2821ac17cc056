"""Quantities that may change during training, as pure functions of `images_seen`.

    constant     start
    step         start · factor^⌊(images − begin) / every⌋, limited by `end` if given
    exponential  the same without rounding: start · factor^((images − begin) / every)
    linear       start until `begin`, end from `until` on, a straight line between them
    cosine       start until `begin`, end from `until` on, half a cosine between them
                 (Loshchilov and Hutter, "SGDR", 2017, eq. 5, without restarts)

An option takes a number, which stays constant (`train.learning_rate=0.003`), or a group of keys
(`'train.learning_rate={kind: cosine, start: 0.003, end: 0.0003, until: 5000000}'`).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from ganinv.errors import ConfigError
from ganinv.plain import from_plain

NEEDED: Mapping[str, tuple[str, ...]] = {
    "constant": (),
    "step": ("factor", "every"),
    "exponential": ("factor", "every"),
    "linear": ("end", "until"),
    "cosine": ("end", "until"),
}
OPTIONAL: Mapping[str, tuple[str, ...]] = {
    "constant": (),
    "step": ("end",),
    "exponential": ("end",),
    "linear": (),
    "cosine": (),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Schedule:
    """A quantity as a function of the images seen."""

    kind: Literal["constant", "step", "exponential", "linear", "cosine"]
    start: float
    end: float | None = None
    begin: int = 0  # images
    until: int | None = None  # images; linear and cosine
    factor: float | None = None  # step and exponential
    every: int | None = None  # images in which the value changes by the factor

    def __post_init__(self) -> None:
        for key in ("start", "end", "factor"):
            value = getattr(self, key)
            if value is not None and not math.isfinite(value):
                raise ConfigError(f"{key} = {value}: must be a finite number")
        for key in NEEDED[self.kind]:
            if getattr(self, key) is None:
                raise ConfigError(f"{key} is missing: a schedule of kind {self.kind} needs it")
        known = {*NEEDED[self.kind], *OPTIONAL[self.kind]}
        for key in ("end", "until", "factor", "every"):
            if getattr(self, key) is not None and key not in known:
                raise ConfigError(
                    f"{key} = {getattr(self, key)}: a schedule of kind {self.kind} does not use "
                    "it; leave it out"
                )
        if self.begin < 0:
            raise ConfigError(f"begin = {self.begin}: must be at least 0 images")
        if self.until is not None and self.until <= self.begin:
            raise ConfigError(f"until = {self.until}: must be above begin = {self.begin} images")
        if self.every is not None and self.every < 1:
            raise ConfigError(f"every = {self.every}: must be at least 1 image")
        if self.factor is not None:
            self._check_steps(self.factor)

    def _check_steps(self, factor: float) -> None:
        if factor <= 0:
            raise ConfigError(f"factor = {factor}: must be above 0")
        if self.start <= 0:
            raise ConfigError(
                f"start = {self.start}: must be above 0, because the factor multiplies it; choose "
                "another kind of schedule"
            )
        if self.end is not None and (self.end - self.start) * (factor - 1) < 0:
            raise ConfigError(
                f"end = {self.end}: steps of factor {factor} lead from start = {self.start} away "
                "from the end; give an end that the steps approach, or leave it out"
            )

    @property
    def extremes(self) -> tuple[float, float]:
        """The smallest and largest value over all of training; steps without `end` give a limit."""
        if self.kind == "constant":
            return self.start, self.start
        if self.end is not None:
            return min(self.start, self.end), max(self.start, self.end)
        assert self.factor is not None
        limit = self.start if self.factor == 1 else 0.0 if self.factor < 1 else math.inf
        return min(self.start, limit), max(self.start, limit)

    def at(self, images_seen: int) -> float:
        """The value for the step that begins at `images_seen`."""
        if self.kind == "constant" or images_seen <= self.begin:
            return self.start
        if self.kind in ("step", "exponential"):
            return self._multiplied(images_seen)
        assert self.end is not None
        assert self.until is not None
        if images_seen >= self.until:
            return self.end
        share = (images_seen - self.begin) / (self.until - self.begin)
        if self.kind == "cosine":
            share = (1 - math.cos(math.pi * share)) / 2
        return self.start + (self.end - self.start) * share

    def _multiplied(self, images_seen: int) -> float:
        assert self.factor is not None
        assert self.every is not None
        passed = images_seen - self.begin
        power = passed // self.every if self.kind == "step" else passed / self.every
        try:
            value = float(self.start * self.factor**power)
        except OverflowError:  # Python's floats raise an exception where IEEE 754 gives infinity
            value = math.copysign(math.inf, self.start)
        if self.end is None:
            return value
        return max(value, self.end) if self.factor < 1 else min(value, self.end)


if TYPE_CHECKING:
    Scheduled: TypeAlias = float | Schedule
else:
    # OmegaConf does not support a union of a number and a group; `scheduled` checks the type.
    Scheduled = Any


def scheduled(value: Any, key: str) -> Scheduled:
    """A number or schedule from plain values; messages name `key`.

    Raises `ConfigError` for anything else.
    """
    if isinstance(value, Schedule):
        return value
    if isinstance(value, Mapping):
        return from_plain(Schedule, value, key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ConfigError(
            f"{key} = {value!r}: must be a finite number, or a schedule such as "
            "{kind: linear, start: 1.0, end: 0.1, until: 1000000}"
        )
    return float(value)


def value_at(quantity: Scheduled, images_seen: int) -> float:
    """The quantity for the step that begins at `images_seen`."""
    return quantity.at(images_seen) if isinstance(quantity, Schedule) else quantity


def extremes(quantity: Scheduled) -> tuple[float, float]:
    """The smallest and the largest value that the quantity takes or approaches."""
    return quantity.extremes if isinstance(quantity, Schedule) else (quantity, quantity)
