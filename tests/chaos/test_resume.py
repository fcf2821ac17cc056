"""A run that is killed and resumed equals an uninterrupted run, bit for bit.

Tested for DLSGAN and PVDGAN at ZeRO stages 1 and 2 and without sharding, where DeepSpeed and the
flat engine take turns, and for each other method on one engine. In each run a worker is killed, and
later the command: one at a random moment, the other in the middle of a save, while a proxy holds
one of its requests. `tiny-lia` trains LIA's first stage undisturbed, then its second.
"""

import os
import random
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import cycle

import pytest

from cluster.seaweed.store import ObjectStore
from ganinv import objectives
from tests.support.commands import alive, wait_until
from tests.support.fault_proxy import Cut, FaultProxy, Moment, fault_proxy
from tests.support.faults import RunningTraining
from tests.support.real_runs import INTERVAL, MakeRun
from tests.support.states import sha256_of

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(900)]
IMAGES = 8 * INTERVAL
# The moment in a save: the number of the upload (parts of two ranks, then the manifest), and how
# much of it has reached the store.
UPLOADS: tuple[tuple[int, Moment], ...] = (
    (0, "before"), (0, 0.5), (1, 0.5), (1, "after"), (2, "before"), (2, "after"),
)  # fmt: skip


# A stage of ZeRO, or the flat engine → its options.
ENGINES = {
    **{str(stage): (f"engine.zero_stage={stage}",) for stage in range(3)},
    "flat": ("engine.name=flat", "engine.zero_stage=0"),
}
ON_ALL_ENGINES = {"dlsgan": "0", "pvdgan": "flat"}  # with the engine that does not shard
CASES = [
    (objective, engine)
    for objective, unsharded in ON_ALL_ENGINES.items()
    for engine in (unsharded, "1", "2")
]
OTHERS = [name for name in objectives.names() if name not in ON_ALL_ENGINES]


@pytest.mark.parametrize(("objective", "engine"), CASES)
def test_killed_and_resumed_equals_uninterrupted(
    objective: str, engine: str, real_run: MakeRun, object_store: ObjectStore
) -> None:
    check(objective, engine, real_run, object_store)


@pytest.mark.parametrize(("objective", "engine"), list(zip(OTHERS, cycle(ENGINES))))
def test_every_other_method_too(
    objective: str, engine: str, real_run: MakeRun, object_store: ObjectStore
) -> None:
    check(objective, engine, real_run, object_store)


def check(objective: str, engine: str, real_run: MakeRun, object_store: ObjectStore) -> None:
    run = real_run(
        f"{objective}-{engine}",
        recipe=f"tiny-{objective}",
        options=(f"train.images={IMAGES}", *ENGINES[engine]),
    )
    uninterrupted = replace(run, name=f"{run.name}-uninterrupted")
    uninterrupted.train()
    chance = random.Random(run.name)
    with (
        fault_proxy(object_store.endpoint_url) as proxy,
        run.training(AWS_ENDPOINT_URL=proxy.url) as running,
    ):
        for number, kill in enumerate((kill_worker, kill_command)):
            wait_until(lambda n=number: committed_by(running, n), 240, "a checkpoint")
            if number == list(ENGINES).index(engine) % 2:
                in_a_save(running, kill, proxy, chance)
            else:
                time.sleep(chance.uniform(0.0, 1.5))
                kill(running, chance)
    run.train()
    assert sha256_of(run.store) == sha256_of(uninterrupted.store)
    groups = running.groups()
    assert [group.reason for group in groups] == ["failure", None, "done"]
    assert 0 < groups[1].resumed_from < groups[2].resumed_from < IMAGES


def committed_by(running: RunningTraining, group: int) -> bool:
    """Whether this worker group has committed a checkpoint."""
    running.check_alive()
    return any(record.number == group and record.progressed for record in running.groups())


Kill = Callable[[RunningTraining, random.Random], None]


def kill_worker(running: RunningTraining, chance: random.Random) -> None:
    os.kill(chance.choice(running.workers()), signal.SIGKILL)


def kill_command(running: RunningTraining, chance: random.Random) -> None:
    workers = running.workers()
    running.process.kill()
    wait_until(lambda: not alive(workers), 30, "workers end with their command")


def in_a_save(
    running: RunningTraining, kill: Kill, proxy: FaultProxy, chance: random.Random
) -> None:
    """Kill while the proxy holds a request of the next save."""
    number, moment = chance.choice(UPLOADS)
    proxy.cut = cut = Cut(number, moment, among="/checkpoints/0")
    try:
        assert cut.reached.wait(60), "the next save"
        kill(running, chance)
    finally:
        cut.release.set()
        proxy.cut = None
