"""Faults from outside a real training: signals, lost nodes, storage outages.

A tiny PVDGAN trains on two workers (Ray, DeepSpeed on gloo, SeaweedFS) while a process is killed
or stopped, or a node or the storage disappears. `fault_runs` measures what each fault costs.
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
LOG_CHARACTERS = 5000  # shown of the log of a run that ended early


class RunningTraining:
    """A training that runs: its command, worker groups and processes."""

    def __init__(
        self, process: "subprocess.Popen[str]", store: Store, testbed: "Testbed", log: Path
    ) -> None:
        self.process = process
        self.store = store
        self.testbed = testbed
        self.log = log

    def check_alive(self) -> None:
        """Raise an error with the end of the log if the command has ended by itself."""
        status = self.process.poll()
        assert status is None, f"ended with {status}:\n{self.log.read_text()[-LOG_CHARACTERS:]}"

    def groups(self) -> list[GroupRecord]:
        return read_groups(self.store)

    def workers(self) -> list[int]:
        """Process ids of the living workers on all nodes."""
        return self.processes("RayTrainWorker")

    def processes(self, name: str) -> list[int]:
        """Process ids of the living Ray actors of this name on all nodes."""
        roots = {self.process.pid}
        if self.testbed.nodes is not None:
            roots |= {node.process.pid for node in self.testbed.nodes.nodes}
        found = set().union(*(descendants(root) for root in roots))
        return sorted(pid for pid in alive(found) if name.encode() in _command(pid))

    def await_images(self, images_seen: int) -> None:
        """Wait until the live worker group has committed a checkpoint at `images_seen` or later."""

        def committed_in_time() -> bool:
            self.check_alive()
            group = self.groups()[-1:]
            return bool(group) and group[0].reason is None and committed(group[0]) >= images_seen

        wait_until(committed_in_time, 600.0, f"a checkpoint at {images_seen} images")


@dataclass
class Testbed:
    """What the trainings of one kind of fault use: storage, and perhaps a proxy or Ray nodes."""

    __test__ = False  # pytest collects no tests from it

    directory: Path
    store: seaweed.ObjectStore
    proxy: FaultProxy | None = None
    nodes: Nodes | None = None

    def open(self, run: str) -> Store:
        """A run's folder, for the test itself; retries for two minutes, through any outage."""
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


def sigkill(run: RunningTraining) -> None:
    os.kill(random.choice(run.workers()), signal.SIGKILL)


def sigstop(run: RunningTraining) -> None:
    os.kill(random.choice(run.workers()), signal.SIGSTOP)


def sigterm(run: RunningTraining) -> None:
    os.kill(random.choice(run.workers()), signal.SIGTERM)


def lost_node(run: RunningTraining) -> None:
    """The second node dies; another node joins a moment later."""
    assert run.testbed.nodes is not None
    run.testbed.nodes.nodes[-1].kill_raylet()
    run.testbed.nodes.nodes[-1].process.wait(60)
    run.testbed.nodes.add(1)


def drained(run: RunningTraining) -> None:
    """The second node is drained and ends after the worker group has saved; another node joins."""
    assert run.testbed.nodes is not None
    number = run.groups()[-1].number
    node = run.testbed.nodes.nodes[-1]
    run.testbed.nodes.drain(node, deadline_s=60)
    wait_until(
        lambda: next(g for g in run.groups() if g.number == number).reason, 60, "the group saves"
    )
    node.kill()
    run.testbed.nodes.add(1)


def outage(run: RunningTraining) -> None:
    """Storage is unreachable for `GANINV_OUTAGE_S` seconds."""
    assert run.testbed.proxy is not None
    run.testbed.proxy.away.set()
    time.sleep(float(os.environ.get("GANINV_OUTAGE_S", "10")))
    run.testbed.proxy.away.clear()


def restarted_store(run: RunningTraining) -> None:
    """The storage server dies and is started again on the same data."""
    store = run.testbed.store
    os.kill(store.process.pid, signal.SIGKILL)
    wait_until(lambda: not store.process.alive(), 10, "the server has ended")
    run.testbed.store = seaweed.start(store.directory, [BUCKET])
    assert run.testbed.proxy is not None
    run.testbed.proxy.port = run.testbed.store.ports["s3"]  # the old port may still be in use


KINDS: dict[str, Callable[[RunningTraining], None]] = {
    "sigkill": sigkill,
    "sigstop": sigstop,
    "sigterm": sigterm,
    "lost_node": lost_node,
    "drained": drained,
    "outage": outage,
    "restarted_store": restarted_store,
}
NODE_FAULTS = ("lost_node", "drained")
ANNOUNCED = ("sigterm", "drained")  # the run can save first: these faults lose no image
STORAGE_FAULTS = ("outage", "restarted_store")  # a worker group survives these faults


@contextmanager
def open_testbed(kind: str, directory: Path) -> Iterator[Testbed]:
    """The testbed that a kind of fault needs; everything in it is ended on exit."""
    with ExitStack() as held:
        store = seaweed.start(directory / "store", [BUCKET])
        held.callback(seaweed.stop, directory / "store")
        testbed = Testbed(directory, store)
        if kind in STORAGE_FAULTS:
            testbed.proxy = held.enter_context(fault_proxy(store.endpoint_url))
        with _in_environment(store.environment()):
            if kind in NODE_FAULTS:
                testbed.nodes = held.enter_context(ray_nodes(head_cpus=1))
                testbed.nodes.add(1)
            yield testbed


def committed(group: GroupRecord) -> int:
    """`images_seen` of the newest checkpoint in the group's record."""
    return group.committed if group.committed is not None else group.resumed_from or 0


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""  # the process has ended


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
