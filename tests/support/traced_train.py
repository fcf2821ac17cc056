"""`python -m tests.support.traced_train train …`: as `launch`, with a trace of what was trained.

Every worker appends a line for each batch that its loop took, with its place in the data and the
key in each slot, to a file of its own in the directory that GANINV_TRACE names. All nodes are on
this machine.
"""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cluster import ray_environment
from ganinv.seams import Batch, BatchSource, Position

Place = tuple[int, int]  # epoch, images after the batch


class Traced:
    """A source that writes down what it gives."""

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
    """`launch.worker.train_worker`, traced."""
    from launch import worker

    plain = worker._source

    def source(*arguments: Any) -> Any:
        return Traced(plain(*arguments), payload["trace"])

    worker._source = source  # type: ignore[assignment]  # has the verb that is called
    worker.train_worker(payload)


def read_trace(folder: Path) -> dict[Place, dict[int, set[str]]]:
    """For every place the keys that any worker took for each slot; one each, if all is well."""
    found: dict[Place, dict[int, set[str]]] = {}
    for path in folder.glob("*.jsonl"):
        for line in path.read_text().splitlines():
            try:
                row = json.loads(line)
            except ValueError:
                continue  # its worker was killed in the middle of it
            slots = found.setdefault(tuple(row["place"]), {})
            for slot, key in row["keys"].items():
                slots.setdefault(int(slot), set()).add(key)
    return found


def main(words: list[str]) -> int:
    ray_environment.prepare()
    from cluster.group import WorkerGroup
    from launch import train

    plain = WorkerGroup.start

    def start(self: WorkerGroup, function: Any, payload: Any, **more: Any) -> None:
        # Tests do not travel to nodes, but what is defined in the main module is sent as a whole.
        del function
        plain(self, traced_worker, {**payload, "trace": os.environ["GANINV_TRACE"]}, **more)

    WorkerGroup.start = start  # type: ignore[method-assign]
    return train.main(words[1:])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
