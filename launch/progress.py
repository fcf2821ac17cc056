"""Progress bars on a terminal, and a line every few seconds elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

LINE_EVERY_S = 15.0  # without a terminal


@contextmanager
def counting(console: Console) -> Iterator[Callable[[str], Callable[[int, int, int], None]]]:
    """Bars for work that counts items and bytes: `watching(title)(done, total, size_bytes)`."""
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[megabytes]:.1f} MB, {task.fields[rate]:.1f} MB/s"),
        TimeRemainingColumn(),
        console=console,
    ) as bars:

        def watching(title: str) -> Callable[[int, int, int], None]:
            task = bars.add_task(title, total=None, megabytes=0.0, rate=0.0)
            started = time.monotonic()
            earlier_bytes: int | None = None  # of an interrupted build; they took no time now

            def advance(done: int, total: int, size_bytes: int) -> None:
                nonlocal earlier_bytes
                if earlier_bytes is None:
                    earlier_bytes = size_bytes
                megabytes = size_bytes / 1e6
                elapsed_s = max(time.monotonic() - started, 1e-3)
                rate = (size_bytes - earlier_bytes) / 1e6 / elapsed_s
                bars.update(
                    task, completed=done, total=total or None, megabytes=megabytes, rate=rate
                )

            return advance

        yield watching


@contextmanager
def working(console: Console, title: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar for long work in small parts: `advance(parts)`; without a terminal, lines."""
    done, lined = 0, time.monotonic()
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    ) as bars:
        task = bars.add_task(title, total=total)

        def advance(parts: int) -> None:
            nonlocal done, lined
            done += parts
            bars.update(task, completed=done)
            if not console.is_terminal and time.monotonic() - lined >= LINE_EVERY_S:
                lined = time.monotonic()
                console.print(f"{title}: {100 * done // total} %", soft_wrap=True)

        yield advance


class TrainingBar:
    """Shows a run's images, images/s, losses, latent entropy and remaining time."""

    def __init__(self, console: Console, images: int) -> None:
        self._console = console
        self._images = images
        self._lined = time.monotonic()
        self._started: tuple[float, int] | None = None
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[figures]}"),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("images", total=images, figures="starting workers …")

    def __enter__(self) -> "TrainingBar":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def update(self, progress: Mapping[str, Any]) -> None:
        """`progress`: the newest row of metrics, with the current value of images_seen."""
        if "images_seen" not in progress:
            return
        seen = int(progress["images_seen"])
        figures = self._figures(progress, seen)
        self._bar.update(self._task, completed=seen, figures=figures)
        if not self._console.is_terminal and time.monotonic() - self._lined >= LINE_EVERY_S:
            self._lined = time.monotonic()
            self._console.print(f"{seen}/{self._images} images  {figures}", soft_wrap=True)

    def _figures(self, progress: Mapping[str, Any], seen: int) -> str:
        now = time.monotonic()
        if self._started is None:
            self._started = (now, seen)
        since, first = self._started
        parts = []
        if now - since > 1:
            parts.append(f"{(seen - first) / (now - since):.0f} images/s")
        losses = sorted(key for key in progress if key.startswith("loss/"))
        for key, text in (
            *((key, f"{key.removeprefix('loss/')} {{:.2f}}") for key in losses),
            ("latent/entropy_nats", "entropy {:.1f} nats"),
            ("eval/psnr_db_test", "PSNR {:.1f} dB"),
        ):
            if key in progress:
                parts.append(text.format(progress[key]))
        if progress.get("restarts"):
            parts.append(f"{progress['restarts']} restarts")
        return "  ".join(parts)


def console(as_json: bool = False) -> Console:
    """The console for messages: standard error if standard output is for a program."""
    return Console(file=sys.stderr if as_json else sys.stdout, highlight=False)
