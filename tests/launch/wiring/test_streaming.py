"""Streaming from a real S3 server behind a network as bad as they come."""

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import pytest
import torch

from cluster.seaweed.store import ObjectStore
from cluster.storage import retries as storage_retries
from cluster.storage.opening import open_store
from cluster.storage.retries import RetryPolicy
from datasets.building.build import build
from datasets.shards.index import Index
from datasets.sources.avatars import AvatarSource
from datasets.sources.base import BuildOptions
from datasets.streaming.loader import ShardBatches
from datasets.streaming.mix import DataSet
from ganinv.errors import StorageError
from ganinv.seams.batches import Batch, Position
from ganinv.seams.stores import Store
from tests.support.fault_proxy import FaultProxy, fault_proxy

pytestmark = pytest.mark.integration
BATCH = 12
STEPS = 200 // BATCH
RANKS = 2
START = Position(epoch=0, images=0)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many small requests, and an end of an outage that is noticed soon."""
    monkeypatch.setattr("datasets.streaming.slot_reader._MAX_WINDOW_SAMPLES", 3)
    monkeypatch.setattr(storage_retries, "MAX_PAUSE_S", 0.3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """200 training images in shards of 64, on disk."""
    path = tmp_path_factory.mktemp("streamed")
    options = BuildOptions(images=200, resolution=16, seed=3)
    build(AvatarSource(options), open_store(str(path)), options)
    return path


@pytest.fixture
def data_url(folder: Path, s3_store_url: str) -> str:
    """The same on S3."""
    here, there = open_store(str(folder)), open_store(s3_store_url)
    for entry in here.list():
        there.write(entry.name, here.read(entry.name))
    return s3_store_url


@pytest.fixture
def proxy(object_store: ObjectStore) -> Iterator[FaultProxy]:
    with fault_proxy(object_store.endpoint_url) as running:
        yield running


def through(proxy: FaultProxy, url: str, retries: RetryPolicy | None) -> Store:
    return open_store(url, endpoint_url=proxy.url, retries=retries)


def an_epoch(store: Store, on_batch: Callable[[int], None] | None = None) -> list[list[Batch]]:
    """By rank, the batches of an epoch; `on_batch` is called with the number of each of rank 0."""
    index = Index.load(store)
    ranks = []
    for rank in range(RANKS):
        source = ShardBatches(
            [DataSet(store=store, index=index)],
            "train",
            seed=1,
            global_batch=BATCH,
            rank=rank,
            world=RANKS,
        )
        batches = source.batches(START)
        taken = []
        for number, batch in enumerate(islice(batches, index.samples("train") // BATCH)):
            taken.append(batch)
            if on_batch is not None and rank == 0:
                on_batch(number)
        batches.close()
        ranks.append(taken)
    return ranks


def assert_same(found: Sequence[Sequence[Batch]], expected: Sequence[Sequence[Batch]]) -> None:
    for rank, theirs in zip(found, expected, strict=True):
        for a, b in zip(rank, theirs, strict=True):
            assert (a.keys, a.slots, a.after) == (b.keys, b.slots, b.after)
            assert torch.equal(a.images_BCHW, b.images_BCHW)


def test_an_epoch_through_faults_is_the_epoch_without_any(
    folder: Path, data_url: str, proxy: FaultProxy, caplog: pytest.LogCaptureFixture
) -> None:
    expected = an_epoch(open_store(str(folder)))
    keys = [key for rank in expected for batch in rank for key in batch.keys]
    assert len(set(keys)) == len(keys) == len(expected[0]) * BATCH
    rates = {"slow_down": 0.05, "reset": 0.05, "truncate": 0.05, "stall": 0.03}
    proxy.faults = type(proxy.faults)(seed=2, delay_s=0.05, stall_s=5.0, **rates)
    told: list[str] = []

    def tell(kind: str, op: str) -> None:
        told.append(kind)

    retries = RetryPolicy(deadline_s=60, on_repeat=tell)
    assert_same(an_epoch(through(proxy, data_url, retries)), expected)
    assert rates.keys() <= proxy.fates.keys()
    assert told.count("retry") >= 3
    assert 1 <= told.count("hedge") <= 2 + 0.05 * sum(proxy.fates.values())
    assert not caplog.messages  # none of it was an outage


def test_an_outage_is_ridden_out(
    folder: Path, data_url: str, proxy: FaultProxy, caplog: pytest.LogCaptureFixture
) -> None:
    expected = an_epoch(open_store(str(folder)))
    caplog.set_level(logging.WARNING)
    ends: list[threading.Timer] = []

    def go_away(batch: int) -> None:
        if batch == 0:
            proxy.away.set()
            ends.append(threading.Timer(2.0, proxy.away.clear))
            ends[0].start()

    found = an_epoch(through(proxy, data_url, RetryPolicy(deadline_s=60)), go_away)
    ends[0].join()
    assert_same(found, expected)
    first, last = caplog.messages
    assert "retrying for up to 60 s" in first
    assert "storage answers again" in last


def test_without_patience_or_beyond_it_the_fault_is_said(data_url: str, proxy: FaultProxy) -> None:
    proxy.away.set()
    for retries in (None, RetryPolicy(deadline_s=1.5)):
        with pytest.raises(StorageError, match=r"s3://.* does not answer") as caught:
            through(proxy, data_url, retries).read("index.json")
        assert ("gave up after" in str(caught.value)) == (retries is not None)
    proxy.away.clear()
    patient = through(proxy, "s3://no-such-bucket/x", RetryPolicy(deadline_s=60))
    with pytest.raises(StorageError, match="NoSuchBucket"):
        patient.read("x")
    assert proxy.fates["pass"] <= 3  # not asked for a minute
