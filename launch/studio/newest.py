"""Work of which only the newest request counts, such as the picture while a slider is dragged."""

from collections.abc import Awaitable, Callable


class Newest:
    """Runs `work` once at a time, and once more if it was asked for meanwhile.

    However often it is asked while it runs, that is one more run: no queue grows, and the last
    request is always answered. `work` reads what is wanted when it starts. All in one event loop.
    """

    def __init__(self, work: Callable[[], Awaitable[None]]) -> None:
        self._work = work
        self._asked = self._running = False

    async def ask(self) -> None:
        """Returns at once if the work runs already."""
        self._asked = True
        if self._running:
            return
        self._running = True
        try:
            while self._asked:
                self._asked = False
                await self._work()
        finally:
            self._running = False
