"""Faults in a real training, one after the other, and what each of them cost.

A tiny PVDGAN trains on two workers (Ray, DeepSpeed on gloo, SeaweedFS) until it is done; at random
moments something is killed, stopped or taken away. What is measured comes from the run's own
record of its worker groups (`groups/` in its storage), and from the process table.
"""

import os
import random
import signal
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from cluster import seaweed
from cluster.group_log import read_groups
from cluster.history import GroupRecord, summarise
from cluster.storage import open_store
from ganinv.checkpoints import choose
from ganinv.seams import Store
from tests.support.commands import alive, descendants, start
from tests.support.fault_proxy import FaultProxy, fault_proxy
from tests.support.ray_nodes import Nodes, ray_nodes

BUCKET = "faults"
INTERVAL = 640  # images from one checkpoint to the next
STRIDE = 3 * INTERVAL  # images from one fault to the next, and a random moment more
RECOVERY_S = 240.0
ORPHANS_S = 5.0
MISSED_S = 2.0  # a break in a group's training that is longer was noticed


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What one fault cost. Seconds since the fault; None: the group trained on."""

    kind: str
    reason: str | None  # that the run gave to it
    detected_s: float | None  # to the end of the group
    recovered_s: float | None  # to the end of the next trained step
    lost_images: int
    orphans: int  # processes of the group's workers that live 5 s after its end
    workers: int  # of the next group


@dataclass(frozen=True, kw_only=True)
class Result:
    """A whole run with faults of one kind."""

    kind: str
    faults: tuple[Measured, ...]
    status: int  # of the command
    images_seen: int
    goodput: float
    wall_seconds: float
    equal: bool | None  # to the run without faults, bit for bit; None: the number of workers varied
    largest_difference: float  # of any weight or average, over the run without faults


class Faulty:
    """A training under way, with what can be done to it."""

    def __init__(self, process: "subprocess.Popen[str]", store: Store, stage: "Stage") -> None:
        self.process = process
        self.store = store
        self.stage = stage

    def groups(self) -> list[GroupRecord]:
        return read_groups(self.store)

    def workers(self) -> list[int]:
        """Process ids of the living workers, on whatever node."""
        roots = {self.process.pid}
        if self.stage.nodes is not None:
            roots |= {node.process.pid for node in self.stage.nodes.nodes}
        found = set().union(*(descendants(root) for root in roots))
        return sorted(pid for pid in alive(found) if b"RayTrainWorker" in _command(pid))

    def await_images(self, images_seen: int) -> None:
        """Until a checkpoint at or beyond was committed, by a group that lives."""

        def there() -> bool:
            assert self.process.poll() is None, "the run ended before all faults"
            group = self.groups()[-1:]
            return bool(group) and group[0].reason is None and _committed(group[0]) >= images_seen

        _until(there, 600.0, f"a checkpoint at {images_seen} images")


@dataclass
class Stage:
    """What stands around the trainings of one kind of fault."""

    directory: Path
    store: seaweed.ObjectStore
    proxy: FaultProxy | None = None
    nodes: Nodes | None = None

    def environment(self) -> dict[str, str]:
        environment = self.store.environment()
        if self.proxy is not None:
            environment["AWS_ENDPOINT_URL"] = self.proxy.url
        if self.nodes is not None:
            environment |= self.nodes.environment
        return environment


def sigkill(run: Faulty) -> None:
    os.kill(random.choice(run.workers()), signal.SIGKILL)


def sigstop(run: Faulty) -> None:
    os.kill(random.choice(run.workers()), signal.SIGSTOP)


def sigterm(run: Faulty) -> None:
    os.kill(random.choice(run.workers()), signal.SIGTERM)


def lost_node(run: Faulty) -> None:
    """The second node dies; another one comes up a moment later."""
    assert run.stage.nodes is not None
    run.stage.nodes.nodes[-1].kill_raylet()
    run.stage.nodes.nodes[-1].process.wait(60)
    run.stage.nodes.add(1)


def outage(run: Faulty) -> None:
    """Storage is away for `GANINV_OUTAGE_S` seconds."""
    assert run.stage.proxy is not None
    run.stage.proxy.away.set()
    time.sleep(float(os.environ.get("GANINV_OUTAGE_S", "10")))
    run.stage.proxy.away.clear()


def restarted_store(run: Faulty) -> None:
    """The storage server dies, and comes up again on the same data."""
    store = run.stage.store
    os.kill(store.process.pid, signal.SIGKILL)
    run.stage.store = seaweed.start(store.directory, [BUCKET])


KINDS: dict[str, Callable[[Faulty], None]] = {
    "sigkill": sigkill,
    "sigstop": sigstop,
    "sigterm": sigterm,
    "lost_node": lost_node,
    "outage": outage,
    "restarted_store": restarted_store,
}
PATIENT = ("outage", "restarted_store")  # no group needs to end for these


@contextmanager
def staged(kind: str, directory: Path) -> Iterator[Stage]:
    """Storage, and where the fault needs them a proxy or nodes; all ended at the end."""
    with ExitStack() as held:
        store = seaweed.start(directory / "store", [BUCKET])
        held.callback(seaweed.stop, directory / "store")
        stage = Stage(directory, store)
        if kind == "outage":
            stage.proxy = held.enter_context(fault_proxy(store.endpoint_url))
        with _in_environment(store.environment()):
            if kind == "lost_node":
                stage.nodes = held.enter_context(ray_nodes(head_cpus=1))
                stage.nodes.add(1)
            yield stage


def run_with(kind: str, faults: int, stage: Stage, seed: int = 0) -> Result:
    """A run with so many faults of a kind, compared with one without any in the same storage."""
    images = STRIDE * (faults + 1)
    _train_in_peace(stage, images)
    chance = random.Random(f"{kind}/{seed}")
    log = (stage.directory / f"{kind}.log").open("w+")
    elastic = ("cluster.workers=null", "cluster.min_workers=1", "cluster.max_workers=2")
    words = _words(kind, images, *(elastic if stage.nodes is not None else ()))
    started = time.monotonic()
    process = start(*words, output=log, environment=stage.environment())
    try:
        run = Faulty(process, open_store(f"s3://{BUCKET}/{kind}"), stage)
        measured = []
        for number in range(faults):
            run.await_images(STRIDE * number + INTERVAL)
            time.sleep(chance.uniform(0.0, 4.0))
            measured.append(_measure(kind, run))
        status = process.wait(600)
    finally:
        process.kill()
        process.wait(30)
    equal, difference = _compare(run.store, open_store(f"s3://{BUCKET}/peaceful-{images}"))
    records = run.groups()
    goodput = summarise(records, time.time()).goodput
    return Result(
        kind=kind,
        faults=tuple(measured),
        status=status,
        images_seen=records[-1].images_seen or 0,
        goodput=goodput or 0.0,
        wall_seconds=time.monotonic() - started,
        equal=equal if len({record.world_size for record in records}) == 1 else None,
        largest_difference=difference,
    )


def _measure(kind: str, run: Faulty) -> Measured:
    before = run.groups()[-1]
    workers = set(run.workers())
    at = time.time()
    KINDS[kind](run)
    following = _next_group(run, before.number, at, must_end=kind not in PATIENT)
    if following is None:  # it trained on
        now = run.groups()[-1]
        return Measured(
            kind=kind, reason=None, detected_s=None, recovered_s=(now.last_step or at) - at,
            lost_images=0, orphans=0, workers=now.world_size,
        )  # fmt: skip
    ended = next(record for record in run.groups() if record.number == before.number)
    assert ended.ended is not None
    assert following.first_step is not None
    time.sleep(max(0.0, ended.ended + ORPHANS_S - time.time()))
    return Measured(
        kind=kind,
        reason=ended.reason,
        detected_s=ended.ended - at,
        recovered_s=following.first_step - at,
        lost_images=max(0, (ended.images_seen or 0) - (following.resumed_from or 0)),
        orphans=len(alive(workers)),
        workers=following.world_size,
    )


def _next_group(run: Faulty, number: int, at: float, *, must_end: bool) -> GroupRecord | None:
    """The group after `number` once it has trained, or None once `number` itself trains on."""

    def there() -> GroupRecord | bool:
        assert run.process.poll() is None, "the run ended with the fault"
        last = run.groups()[-1]
        if last.number == number:
            trains_on = not must_end and last.reason is None and (last.committed or 0) > committed
            return trains_on and (last.last_step or 0) > at
        return last if last.number > number and last.first_step is not None else False

    committed = _committed(run.groups()[-1])
    found = _until(there, RECOVERY_S, "training goes on")
    return found if isinstance(found, GroupRecord) else None


def _train_in_peace(stage: Stage, images: int) -> None:
    """The run without faults, unless it is there already."""
    name = f"peaceful-{images}"
    if any(r.reason == "done" for r in read_groups(open_store(f"s3://{BUCKET}/{name}"))):
        return
    with (stage.directory / f"{name}.log").open("w+") as log:
        process = start(*_words(name, images), output=log, environment=stage.store.environment())
        try:
            assert process.wait(1200) == 0, Path(log.name).read_text()
        finally:
            process.kill()


def _words(run: str, images: int, *more: str) -> tuple[str, ...]:
    return (
        "train", "tiny-pvdgan", f"storage.run=s3://{BUCKET}/{run}",
        f"data.url=s3://{BUCKET}/data", "data.images=512", f"train.images={images}",
        f"train.checkpoint_every={INTERVAL}", f"train.log_every={INTERVAL}",
        "evaluate.every=10000000", "evaluate.features=[]", "cluster.grow_after_s=5", *more,
    )  # fmt: skip


def _compare(found: Store, expected: Store) -> tuple[bool, float]:
    """Whether two final states are equal bit for bit, and the largest difference of weights."""
    (_, a), (_, b) = (chosen for s in (found, expected) if (chosen := choose(s)) is not None)
    assert a.keys() == b.keys()
    weights = [name for name in a if "/weights/" in name or "/average/" in name]
    largest = max(float((a[name].double() - b[name].double()).abs().max()) for name in weights)
    return all(torch.equal(a[name], b[name]) for name in a), largest


def _committed(group: GroupRecord) -> int:
    return group.committed if group.committed is not None else group.resumed_from or 0


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""  # ended meanwhile


def _until(condition: Callable[[], Any], deadline_s: float, what: str) -> Any:
    """As `wait_until`, of a condition that asks storage, which may be away."""
    end = time.monotonic() + deadline_s
    while time.monotonic() < end:
        if result := condition():
            return result
        time.sleep(0.2)
    raise AssertionError(f"{what}: not within {deadline_s} s")


@contextmanager
def _in_environment(variables: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def as_json(result: Result) -> dict[str, Any]:
    return asdict(replace(result, faults=())) | {"faults": [asdict(f) for f in result.faults]}


def median(values: list[float]) -> float:
    return statistics.median(values) if values else float("nan")
