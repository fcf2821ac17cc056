"""The cost of a very large data set before its first batch: 100,000 shards, a billion samples.

The index is real. Tables and images are made up on request, so that storage costs nothing and only
our own work is measured. Each measurement is a fresh process.

    python -m benchmarks.control_plane                 # prints JSON
    python -m benchmarks.control_plane --repeat 9 --write   # and writes docs/results/
"""

import argparse
import io
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.results import spread, write_json
from datasets.shards.index import Index
from datasets.shards.shard import INDEX_NAME, Shard, sha256_hex
from datasets.shards.tables import Member, dump_table
from datasets.streaming.loader import ShardBatches
from datasets.streaming.mix import DataSet
from datasets.streaming.plan import Plan
from datasets.streaming.slot_reader import window_samples
from ganinv.errors import StorageMissingError
from ganinv.seams.batches import Position
from ganinv.seams.stores import Blobs, Entries, Range

SHARDS = 100_000
SAMPLES = 10_000  # per shard
RECORD_BYTES = 4096  # of a tar per sample
RESOLUTION = 32
GLOBAL_BATCH = 512
WORLD = 32
SEEKS = 1000
EPOCH = 3
STEPS = ("load", "plan", "seek", "resume")


class SyntheticStore:
    """A store to read, whose shards all hold the same samples; only the index is on disk."""

    def __init__(self, folder: Path) -> None:
        buffer = io.BytesIO()
        noise_HWC = np.random.default_rng(0).integers(0, 256, (RESOLUTION, RESOLUTION, 3), np.uint8)
        Image.fromarray(noise_HWC).save(buffer, "PNG")
        self._record = buffer.getvalue().ljust(RECORD_BYTES, b"\0")
        size = len(buffer.getvalue())
        self.table = dump_table(
            [Member(f"{i:08}", "png", i * RECORD_BYTES, size, 0, 0) for i in range(SAMPLES)]
        )
        self.folder = folder
        self.requests = 0
        self.read_bytes = 0

    @property
    def url(self) -> str:
        return self.folder.as_uri()

    def list(self, prefix: str = "") -> Entries:
        raise NotImplementedError

    def read(self, name: str) -> bytes:
        if name == INDEX_NAME:
            return (self.folder / name).read_bytes()
        if not name.endswith(".index.safetensors"):
            raise StorageMissingError(f"{self.url}/{name} is not there")
        self._count(len(self.table))
        return self.table

    def read_ranges(self, ranges: Sequence[Range]) -> Blobs:
        found = []
        for _, start, end in ranges:
            first, last = start // RECORD_BYTES, -(-end // RECORD_BYTES)
            records = self._record * (last - first)
            found.append(records[start - first * RECORD_BYTES :][: end - start])
            self._count(end - start)
        return found

    def write(self, name: str, data: bytes | memoryview | Path) -> None:
        (self.folder / name).write_bytes(data.read_bytes() if isinstance(data, Path) else data)

    def write_if_absent(self, name: str, data: bytes) -> None:
        raise NotImplementedError

    def delete(self, names: Sequence[str]) -> None:
        raise NotImplementedError

    def _count(self, size_bytes: int) -> None:
        self.requests += 1
        self.read_bytes += size_bytes


def write_index(store: SyntheticStore, shards: int) -> None:
    """Write the index of `shards` shards; their checksums differ, like real ones."""
    table_sha256 = sha256_hex(store.table)
    rows = tuple(
        Shard(
            name=f"train/{number:06}.tar",
            size_bytes=SAMPLES * RECORD_BYTES,
            sha256=sha256_hex(str(number).encode()),
            samples=SAMPLES,
            table_sha256=table_sha256,
        )
        for number in range(shards)
    )
    Index(
        description={}, width=RESOLUTION, height=RESOLUTION, splits={"train": rows, "test": ()}
    ).save(store)


