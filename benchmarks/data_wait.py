"""How long training waits for data when S3 is slow and faulty: real server, one process per rank.

Starts SeaweedFS and the fault proxy on loopback and makes shards. Each rank takes a batch, sleeps
as long as a step lasts, and takes the next batch. Prints JSON: the share of the time that ranks
waited (over all ranks of all repetitions), the retries, and the bytes fetched.

    python -m benchmarks.data_wait                         # 50 ms, 2 % each of 503, RST, cut bodies
    python -m benchmarks.data_wait --outage 60 --steps 500 # and a minute without any storage
"""

import argparse
import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

from benchmarks.results import spread
from benchmarks.smooth_noise import SmoothNoise
from cluster.seaweed import store as seaweed
from cluster.storage.counting import CountingStore
from cluster.storage.opening import open_store
from cluster.storage.retries import RetryPolicy
from datasets.building.build import build
from datasets.shards.index import Index
from datasets.sources.base import BuildOptions
from datasets.streaming.loader import ShardBatches
from datasets.streaming.mix import DataSet
from ganinv.seams.batches import Position
from tests.support.fault_proxy import FaultProxy, fault_proxy

URL = "s3://bench/data"
SEED = 0


def rank_main(rank: int, options: argparse.Namespace) -> None:
    """The work of one rank; prints its measurements."""
    logging.basicConfig(stream=sys.stderr, format=f"rank {rank}: %(message)s")
    told: Counter[str] = Counter()

    def tell(kind: str, op: str) -> None:
        told[f"{kind} {op}"] += 1

    def count(op: str, outcome: str, size_bytes: int) -> None:
        told.update({f"{op} {outcome}": 1, "bytes": size_bytes})

    store = CountingStore(
        open_store(URL, retries=RetryPolicy(deadline_s=240, on_repeat=tell)), count
    )
    data = DataSet(store=store, index=Index.load(store))
    source = ShardBatches(
        [data], "train", seed=SEED, global_batch=options.batch, rank=rank, world=options.ranks
    )
    waits = []
    keys: list[str] = []
    with closing(source.batches(Position(epoch=0, images=0))) as batches:
        for _ in range(options.steps):
            started = time.perf_counter()
            keys += next(batches).keys
            waits.append(time.perf_counter() - started)
            time.sleep(options.step)
    rest = sum(waits[1:])
    row = {"first_s": waits[0], "wait": rest / (rest + options.step * len(waits[1:]))}
    print(json.dumps({**row, "longest_s": max(waits[1:]), "told": told, "keys": keys}))


def outages(proxy: FaultProxy, seconds: float, ended: threading.Event) -> None:
    """One outage, ten seconds into the run."""
    if seconds and not ended.wait(10):
        proxy.away.set()
        ended.wait(seconds)
        proxy.away.clear()


def measure(options: argparse.Namespace, server: seaweed.ObjectStore) -> dict[str, Any]:
    """`repeat` epochs, each in fresh processes and with different faults."""
    images = options.batch * (options.steps + 1) - 1
    build_options = BuildOptions(images=images, resolution=options.resolution)
    index = build(SmoothNoise(images, options.resolution), open_store(URL), build_options)
    runs = [_run(options, server, seed) for seed in range(options.repeat)]
    return {
        "wait": spread([rank["wait"] for run in runs for rank in run["ranks"]]),
        "every_sample_once": all(run["every_sample_once"] for run in runs),
        "bytes_of_the_epoch": sum(shard.size_bytes for shard in index.splits["train"]),
        "runs": runs,
    }


def _run(options: argparse.Namespace, server: seaweed.ObjectStore, seed: int) -> dict[str, Any]:
    faults = {"slow_down": 0.02, "reset": 0.02, "truncate": 0.02, "stall": 0.005, "stall_s": 20.0}
    with fault_proxy(server.endpoint_url, seed=seed, delay_s=0.05, **faults) as proxy:
        environment = {**os.environ, "AWS_ENDPOINT_URL": proxy.url, "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "benchmarks.data_wait", *sys.argv[1:], "--rank"]
        ranks = [
            subprocess.Popen([*command, str(r)], stdout=subprocess.PIPE, env=environment, text=True)  # noqa: S603 (ourselves)
            for r in range(options.ranks)
        ]
        ended = threading.Event()
        threading.Thread(target=outages, args=(proxy, options.outage, ended), daemon=True).start()
        try:
            rows = [json.loads(rank.communicate()[0]) for rank in ranks]
        finally:
            ended.set()
            for rank in ranks:
                rank.kill()
    keys = [key for row in rows for key in row.pop("keys")]
    asked_bytes = sum(row["told"]["bytes"] for row in rows)
    return {
        "samples": len(keys),
        "every_sample_once": len(set(keys)) == len(keys) == options.steps * options.batch,
        "bytes_asked": asked_bytes,  # except what was being read ahead at the end
        "bytes_sent_per_byte_asked": proxy.body_bytes / asked_bytes,
        "requests": proxy.fates,
        "ranks": rows,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--batch", type=int, default=16, help="samples of a step, over all ranks")
    parser.add_argument("--steps", type=int, default=200, help="they make up an epoch")
    parser.add_argument("--step", type=float, default=0.2, help="seconds that a step trains")
    parser.add_argument("--resolution", type=int, default=128, help="pixels a side")
    parser.add_argument("--outage", type=float, default=0.0, help="seconds without storage")
    parser.add_argument("--repeat", type=int, default=1, help="epochs, for the spread")
    parser.add_argument("--rank", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.rank is not None:
        rank_main(options.rank, options)
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # through `finally`: the server ends, too
    with tempfile.TemporaryDirectory() as folder:
        try:
            server = seaweed.start(Path(folder), ["bench"])
            server.enter(os.environ)
            print(json.dumps(measure(options, server), indent=1))
        finally:
            seaweed.stop(Path(folder))


if __name__ == "__main__":
    main()
