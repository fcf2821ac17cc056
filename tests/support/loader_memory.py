"""A process that does nothing but read a data set, and says how much memory it has as it does.

    python -m tests.support.loader_memory s3://BUCKET/PREFIX EPOCHS BATCH WORKERS…

Prints JSON: for each number of loader workers, the bytes in memory after every epoch.
"""

import json
import os
import sys
from contextlib import closing
from itertools import islice
from pathlib import Path

from cluster.storage.opening import open_store
from cluster.storage.retries import RetryPolicy
from datasets.shards.index import Index
from datasets.streaming.config import LoaderConfig
from datasets.streaming.loader import ShardBatches
from datasets.streaming.mix import DataSet
from ganinv.seams.batches import Position


def resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE")


def after_epochs(url: str, epochs: int, global_batch: int, workers: int) -> list[int]:
    store = open_store(url, retries=RetryPolicy(deadline_s=60))
    index = Index.load(store)
    source = ShardBatches(
        [DataSet(store=store, index=index)],
        "train",
        seed=1,
        global_batch=global_batch,
        config=LoaderConfig(workers=workers, prefetch_bytes=2 * 2**20),
    )
    found = []
    with closing(source.batches(Position(epoch=0, images=0))) as batches:
        for _ in range(epochs):
            for batch in islice(batches, index.samples("train") // global_batch):
                batch.images_BCHW.sum()
            found.append(resident_bytes())
    return found


if __name__ == "__main__":
    url, epochs, global_batch, *workers = sys.argv[1:]
    found = {w: after_epochs(url, int(epochs), int(global_batch), int(w)) for w in workers}
    print(json.dumps(found))
