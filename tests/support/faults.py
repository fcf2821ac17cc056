"""Faults that can be done to a real training, and the stage that they need.

A tiny PVDGAN trains on two workers (Ray, DeepSpeed on gloo, SeaweedFS) while something is killed,
stopped or taken away. `fault_runs` measures what that costs.
"""

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from cluster.run_folder.group_history import GroupRecord
from cluster.run_folder.group_log import read_groups
from cluster.seaweed import store as seaweed
from cluster.storage.opening import open_store
from cluster.storage.retries import RetryPolicy
from ganinv.seams.stores import Store
from tests.support.commands import alive, descendants, wait_until
from tests.support.fault_proxy import FaultProxy, fault_proxy
from tests.support.ray_nodes import Nodes, ray_nodes

BUCKET = "faults"
LOG_CHARACTERS = 5000  # of a run that ended early


class Faulty:
    """A training under way, with what can be done to it."""

    def __init__(
        self, process: "subprocess.Popen[str]", store: Store, stage: "Stage", log: Path
    ) -> None:
        self.process = process
        self.store = store
        self.stage = stage
        self.log = log

    def lives(self) -> None:
        """Raises, with the end of its log, if the command has ended by itself."""
        status = self.process.poll()
        assert status is None, f"ended with {status}:\n{self.log.read_text()[-LOG_CHARACTERS:]}"

    def groups(self) -> list[GroupRecord]:
        return read_groups(self.store)

    def workers(self) -> list[int]:
        """Process ids of the living workers, on whatever node."""
        return self.processes("RayTrainWorker")

    def processes(self, name: str) -> list[int]:
        """Process ids of the living actors of Ray's that are called so, on whatever node."""
        roots = {self.process.pid}
        if self.stage.nodes is not None:
            roots |= {node.process.pid for node in self.stage.nodes.nodes}
        found = set().union(*(descendants(root) for root in roots))
        return sorted(pid for pid in alive(found) if name.encode() in _command(pid))

    def await_images(self, images_seen: int) -> None:
        """Until a checkpoint at or beyond was committed, by a group that lives."""

        def there() -> bool:
            self.lives()
            group = self.groups()[-1:]
            return bool(group) and group[0].reason is None and committed(group[0]) >= images_seen

        wait_until(there, 600.0, f"a checkpoint at {images_seen} images")


@dataclass
class Stage:
    """What stands around the trainings of one kind of fault."""

    directory: Path
    store: seaweed.ObjectStore
    proxy: FaultProxy | None = None
    nodes: Nodes | None = None

    def open(self, run: str) -> Store:
        """A run's folder, for whoever looks at it; patient, for storage may be away."""
        endpoint = self.proxy.url if self.proxy is not None else self.store.endpoint_url
        retries = RetryPolicy(deadline_s=120)
        return open_store(f"s3://{BUCKET}/{run}", endpoint_url=endpoint, retries=retries)

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


def drained(run: Faulty) -> None:
    """The second node is drained with notice, and taken once nobody needs it; another one comes."""
    assert run.stage.nodes is not None
    number = run.groups()[-1].number
    taken = run.stage.nodes.nodes[-1]
    run.stage.nodes.drain(taken, deadline_s=60)
    wait_until(
        lambda: next(g for g in run.groups() if g.number == number).reason, 60, "the group saves"
    )
    taken.kill()
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
    wait_until(lambda: not store.process.alive(), 10, "the server is gone")
    run.stage.store = seaweed.start(store.directory, [BUCKET])
    assert run.stage.proxy is not None
    run.stage.proxy.port = run.stage.store.ports["s3"]  # its old one may not be free yet


KINDS: dict[str, Callable[[Faulty], None]] = {
    "sigkill": sigkill,
    "sigstop": sigstop,
    "sigterm": sigterm,
    "lost_node": lost_node,
    "drained": drained,
    "outage": outage,
    "restarted_store": restarted_store,
}
OF_NODES = ("lost_node", "drained")
NOTICED = ("sigterm", "drained")  # these cost no image
PATIENT = ("outage", "restarted_store")  # no group needs to end for these


@contextmanager
def staged(kind: str, directory: Path) -> Iterator[Stage]:
    """Storage, and where the fault needs them a proxy or nodes; all ended at the end."""
    with ExitStack() as held:
        store = seaweed.start(directory / "store", [BUCKET])
        held.callback(seaweed.stop, directory / "store")
        stage = Stage(directory, store)
        if kind in PATIENT:
            stage.proxy = held.enter_context(fault_proxy(store.endpoint_url))
        with _in_environment(store.environment()):
            if kind in OF_NODES:
                stage.nodes = held.enter_context(ray_nodes(head_cpus=1))
                stage.nodes.add(1)
            yield stage


def committed(group: GroupRecord) -> int:
    """images_seen of the newest checkpoint that the group knows of."""
    return group.committed if group.committed is not None else group.resumed_from or 0


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""  # ended meanwhile


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
