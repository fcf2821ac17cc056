"""A node leaves and another joins: 2, 1 and 2 workers train, on the same samples throughout."""

import signal
from itertools import islice
from pathlib import Path

import pytest

from cluster.storage.opening import open_store
from datasets.shards.index import Index
from datasets.streaming.loader import ShardBatches
from datasets.streaming.mix import DataSet
from ganinv.seams.batches import Position
from tests.support.commands import wait_until
from tests.support.faults import RunningTraining
from tests.support.ray_nodes import ray_nodes
from tests.support.real_runs import BATCH, END_S, MakeRun
from tests.support.traced_train import Place, read_noise, read_trace

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(900)]
ELASTIC = (
    "train.images=1000000", "cluster.workers=null", "cluster.min_workers=1",
    "cluster.max_workers=2", "cluster.grow_after_s=1",
)  # fmt: skip


def test_two_workers_become_one_and_two_again(real_run: MakeRun) -> None:
    run = real_run("elastic", options=ELASTIC)
    with ray_nodes(head_cpus=1) as cluster:
        node = cluster.add(1)
        with run.training(**cluster.environment) as running:
            wait_until(lambda: committed_by(running, 0), END_S, "two workers train")
            node.kill_raylet()
            node.process.wait(60)
            wait_until(lambda: committed_by(running, 1), END_S, "one worker trains")
            cluster.add(1)
            wait_until(lambda: committed_by(running, 2), END_S, "two workers train again")
            running.process.send_signal(signal.SIGINT)
            assert running.process.wait(120) == 130, run.log
    two, one, again = running.groups()
    assert [group.world_size for group in (two, one, again)] == [2, 1, 2]
    assert two.reason == "node_lost"
    assert (one.reason, again.reason) == ("resize", "stopped")
    assert again.resumed_from == one.images_seen  # growing loses no image
    taken = read_trace(run.folder)
    assert taken == planned(run.root / "data", len(taken))
    noise = read_noise(run.folder)
    assert again.images_seen is not None
    assert {number for _, number in noise} == set(range(again.images_seen))
    # At most one batch was loaded and not trained.
    assert len(taken) * BATCH - again.images_seen in (0, BATCH)
    assert all(len(digests) == 1 for digests in noise.values())


def committed_by(running: RunningTraining, group: int) -> bool:
    """Whether this worker group has committed a checkpoint."""
    running.check_alive()
    return any(record.number == group and record.progressed for record in running.groups())


def planned(data: Path, steps: int) -> dict[Place, dict[int, set[str]]]:
    """The samples of the first `steps` steps in a single process without faults."""
    store = open_store(str(data))
    data_set = DataSet(store=store, index=Index.load(store))
    source = ShardBatches([data_set], "train", seed=0, global_batch=BATCH, rank=0, world=1)
    batches = source.batches(Position(epoch=0, images=0))
    return {
        (batch.after.epoch, batch.after.images): {
            slot: {key} for slot, key in zip(batch.slots, batch.keys, strict=True)
        }
        for batch in islice(batches, steps)
    }
