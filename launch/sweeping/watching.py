"""Shows how far the trainings of a sweep are: a bar for each; without a terminal, lines."""

import time
from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from launch.progress import LINE_EVERY_S
from launch.sweeping import running
from launch.sweeping.checking import Planned
from launch.sweeping.judging import Result


class Watch:
    """The trainings of one sweep, by name."""

    def __init__(self, trainings: Sequence[Planned], console: Console) -> None:
        self._console = console
        self._labels = {one.training.name: one.label for one in trainings}
        self._number = {name: number for number, name in enumerate(self._labels, 1)}
        self._lined: dict[str, float] = {}
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[state]}"),
            console=console,
            disable=not console.is_terminal,
        )
        self._tasks = {
            one.training.name: self._bars.add_task(
                escape(one.label), total=one.config.train.images, state="waits", start=False
            )
            for one in trainings
        }

    def __enter__(self) -> "Watch":
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def started(self, name: str) -> None:
        self._bars.start_task(self._tasks[name])
        self._bars.update(self._tasks[name], state="starts")
        self._lined[name] = time.monotonic()
        self._line(name, "starts")

    def progressed(self, name: str, progress: running.Progress) -> None:
        seen, figures = progress
        self._bars.update(self._tasks[name], completed=seen, state=escape(figures))
        if time.monotonic() - self._lined[name] >= LINE_EVERY_S:
            self._lined[name] = time.monotonic()
            self._line(name, f"{seen} images  {figures}")

    def ended(self, name: str, result: Result) -> None:
        self._bars.update(self._tasks[name], completed=result.images_seen, state=result.outcome)
        self._bars.stop_task(self._tasks[name])
        said = f": {result.reason.splitlines()[0]}" if result.reason else ""
        self._line(name, f"{result.outcome} after {result.images_seen} images{said}", always=True)

    def _line(self, name: str, text: str, *, always: bool = False) -> None:
        if always or not self._console.is_terminal:
            which = f"[{self._number[name]}/{len(self._number)}] {self._labels[name]}"
            self._console.print(f"{which}: {text}", markup=False, soft_wrap=True)
