"""A Ray cluster of several nodes on this machine; a test can kill each node by itself."""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.commands import descendants, wait_until

START_S = 120
_RAY = str(Path(sys.executable).parent / "ray")


@dataclass
class Node:
    """A `ray start --block` process; it leads a process group of its own."""

    process: subprocess.Popen[bytes]

    def kill_raylet(self) -> set[int]:
        """Kill the node's raylet; returns the ids of the node's other processes."""
        others = descendants(self.process.pid)
        (raylet,) = self._raylets()
        os.kill(raylet, signal.SIGKILL)
        return others - {raylet}

    def stop(self) -> None:
        """End the raylet as `ray stop` does; it ends in order, within seconds."""
        (raylet,) = self._raylets()
        os.kill(raylet, signal.SIGTERM)

    @property
    def node_id(self) -> str:
        """Ray's id of the node."""
        (raylet,) = self._raylets()
        words = _command(raylet).split("\0")
        return next(word.partition("=")[2] for word in words if word.startswith("--node_id="))

    def _raylets(self) -> list[int]:
        return [
            pid
            for pid in descendants(self.process.pid)
            if _command(pid).partition("\0")[0].endswith("/raylet")
        ]

    def kill(self) -> None:
        # SIGKILL: on SIGTERM a node would drain for half a minute.
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(30)


@dataclass
class Nodes:
    """The nodes of a cluster. A driver with `environment` connects to it."""

    home: Path
    environment: dict[str, str]
    gcs_port: int
    nodes: list[Node] = field(default_factory=list)

    def add(self, cpus: int, *, head: bool = False) -> Node:
        agent, metrics, environments, client = free_ports(4)
        where = (
            ["--head", f"--port={self.gcs_port}", "--include-dashboard=false",
             f"--temp-dir={self.home}", f"--ray-client-server-port={client}"]
            if head
            else [f"--address={_own_address()}:{self.gcs_port}"]
        )  # fmt: skip
        output = self.home / f"output-{len(self.nodes)}"
        process = subprocess.Popen(
            [
                _RAY, "start", "--block", *where,
                f"--num-cpus={cpus}", "--object-store-memory=100000000", "--disable-usage-stats",
                f"--dashboard-agent-listen-port={agent}", f"--metrics-export-port={metrics}",
                f"--runtime-env-agent-port={environments}",
            ],
            env={**os.environ, **self.environment, "RAY_ADDRESS": ""},
            stdout=output.open("w"),
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip
        node = Node(process)
        self.nodes.append(node)
        wait_until(lambda: _started(process, output), START_S, "a node")
        return node

    def drain(self, node: Node, deadline_s: int, *, idle: bool = False) -> None:
        """Announce the node's preemption, like a cloud's agent; the node itself stays alive.

        `idle`: take the node back, like the autoscaler; an idle node ends at once.
        """
        why = "IDLE_TERMINATION" if idle else "PREEMPTION"
        subprocess.run(
            [
                _RAY, "drain-node", f"--address={self.environment['RAY_ADDRESS']}",
                f"--node-id={node.node_id}", f"--reason=DRAIN_NODE_REASON_{why}",
                "--reason-message=test", f"--deadline-remaining-seconds={deadline_s}",
            ],
            env={**os.environ, **self.environment},
            check=True,
            capture_output=True,
            timeout=60,
        )  # fmt: skip


@contextmanager
def ray_nodes(head_cpus: int) -> Iterator[Nodes]:
    """A cluster with a head of `head_cpus`; all nodes are killed on exit."""
    # A short path, because Ray appends much to it, and a socket's path has a limited length.
    home = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))
    (port,) = free_ports(1)
    environment = {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_ADDRESS": f"{_own_address()}:{port}",
    }
    cluster = Nodes(home, environment, port)
    try:
        cluster.add(head_cpus, head=True)
        yield cluster
    finally:
        for node in reversed(cluster.nodes):
            node.kill()
        shutil.rmtree(home, ignore_errors=True)


def free_ports(count: int) -> list[int]:
    with ExitStack() as held:
        probes = [held.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


def _own_address() -> str:
    import ray

    return str(ray.util.get_node_ip_address())


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""  # the process has ended


def _started(process: subprocess.Popen[bytes], output: Path) -> bool:
    text = output.read_text()
    assert process.poll() is None, text
    return "Ray runtime started" in text
