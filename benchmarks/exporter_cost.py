"""The overhead of monitoring: steps of a real training, with and without an exporter.

The steps are as short as real steps get (two tiny networks, 16 images of 16 px), so the relative
overhead is as large as it gets. Windows of three kinds alternate: without any observer; with the
exporter; and with everything that rank 0 has: exporter, watchdog, log, and a directory actor in a
local Ray. Processor time is compared as well as wall time, because it is less sensitive to other
load. The overhead is smaller than the noise of windows, so the hooks are also measured alone.

Ends with status 1 if the hooks of a step take more than `MOST_SHARE` of a step of `FAST_STEP_MS`.

    python -m benchmarks.exporter_cost                # about three minutes
    python -m benchmarks.exporter_cost --windows 0    # the hooks alone: seconds
"""

import argparse
import json
import statistics
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cluster.jobs import ray_environment
from cluster.monitoring.exporter import Exporter
from cluster.storage.local import LocalStore
from cluster.workers.watchdog import Watchdog
from ganinv.places.loopback import spare_loopback
from ganinv.training.config import lay_out_batch
from ganinv.training.loop import Observer, Row, TimeState, run
from ganinv.training.session import Session
from ganinv.training.statistics import all_statistics
from tests.support.runs import TRAIN, RandomImages, local_session, make_objective

SCRAPE_EVERY_S = 5.0
REPEATED = 200  # calls of each part that is measured alone
FAST_STEP_MS = 30.0  # a step on one GPU, if it is very fast
MOST_SHARE = 0.01


class Silent:
    """An observer that does nothing."""

    def timed(self, state: TimeState) -> AbstractContextManager[object]:
        del state
        return nullcontext()

    def stepped(self, images: int, *, applied: bool) -> None: ...

    def logged(self, row: Row, session: Session) -> None: ...

    def went_back(self, images_seen: int, restored: int) -> None: ...

    def stop_requested(self) -> bool:
        return False


@dataclass
class Exporting(Silent):
    """Forwards to the exporter alone."""

    exporter: Exporter

    def timed(self, state: TimeState) -> AbstractContextManager[object]:
        return self.exporter.timed(state)

    def stepped(self, images: int, *, applied: bool) -> None:
        self.exporter.stepped(images, applied=applied)

    def logged(self, row: Row, session: Session) -> None:
        self.exporter.logged(row, session)


def new_exporter() -> Exporter:
    """The exporter of a run's only worker."""
    return Exporter("benchmark", 0, 1, "127.0.0.1", all_statistics().values())


@contextmanager
def watching(folder: Path) -> Iterator[tuple[Observer, Exporter]]:
    """The watcher of a run with one worker, and its exporter."""
    from cluster.config import ClusterConfig, MetricsConfig
    from cluster.workers.group import WorkerGroup
    from launch.wiring.watching import Watcher

    with (
        closing(WorkerGroup("benchmark", ClusterConfig(), MetricsConfig())) as group,
        closing(new_exporter()) as exporter,
        closing(Watchdog(floor_s=60, first_s=60, patient_s=600)) as watchdog,
    ):
        group.directory.group_launched.remote(1)
        store = LocalStore(str(folder))
        yield Watcher(exporter, group.directory, store, 0, watchdog), exporter


@contextmanager
def scraped(exporter: Exporter) -> Iterator[None]:
    """Scrape every few seconds from this process, so that the scrapes count too."""
    over = threading.Event()

    def ask() -> None:
        while not over.is_set():
            scrape(exporter)
            over.wait(SCRAPE_EVERY_S)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def scrape(exporter: Exporter) -> None:
    with urllib.request.urlopen(f"http://{exporter.address}/metrics", timeout=30) as answer:
        answer.read()


def train(session: Session, steps: int, observer: Observer, exporter: Exporter | None) -> int:
    """Train `steps` steps with one row of metrics at the end; returns the number of all-reduces."""
    images = session.images_seen + steps * TRAIN.global_batch
    config = replace(TRAIN, images=images, log_every=images, checkpoint_every=images)
    sums = 0

    def reduce(total: Tensor) -> Tensor:
        nonlocal sums
        sums += 1
        with nullcontext() if exporter is None else exporter.timed("communicate"):
            return total.clone()

    run(
        session,
        config,
        lay_out_batch(config, 1),
        source=RandomImages(config.global_batch),
        reduce=reduce,
        observer=observer,
        save=lambda: None,
        restore=lambda: None,
        evaluate=dict,
    )
    return sums


