"""How long each phase of a start takes: of a command, and of a worker from its process on."""

import time


class Phases:
    """Seconds of each phase, in order. A phase ends where the next begins."""

    def __init__(self, before: float = 0.0) -> None:
        """`before`: seconds of the first phase that have passed already."""
        self.seconds: dict[str, float] = {}
        self._since = time.monotonic() - before

    def end(self, name: str) -> None:
        """End the present phase, which is called `name`."""
        now = time.monotonic()
        self.seconds[name] = self.seconds.get(name, 0.0) + now - self._since
        self._since = now


def in_words(seconds: dict[str, float]) -> str:
    """Such as `imports 3.1, Ray 4.0`, in seconds; without phases too short to show."""
    return ", ".join(f"{name} {s:.1f}" for name, s in seconds.items() if round(s, 1) > 0)
