"""A clock that tests control, so that waiting takes no time and no load can change the outcome."""

import time
from collections.abc import Callable
from typing import Any


class Clock:
    """In place of the module `time`: `sleep` advances `now` at once, then calls `on_sleep`."""

    def __init__(self) -> None:
        self.now = 0.0  # seconds
        self.on_sleep: Callable[[], object] = lambda: None

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.on_sleep()

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)
