"""One measurement of one reader, in a process of its own: ours, webdataset, MosaicML, LitData.

Each reader reads the same JPEG files in its own format. All decode with the same function and stack
the same batches. Imports and the making of data are not measured. Prints JSON.
"""

import importlib
import importlib.util
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from cluster.storage.opening import open_store
from cluster.storage.retries import RetryPolicy
from cluster.workers.heap import keep_freed_memory
from datasets.shards.images import decode_image
from datasets.shards.index import Index
from datasets.shards.quarantine import Quarantine
from datasets.shards.shard import load_table
from datasets.streaming.config import LoaderConfig
from datasets.streaming.decoding import stack_images
from datasets.streaming.fetch import read_encoded
from datasets.streaming.loader import ShardBatches
from datasets.streaming.mix import DataSet
from datasets.streaming.plan import Plan
from datasets.streaming.slot_reader import SlotReader, WindowReader, window_samples
from ganinv.seams.batches import Position

RESOLUTION = 128
BATCH = 16
SEED = 1


@dataclass(frozen=True, kw_only=True)
class Job:
    """What is measured."""

    reader: str
    """Name of one of `READERS`."""
    measure: str
    """`raw`, `decoded`, `seek` or `resume`."""
    place: Any
    """The reader's data, as the reader names them: a folder, a URL, a list of tars."""
    images: int
    """How many images to read, or after how many to resume."""
    workers: int
    """Threads or processes that decode; 0: the caller decodes."""


def collate(samples: Iterable[Mapping[str, Any]]) -> Tensor:
    """Decode and stack a batch; every reader but ours does this in its workers."""
    return stack_images(
        [decode_image(s["jpg"], (RESOLUTION, RESOLUTION), "an image") for s in samples]
    )


