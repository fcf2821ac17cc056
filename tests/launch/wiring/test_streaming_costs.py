"""What streaming from a real S3 server costs in memory and in bytes, seen from outside."""

import json
import subprocess
import sys
from contextlib import closing
from itertools import islice
from pathlib import Path

import pytest

from benchmarks.smooth_noise import SmoothNoise
from cluster.seaweed.store import ObjectStore
from cluster.storage.opening import open_store
from datasets.building.build import build
from datasets.shards.index import Index
from datasets.sources.base import BuildOptions
from datasets.streaming.config import LoaderConfig
from datasets.streaming.loader import ShardBatches
from datasets.streaming.mix import DataSet
from ganinv.seams.batches import Position
from tests.support.fault_proxy import FaultProxy, fault_proxy

pytestmark = pytest.mark.integration
ROOT = Path(__file__).parents[3]
IMAGES, RESOLUTION, BATCH = 49, 128, 6
STEPS = IMAGES // BATCH
DECODED_BYTES = 3 * RESOLUTION**2


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images of about 15 kB, on disk."""
    path = tmp_path_factory.mktemp("photos")
    options = BuildOptions(images=IMAGES, resolution=RESOLUTION, shard_bytes=2**20)
    build(SmoothNoise(IMAGES, RESOLUTION), open_store(str(path)), options)
    return path


@pytest.fixture
def photos_url(folder: Path, s3_store_url: str) -> str:
    """The same in S3."""
    here, there = open_store(str(folder)), open_store(s3_store_url)
    for entry in here.list():
        there.write(entry.name, folder / entry.name)
    return s3_store_url


def test_memory_is_flat_over_ten_epochs(photos_url: str) -> None:
    """Of a process, whoever allocates; were the images of seven epochs kept, it would show."""
    command = [sys.executable, "-m", "tests.support.loader_memory", photos_url, "10", str(BATCH)]
    done = subprocess.run(
        [*command, "0", "1", "2"], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    for workers, after_epoch in json.loads(done.stdout).items():
        kept_bytes = after_epoch[9] - after_epoch[2]
        assert kept_bytes < 7 * IMAGES * DECODED_BYTES / 4, (workers, after_epoch)


def test_the_server_sends_hardly_more_than_is_used(
    photos_url: str, object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whole answers to GET over all ranks, index and tables included, as the proxy counts them."""
    monkeypatch.setattr("datasets.streaming.slot_reader._MAX_WINDOW_SAMPLES", 4)
    tar_bytes = sum(shard.size_bytes for shard in Index.load(open_store(photos_url)).shards)
    used_bytes = tar_bytes * STEPS * BATCH / IMAGES
    for world in (1, 2, 3, 4):
        with fault_proxy(object_store.endpoint_url) as proxy:
            keys = [
                key for rank in range(world) for key in _an_epoch(proxy, photos_url, rank, world)
            ]
        assert len(set(keys)) == len(keys) == (STEPS - 1) * BATCH
        assert 0.8 * used_bytes <= proxy.body_bytes <= 1.1 * used_bytes, world


def _an_epoch(proxy: FaultProxy, url: str, rank: int, world: int) -> list[str]:
    """All batches but the last, with which the next epoch would be read ahead."""
    store = open_store(url, endpoint_url=proxy.url)
    source = ShardBatches(
        [DataSet(store=store, index=Index.load(store))],
        "train",
        seed=1,
        global_batch=BATCH,
        rank=rank,
        world=world,
        config=LoaderConfig(prefetch_bytes=1),
    )
    with closing(source.batches(Position(epoch=0, images=0))) as batches:
        return [key for batch in islice(batches, STEPS - 1) for key in batch.keys]