def windows(
    session: Session, watcher: Observer, exporter: Exporter, count: int, steps: int
) -> dict[str, Any]:
    """Milliseconds per step, and the increase over the silent window of the same round."""
    kinds: dict[str, Observer] = {
        "silent": Silent(), "exporter": Exporting(exporter), "all": watcher
    }  # fmt: skip
    found: dict[str, list[tuple[float, float]]] = {kind: [] for kind in kinds}
    train(session, steps, watcher, exporter)  # warms up
    for _ in range(count):
        for kind, observer in kinds.items():
            wall, processor = time.perf_counter(), time.process_time()
            if kind == "silent":
                train(session, steps, observer, None)
            else:
                with scraped(exporter):
                    train(session, steps, observer, exporter)
            spent = (time.perf_counter() - wall, time.process_time() - processor)
            found[kind].append((1000 * spent[0] / steps, 1000 * spent[1] / steps))
    return {
        clock: {
            kind: {
                "step_ms": statistics.median(row[at] for row in rows),
                "cost": statistics.median(
                    row[at] / silent[at] - 1
                    for row, silent in zip(rows, found["silent"], strict=True)
                ),
            }
            for kind, rows in found.items()
        }
        for at, clock in enumerate(("wall", "processor"))
    }


def alone(exporter: Exporter, sums_per_step: int) -> dict[str, float]:
    """Milliseconds of processor time of the exporter's hooks of one step, and of one scrape."""

    def hooks() -> None:
        with exporter.timed("data"):
            pass
        with exporter.timed("compute"):
            for _ in range(sums_per_step):
                with exporter.timed("communicate"):
                    pass
        exporter.stepped(TRAIN.global_batch, applied=True)

    return {"a step's hooks": _each_ms(hooks), "a scrape": _each_ms(lambda: scrape(exporter))}


def _each_ms(work: Callable[[], object]) -> float:
    times = []
    for _ in range(5):
        began = time.process_time()
        for _ in range(REPEATED):
            work()
        times.append(1000 * (time.process_time() - began) / REPEATED)
    return statistics.median(times)


def main() -> int:
    spare_loopback()
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--windows", type=int, default=8, help="of each kind; 0: the hooks alone")
    parser.add_argument("--steps", type=int, default=200, help="in a window")
    options = parser.parse_args()
    ray_environment.prepare()
    torch.set_num_threads(1)
    session = local_session(make_objective("pvdgan"))
    sums_per_step = round(train(session, 20, Silent(), None) / 20)
    if options.windows:
        with tempfile.TemporaryDirectory() as folder, watching(Path(folder)) as (watcher, exporter):
            step = windows(session, watcher, exporter, options.windows, options.steps)
            parts = alone(exporter, sums_per_step)
        print_windows(step, parts)
    else:
        with closing(new_exporter()) as exporter:
            parts = alone(exporter, sums_per_step)
    share = parts["a step's hooks"] / FAST_STEP_MS
    print(f"the hooks of a step take {share:.2%} of {FAST_STEP_MS:g} ms; limit {MOST_SHARE:.0%}")
    return int(share > MOST_SHARE)


def print_windows(step: dict[str, Any], parts: dict[str, float]) -> None:
    silent = step["processor"]["silent"]["step_ms"]
    per_step = parts["a step's hooks"] + parts["a scrape"] * silent / (1000 * SCRAPE_EVERY_S)
    result = {"windows": step, "alone_ms": parts, "cost_of_parts": per_step / silent}
    print(json.dumps(result))
    print(f"overhead of a step of {silent:.1f} ms: {per_step:.3f} ms ({per_step / silent:.2%})")
    for clock, kinds in step.items():
        costs = {kind: f"{row['cost']:+.1%}" for kind, row in kinds.items() if kind != "silent"}
        print(f"windows, {clock} time: {costs}")


if __name__ == "__main__":
    sys.exit(main())
