"""An asyncio event loop whose clock jumps to the next timer: tests of waits take no time."""

import asyncio
import selectors


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """`time` starts at 0. It advances only when every task waits, by exactly that wait."""

    def __init__(self) -> None:
        self._now_s = 0.0
        super().__init__(_JumpingSelector(self))

    def time(self) -> float:
        return self._now_s

    def advance(self, seconds: float) -> None:
        self._now_s += seconds


class _JumpingSelector(selectors.DefaultSelector):
    """Never blocks: in place of waiting for the next timer, it advances the loop's clock."""

    def __init__(self, loop: VirtualTimeLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and timeout is not None:
            self._loop.advance(timeout)
        assert ready or timeout is not None, "every task waits, and no timer runs"
        return ready