class Ours:
    """Our reader, shuffled in windows as in training."""

    def __init__(self, job: Job) -> None:
        keep_freed_memory()  # as workers of a run do
        self._store = open_store(job.place, retries=RetryPolicy(deadline_s=60))
        self._index = Index.load(self._store)
        self._job = job

    def raw(self) -> Iterator[memoryview]:
        index, plan = self._index, self._plan()
        with ThreadPoolExecutor(1) as executor:
            windows = WindowReader(
                store=self._store,
                shards=index.splits["train"],
                plan=plan,
                slots=tuple(range(BATCH)),
                attributes=False,
                quarantine=Quarantine(0),
            )
            reader = SlotReader(windows, executor, 0, LoaderConfig().prefetch_bytes)
            for _ in range(plan.steps):
                reader.read_ahead()
                for window, step in reader.take():
                    image = window.image(step)
                    assert image is not None  # noqa: S101 (nothing is in quarantine)
                    yield image

    def seek(self) -> bytes:
        address = self._plan().sample(0, self._job.images // BATCH, 0)
        shard = self._index.splits["train"][address.shard]
        member = load_table(self._store, shard).member(address.sample)
        return bytes(read_encoded(self._store, [(shard, member)])[0].image)

    def batches(self, done: int) -> Iterator[Tensor]:
        source = ShardBatches(
            [DataSet(store=self._store, index=self._index)],
            "train",
            seed=SEED,
            global_batch=BATCH,
            config=LoaderConfig(workers=self._job.workers),
        )
        start = Position(epoch=0, images=done // BATCH * BATCH)
        with closing(source.batches(start)) as batches:
            yield from (batch.images_BCHW for batch in batches)

    def _plan(self) -> Plan:
        return Plan(
            shard_samples=[shard.samples for shard in self._index.splits["train"]],
            seed=SEED,
            global_batch=BATCH,
            window_samples=window_samples(self._index, "train", BATCH),
        )


class WebDataset:
    """webdataset, in the order of the tars, its fastest order.

    It always begins at the start: resuming means skipping samples.
    """

    def __init__(self, job: Job) -> None:
        wds = importlib.import_module("webdataset")
        splitter = wds.split_by_worker
        self._dataset = wds.WebDataset(job.place, shardshuffle=False, workersplitter=splitter)
        self._job = job

    def raw(self) -> Iterator[bytes]:
        return (sample["jpg"] for sample in self._dataset)

    def seek(self) -> bytes:
        return next(islice(self.raw(), self._job.images, None))

    def batches(self, done: int) -> Iterator[Tensor]:
        # Each worker skips its share before decoding.
        share = done // max(1, self._job.workers)
        skipping = self._dataset.compose(lambda samples: islice(samples, share, None))
        return iter(_loader(skipping, self._job.workers))


class Mosaic:
    """MosaicML Streaming, shuffled, with a cache on local disk that is empty at first."""

    def __init__(self, job: Job) -> None:
        streaming = importlib.import_module("streaming")
        streaming.base.util.clean_stale_shared_memory()
        place = {"local": job.place}
        if "://" in job.place:
            place = {"remote": job.place, "local": tempfile.mkdtemp()}
        self._dataset = streaming.StreamingDataset(
            **place, shuffle=job.measure != "raw", shuffle_seed=SEED, batch_size=BATCH
        )
        self._loader = streaming.StreamingDataLoader
        self._job = job

    def raw(self) -> Iterator[bytes]:
        return (self._dataset[i]["jpg"] for i in range(len(self._dataset)))

    def seek(self) -> bytes:
        return bytes(self._dataset[self._job.images]["jpg"])

    def batches(self, done: int) -> Iterator[Tensor]:
        loader = _loader(self._dataset, self._job.workers, self._loader)
        if done:
            loader.load_state_dict(self._dataset.state_dict(done, from_beginning=True))
        return iter(loader)


class LitData:
    """LitData, shuffled, with a cache on local disk that is empty at first."""

    def __init__(self, job: Job) -> None:
        litdata = importlib.import_module("litdata")
        more = {"cache_dir": tempfile.mkdtemp()} if "://" in job.place else {}
        self._dataset = litdata.StreamingDataset(
            job.place, shuffle=job.measure != "raw", seed=SEED, **more
        )
        self._loader = litdata.StreamingDataLoader
        self._job = job

    def raw(self) -> Iterator[bytes]:
        return (sample["jpg"] for sample in self._dataset)

    def seek(self) -> bytes:
        return bytes(self._dataset[self._job.images]["jpg"])

    def batches(self, done: int) -> Iterator[Tensor]:
        loader = _loader(self._dataset, self._job.workers, self._loader)
        if done:
            # What `state_dict` gives after so many batches, without reading them.
            loader.load_state_dict(_litdata_state(loader, done))
        return iter(loader)


def _litdata_state(loader: Any, done: int) -> dict[str, Any]:
    workers = max(1, loader.num_workers)
    return {
        "dataset": loader.dataset.state_dict(done, loader.num_workers, BATCH),
        "current_epoch": 1,
        "latest_worker_idx": (done // BATCH - 1) % workers,
        "num_samples_yielded": done,
    }


def _loader(dataset: Any, workers: int, make: Any = torch.utils.data.DataLoader) -> Any:
    return make(dataset, batch_size=BATCH, num_workers=workers, collate_fn=collate)


MODULES = {
    "ganinv": "datasets.streaming.loader",
    "webdataset": "webdataset",
    "mosaicml-streaming": "streaming",
    "litdata": "litdata",
}
READERS: Mapping[str, Callable[[Job], Any]] = {
    "ganinv": Ours,
    "webdataset": WebDataset,
    "mosaicml-streaming": Mosaic,
    "litdata": LitData,
}


def measure(job: Job) -> dict[str, float]:
    """Seconds, images and bytes of one measurement, without imports.

    The time includes opening the reader, except for `seek`, which measures an open reader.
    """
    for module in (MODULES[job.reader], "boto3", "cluster.storage.s3", "numpy.random"):
        if importlib.util.find_spec(module) is not None:
            importlib.import_module(module)
    torch.set_num_threads(1)
    started, cpu = time.perf_counter(), time.process_time()
    reader = READERS[job.reader](job)
    if job.measure == "seek":
        started, cpu = time.perf_counter(), time.process_time()
    images = size_bytes = 0
    if job.measure == "raw":
        for data in islice(reader.raw(), job.images):
            images, size_bytes = images + 1, size_bytes + len(data)
    elif job.measure == "seek":
        images, size_bytes = 1, len(reader.seek())
    else:
        batches = reader.batches(job.images if job.measure == "resume" else 0)
        wanted = 1 if job.measure == "resume" else job.images // BATCH
        for images_BCHW in islice(batches, wanted):
            images, size_bytes = images + len(images_BCHW), size_bytes + images_BCHW.numel()
    seconds = time.perf_counter() - started
    return {
        "seconds": seconds,
        "cpu_seconds": time.process_time() - cpu,
        "images": images,
        "bytes": size_bytes,
    }


if __name__ == "__main__":
    print(json.dumps(measure(Job(**json.loads(sys.argv[1])))))
