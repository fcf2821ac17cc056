"""Large data sets: the cost before the first batch grows with the shards, not the samples."""

import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmarks import control_plane
from datasets.shards.index import Index, check_sizes
from datasets.shards.shard import Shard, sha256_hex
from datasets.streaming.plan import Plan
from ganinv.seams.stores import Blobs, Entries, Entry, Range

SHARDS = 20_000  # a fifth of what a large data set may have
BYTES_A_SHARD = 220  # two checksums in hexadecimal are 128 of them


class _Memory:
    """A store in memory, with as many methods as an index needs."""

    url = "memory"

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.sizes: dict[str, int] = {}

    def list(self, prefix: str = "") -> Entries:
        return [Entry(name, size) for name, size in self.sizes.items() if name.startswith(prefix)]

    def read(self, name: str) -> bytes:
        return self.objects[name]

    def read_ranges(self, ranges: Sequence[Range]) -> Blobs:
        return [self.objects[part.name][part.start : part.end] for part in ranges]

    def write(self, name: str, data: bytes | Path) -> None:
        assert isinstance(data, bytes)
        self.objects[name] = data

    def write_if_absent(self, name: str, data: bytes) -> None:
        self.write(name, data)

    def delete(self, names: Sequence[str]) -> None:
        raise NotImplementedError


def _shard(number: int) -> Shard:
    digest = sha256_hex(str(number).encode())
    return Shard(
        name=f"train/{number:06d}.tar",
        size_bytes=64 * 2**20,
        sha256=digest,
        samples=5000 + number % 7,
        table_sha256=digest[::-1],
    )


def test_the_time_and_size_of_an_index_grow_with_its_shards_alone() -> None:
    store = _Memory()
    shards = tuple(map(_shard, range(SHARDS)))
    for shard in shards:
        store.sizes |= {shard.name: shard.size_bytes, shard.table_name: 1}
    index = Index(description={}, width=64, height=64, splits={"train": shards, "test": shards[:1]})
    started = time.process_time()
    index.save(store)
    loaded = Index.load(store)
    check_sizes(loaded, store)
    plan = Plan(
        shard_samples=[shard.samples for shard in loaded.splits["train"]],
        seed=1,
        global_batch=4096,
        window_samples=256,
    )
    place = plan.sample(epoch=3, step=plan.steps - 1, slot=4095)
    seconds = time.process_time() - started
    assert seconds < 5, seconds  # about 0.6 on one idle core
    assert loaded == index
    assert len(store.objects["index.json"]) < BYTES_A_SHARD * SHARDS
    assert 0 <= place.sample < shards[place.shard].samples


@pytest.mark.integration
def test_a_billion_samples_are_planned_sought_and_resumed_in_bounded_memory() -> None:
    """Measured in a fresh process, whose whole memory counts; docs/results/ has the times."""
    (found,) = control_plane.measure_in_fresh_processes(control_plane.SHARDS, 1)
    assert found["shards"] == 10**5
    assert found["samples"] == 10**9
    assert found["peak_bytes"] < 10**9
    slots = found["resumed_samples"]
    # Of each slot: the table of a shard, or two, and about a megabyte of images, or two.
    assert found["requests"] <= slots * (2 + 2 * 256)
    assert found["read_bytes"] <= slots * 2 * (2**19 + 2**20)
    # About 0.8; an index of samples would take minutes.
    assert sum(step["cpu_s"] for step in found["seconds"].values()) < 5
