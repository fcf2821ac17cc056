"""The cost of a run's control plane at 1,024 ranks: measured, not projected.

This needs no 1,024 processes: a rank's plan, the manifest that rank 0 writes, the targets that
Prometheus reads and one worker's metrics have the same bytes on any machine.
"""

import json
import time
import tracemalloc
from collections.abc import Callable, Mapping
from contextlib import closing
from typing import Any

from prometheus_client import generate_latest

from benchmarks.control_plane import SAMPLES, SHARDS
from cluster.monitoring.exporter import Exporter
from datasets.streaming.plan import Plan
from ganinv.objectives.adversarial import ROLES
from ganinv.saved.manifest import Manifest, StoredObject
from ganinv.seams.batches import Position
from ganinv.training.statistics import all_statistics

RANKS = 1024
WINDOW_SAMPLES = 64


def control_plane() -> dict[str, Any]:
    """Name → seconds and bytes."""
    return {
        "ranks": RANKS,
        "plan": _plan(),
        "manifest": _manifest(),
        "discovery": _discovery(),
        "metrics": _metrics(),
    }


def _plan() -> dict[str, float]:
    """The first samples of the last rank, in the middle of an epoch of a billion samples."""
    tracemalloc.start()
    began = time.perf_counter()
    plan = Plan(
        shard_samples=(SAMPLES,) * SHARDS,
        seed=0,
        global_batch=2 * RANKS,
        window_samples=WINDOW_SAMPLES,
    )
    for slot in (RANKS - 1, 2 * RANKS - 1):
        plan.sample(0, plan.steps // 2, slot)
    took = time.perf_counter() - began
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return {"samples": SAMPLES * SHARDS, "shards": SHARDS, "seconds": took, "bytes": peak}


def _manifest() -> dict[str, float]:
    manifest = Manifest(
        name="000003000000-00000000",
        images_seen=3_000_000,
        position=Position(epoch=50, images=0),
        seed=0,
        data_fingerprint="0" * 64,
        image_resolution=256,
        image_channels=3,
        objects=tuple(
            StoredObject(name=f"part-{r:05d}.safetensors", size_bytes=r, sha256="0" * 64)
            for r in range(RANKS)
        ),
        optimizer_steps=dict.fromkeys(ROLES, 1),
        nonfinite_in_a_row=0,
        world_size=RANKS,
        created=0.0,
        config={},
        versions={},
    )  # fmt: skip
    text = manifest.to_json()
    return {
        "bytes": len(text),
        "write_seconds": _best(manifest.to_json),
        "read_seconds": _best(lambda: Manifest.from_json(text, "benchmark")),
    }


def _discovery() -> dict[str, float]:
    """The list of targets that Prometheus reads."""
    groups: list[Mapping[str, Any]] = [
        {
            "targets": [f"10.0.{r // 250}.{r % 250}:40000"],
            "labels": {"job": "ganinv", "run": "s3://bucket/runs/a", "instance": f"rank {r}"},
        }
        for r in range(RANKS)
    ]
    return {"bytes": len(json.dumps(groups)), "seconds": _best(lambda: json.dumps(groups))}


def _metrics() -> dict[str, float]:
    """Metrics of a worker that has trained and read; rank 0 also exports those of the run."""
    run, statistics = "s3://bucket/runs/a", all_statistics().values()
    with closing(Exporter(run, RANKS - 1, RANKS, "127.0.0.1", statistics)) as exporter:
        for state in ("data", "compute", "communicate"):
            with exporter.timed(state):
                exporter.stepped(1, applied=True)
        exporter.requested("read_ranges", "ok", 1)
        exporter.repeated("retry", "read")
        registry = exporter.meters.registry
        text = generate_latest(registry).decode()
        series = sum(1 for line in text.splitlines() if not line.startswith("#"))
        return {
            "series_of_a_rank": series,
            "series_of_all_ranks": series * RANKS,
            "bytes_of_a_scrape": len(text),
            "seconds_of_a_scrape": _best(lambda: generate_latest(registry)),
        }


def _best(work: Callable[[], object]) -> float:
    """The minimum of five times, in seconds: the time without interference."""
    times = []
    for _ in range(5):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return min(times)