def measure(folder: Path) -> dict[str, Any]:
    """Load, plan, seek and resume in this process; returns seconds, bytes and requests."""
    before_bytes = _peak_bytes()
    store = SyntheticStore(folder)
    seconds: dict[str, dict[str, float]] = {}

    def timed(step: str, work: Callable[[], Any]) -> Any:
        wall, cpu = time.perf_counter(), time.process_time()
        found = work()
        seconds[step] = {
            "wall_s": time.perf_counter() - wall,
            "cpu_s": time.process_time() - cpu,
        }
        return found

    index = timed("load", lambda: Index.load(store))
    plan = timed("plan", lambda: _planned(index))
    places = np.random.default_rng(0).integers(0, [plan.steps, GLOBAL_BATCH], (SEEKS, 2)).tolist()
    timed("seek", lambda: [plan.sample(EPOCH, step, slot) for step, slot in places])
    position = Position(epoch=EPOCH, images=plan.steps * 9 // 10 * GLOBAL_BATCH)

    def resume() -> int:
        """The first batch of one rank."""
        source = ShardBatches(
            [DataSet(store=store, index=index)],
            "train",
            seed=1,
            global_batch=GLOBAL_BATCH,
            rank=3,
            world=WORLD,
        )
        with closing(source.batches(position)) as batches:
            return len(next(batches).keys)

    taken = timed("resume", resume)
    return {
        "shards": len(index.shards),
        "samples": index.samples("train"),
        "index_bytes": (folder / INDEX_NAME).stat().st_size,
        "seconds": seconds,
        "peak_bytes": _peak_bytes(),
        "imports_bytes": before_bytes,
        "resumed_samples": taken,
        "requests": store.requests,
        "read_bytes": store.read_bytes,
    }


def _planned(index: Index) -> Plan:
    """A plan that has ordered the shards of the epoch; it does so once per epoch."""
    plan = Plan(
        shard_samples=[shard.samples for shard in index.splits["train"]],
        seed=1,
        global_batch=GLOBAL_BATCH,
        window_samples=window_samples(index, "train", GLOBAL_BATCH),
    )
    plan.sample(EPOCH, 0, 0)
    return plan


def _peak_bytes() -> int:
    """The process's peak memory since it began this program.

    `getrusage` would also count the memory of the process that started it, before its `exec`.
    """
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) * 1024


def measure_in_fresh_processes(shards: int, repeat: int) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        write_index(SyntheticStore(Path(folder)), shards)
        command = [sys.executable, "-m", "benchmarks.control_plane", "--in", folder]
        return [
            json.loads(subprocess.check_output(command, text=True, timeout=300))  # noqa: S603 (ourselves)
            for _ in range(repeat)
        ]


def summary(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Medians and ranges over fresh processes."""
    first = rows[0]
    constant = ("shards", "samples", "index_bytes", "resumed_samples", "requests", "read_bytes")
    wall = [sum(row["seconds"][step]["wall_s"] for step in STEPS) for row in rows]
    return {
        **{key: first[key] for key in constant},
        "global_batch": GLOBAL_BATCH,
        "world": WORLD,
        "seeks": SEEKS,
        "seconds": {
            step: {
                kind: spread([row["seconds"][step][kind] for row in rows])
                for kind in ("wall_s", "cpu_s")
            }
            for step in STEPS
        },
        "all_wall_s": spread(wall),
        "peak_bytes": spread([row["peak_bytes"] for row in rows]),
        "imports_bytes": spread([row["imports_bytes"] for row in rows]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--shards", type=int, default=SHARDS)
    parser.add_argument("--repeat", type=int, default=1, help="number of fresh processes")
    parser.add_argument("--write", action="store_true", help="write docs/results/ too")
    parser.add_argument("--in", dest="folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.folder is not None:
        print(json.dumps(measure(options.folder)))
        return
    found = summary(measure_in_fresh_processes(options.shards, options.repeat))
    print(json.dumps(found, indent=1))
    if options.write:
        write_json("control-plane", found)


if __name__ == "__main__":
    main()
