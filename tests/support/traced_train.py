"""`python -m tests.support.traced_train train …`: `launch` with a trace of what was trained.

Each worker writes files of its own to the directory GANINV_TRACE: a line for each batch that its
loop took (the position in the data and the key in each slot) and a line for each draw of noise.
All nodes are on this machine. If the command starts Ray itself, two more variables have an effect:
GANINV_STEP_FAULTS holds faults as JSON (`tests.support.step_faults`); GANINV_LOADED is a URL to
which the worker saves the state that it has loaded, before it trains.
"""

import hashlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cluster.jobs import ray_environment
from ganinv.objectives.base import MicroBatch
from ganinv.seams.batches import Batch, BatchSource, Position

Place = tuple[int, int]  # epoch, images after the batch
Draw = tuple[str, int]  # name of the draw, number of the image


class Traced:
    """A source that records the batches that it yields."""

    def __init__(self, source: BatchSource, folder: str) -> None:
        self._source = source
        self._path = Path(folder) / f"{os.getpid()}.jsonl"

    def batches(self, start: Position) -> Iterator[Batch]:
        with self._path.open("a", buffering=1) as file:
            for batch in self._source.batches(start):
                place = (batch.after.epoch, batch.after.images)
                keys = dict(zip(batch.slots, batch.keys, strict=True))
                file.write(json.dumps({"place": place, "keys": keys}) + "\n")
                yield batch


def traced_worker(payload: dict[str, Any]) -> None:
    """`launch.wiring.worker.train_worker`, traced."""
    from launch.wiring import worker

    plain, folder = worker._source, Path(payload["trace"])

    def source(*arguments: Any) -> Any:
        return Traced(plain(*arguments), payload["trace"])

    worker._source = source  # type: ignore[assignment]  # implements the one method that is called
    _trace_noise(folder)
    _keep_last_metrics(folder)
    if payload["loaded"] is not None:
        _save_what_is_loaded(payload["loaded"])
    if payload["step_faults"]:
        from tests.support.step_faults import StepFault, inject

        inject([StepFault(**fault) for fault in payload["step_faults"]], folder)
    worker.train_worker(payload)


def _trace_noise(folder: Path) -> None:
    """Record the noise of every micro-batch that is trained on, whatever kind of code it is."""
    from ganinv.training import session as training

    plain = training.cut_into_micro_batches
    path = folder / f"{os.getpid()}.noise"

    def cut(session: Any, *arguments: Any) -> list[MicroBatch]:
        batches = plain(session, *arguments)
        with path.open("a") as file:
            for batch in batches:
                numbers = [batch.images_seen + slot for slot in batch.slots_N.tolist()]
                for name, noise_NL in batch.noise.items():
                    for number, row in zip(numbers, noise_NL, strict=True):
                        digest = hashlib.sha256(row.cpu().numpy()).hexdigest()
                        file.write(json.dumps([name, number, digest]) + "\n")
        return batches

    training.cut_into_micro_batches = cut  # type: ignore[assignment]  # passes on what it is given


def _keep_last_metrics(folder: Path) -> None:
    """Keep each worker's metrics as they are when the worker ends: `metrics-RANK`."""
    from urllib.request import urlopen

    from cluster.collectives import rank
    from cluster.monitoring.exporter import Exporter

    plain = Exporter.close

    def close(self: Exporter) -> None:
        with urlopen(f"http://{self.address}/metrics", timeout=10) as answer:
            (folder / f"metrics-{rank()}").write_bytes(answer.read())
        plain(self)

    Exporter.close = close  # type: ignore[method-assign]


def _save_what_is_loaded(url: str) -> None:
    from cluster.storage.opening import open_store
    from launch.wiring import worker
    from tests.support.saves import save

    plain = worker._restore

    def restore(session: Any, storage: Any, identity: Any) -> Any:
        manifest = plain(session, storage, identity)
        save(session, open_store(url))
        return manifest

    worker._restore = restore


def read_trace(folder: Path) -> dict[Place, dict[int, set[str]]]:
    """For every place and slot the keys that any worker took; exactly one if all is well."""
    found: dict[Place, dict[int, set[str]]] = {}
    for row in _rows(folder, "*.jsonl"):
        slots = found.setdefault(tuple(row["place"]), {})
        for slot, key in row["keys"].items():
            slots.setdefault(int(slot), set()).add(key)
    return found


def read_noise(folder: Path) -> dict[Draw, set[str]]:
    """For every draw the hashes of what any worker drew; exactly one if all is well."""
    found: dict[Draw, set[str]] = {}
    for name, number, digest in _rows(folder, "*.noise"):
        found.setdefault((name, number), set()).add(digest)
    return found


def _rows(folder: Path, pattern: str) -> Iterator[Any]:
    for path in folder.glob(pattern):
        for line in path.read_text().splitlines():
            try:
                yield json.loads(line)
            except ValueError:
                continue  # the worker was killed while it wrote this line


def main(words: list[str]) -> int:
    ray_environment.prepare()
    from cluster.workers.group import WorkerGroup
    from launch.__main__ import main as launch

    plain = WorkerGroup.start
    more_payload = {
        "trace": os.environ["GANINV_TRACE"],
        "step_faults": json.loads(os.environ.get("GANINV_STEP_FAULTS", "[]")),
        "loaded": os.environ.get("GANINV_LOADED"),
    }

    def start(self: WorkerGroup, function: Any, payload: Any, **more: Any) -> None:
        # Ray does not send tests to nodes, but it sends functions of the main module by value.
        del function
        plain(self, traced_worker, {**payload, **more_payload}, **more)

    WorkerGroup.start = start  # type: ignore[method-assign]
    ray_environment.prepare = _prepared
    return launch(words)


def _prepared(*, client: bool = False) -> None:
    """Replaces `ray_environment.prepare`, which `main` has called already."""
    assert not client


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
