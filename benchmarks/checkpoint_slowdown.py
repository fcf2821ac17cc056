"""How much one save per minute slows training down while the upload runs in the background.

Short windows alternate: one without a save, one that begins with a save and lasts at least until
the save is committed. A window with a save is compared with the mean pace of its two neighbours
without a save, which cancels drift. The extra seconds are the cost of a save; a sixtieth of them is
the slowdown at one save per 60 s. Comparing windows without a save in the same way gives the noise.

Training has one thread on a core of its own. The S3 server, which runs elsewhere in production, has
another core. The threads that hash and upload run

- `spare`: on the server's core, as on a machine with a spare core;
- `shared`: on the core of training, as on a machine without one.

The CPU time of these threads is counted, too. Together with the copy it is the cost of a save where
all cores are busy, and it does not depend on the load of a shared machine.

    python -m benchmarks.checkpoint_slowdown            # about six minutes, on two quiet cores
"""

import argparse
import json
import math
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.checkpoint_stall import URL, make_session, saver_to, train_on
from cluster.checkpoints.saving import Saver
from cluster.seaweed import store as seaweed
from cluster.storage.opening import open_store
from cluster.storage.retries import RetryPolicy
from ganinv.training.session import Session
from tests.support.saves import Counts

EVERY_S = 60.0  # one save
WITHOUT, SPARE, SHARED = "without", "spare", "shared"


@dataclass(frozen=True, kw_only=True)
class Window:
    """Seconds of wall time, and of CPU time of the training thread and of all other threads."""

    kind: str
    steps: int
    wall_s: float
    training_cpu_s: float
    helpers_cpu_s: float


class Noted(Counts):
    """Records how long uploads took."""

    def __init__(self) -> None:
        super().__init__()
        self.uploads_s: list[float] = []

    def uploaded(self, seconds: float) -> None:
        self.uploads_s.append(seconds)


def place(process: int, core: int, *, but: int | None = None) -> None:
    """Bind all threads of a process, and the threads that they start later, to a core."""
    for task in Path(f"/proc/{process}/task").iterdir():
        if int(task.name) != but:
            with suppress(ProcessLookupError):  # the thread has ended
                os.sched_setaffinity(int(task.name), {core})


def measure(
    session: Session, saver: Saver, noted: Noted, steps: int, kind: str, core: int
) -> Window:
    """One window of at least `steps` steps. `core` runs the threads that hash and upload."""
    uploads = len(noted.uploads_s) + (kind != WITHOUT)
    started, training, process = time.perf_counter(), time.thread_time(), time.process_time()
    if kind != WITHOUT:
        saver.save(session)
        place(os.getpid(), core, but=os.getpid())
    train_on(session, steps)
    while len(noted.uploads_s) < uploads:
        train_on(session, 1)
        steps += 1
    training_cpu_s = time.thread_time() - training
    window = Window(
        kind=kind,
        steps=steps,
        wall_s=time.perf_counter() - started,
        training_cpu_s=training_cpu_s,
        helpers_cpu_s=time.process_time() - process - training_cpu_s,
    )
    saver.wait()
    return window


def by_turns(
    session: Session,
    saver: Saver,
    noted: Noted,
    cores: dict[str, int],
    rounds: int,
    window_s: float,
) -> dict[str, Any]:
    train_on(session, 3)
    started = time.perf_counter()
    train_on(session, 5)
    steps = math.ceil(window_s / ((time.perf_counter() - started) / 5))
    turns = [*[WITHOUT, SPARE, WITHOUT, SHARED] * rounds, WITHOUT]
    windows = [measure(session, saver, noted, steps, kind, cores[kind]) for kind in turns]
    plain = windows[::2]
    groups: dict[str, list[Sequence[Window]]] = {
        "noise": [plain[at - 1 : at + 2] for at in range(1, len(plain) - 1)]
    }
    for kind in (SPARE, SHARED):
        places = [at for at, window in enumerate(windows) if window.kind == kind]
        groups[kind] = [windows[at - 1 : at + 2] for at in places]
    return {
        "windows": [asdict(window) for window in windows],
        "upload_s": statistics.median(noted.uploads_s),
        "cost": {kind: cost(triples) for kind, triples in groups.items()},
    }


def cost(triples: Sequence[Sequence[Window]]) -> dict[str, float]:
    """The cost of one save, from triples of a window with a save between two without one."""
    walls = [beyond(triple, "wall_s") for triple in triples]
    low, median, high = statistics.quantiles(walls, n=4)
    training = statistics.median(beyond(triple, "training_cpu_s") for triple in triples)
    helpers = statistics.median(beyond(triple, "helpers_cpu_s") for triple in triples)
    return {
        "wall_s": median,
        "wall_s_lower_quartile": low,
        "wall_s_upper_quartile": high,
        "training_cpu_s": training,
        "helpers_cpu_s": helpers,
        "slowdown": median / EVERY_S,
        "slowdown_by_cpu": (training + helpers) / EVERY_S,
    }


def beyond(triple: Sequence[Window], what: str) -> float:
    """Seconds that the middle window took beyond the pace of its neighbours."""
    before, window, after = triple
    pace = (getattr(before, what) / before.steps + getattr(after, what) / after.steps) / 2
    value: float = getattr(window, what) - window.steps * pace
    return value


def as_table(result: dict[str, Any]) -> str:
    lines = [
        "| | seconds of a save | quartiles | CPU, training | CPU, helpers | slowdown | by CPU |",
        "|---|---|---|---|---|---|---|",
    ]
    for kind, row in result["cost"].items():
        quartiles = f"{row['wall_s_lower_quartile']:.2f} to {row['wall_s_upper_quartile']:.2f}"
        cpu = f"{row['training_cpu_s']:.2f} | {row['helpers_cpu_s']:.2f}"
        shares = f"{100 * row['slowdown']:.1f} % | {100 * row['slowdown_by_cpu']:.1f} %"
        lines.append(f"| {kind} | {row['wall_s']:.2f} | {quartiles} | {cpu} | {shares} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=8, help="four windows each; at least 2")
    parser.add_argument("--window", type=float, default=9, help="seconds")
    options = parser.parse_args()
    own, other, *_ = sorted(os.sched_getaffinity(0))
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        try:
            server = seaweed.start(Path(folder), ["bench"])
            place(server.process.pid, other)
            server.enter(os.environ)
            store = open_store(URL, retries=RetryPolicy(deadline_s=60, option="storage.deadline_s"))
            session, noted = make_session(), Noted()
            with saver_to(store, noted) as saver:
                saver.save(session)  # allocates the memory that later saves reuse
                saver.wait()
                os.sched_setaffinity(0, {own})
                cores = {WITHOUT: other, SPARE: other, SHARED: own}
                result = by_turns(session, saver, noted, cores, options.rounds, options.window)
        finally:
            seaweed.stop(Path(folder))
    print(as_table(result))
    print(json.dumps(result))


if __name__ == "__main__":
    main()
