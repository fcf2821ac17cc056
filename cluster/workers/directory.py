"""The run's directory: one small actor through which driver, supervisor and workers communicate.

It stores the addresses of the workers' exporters, the progress and the error that ends the run. It
runs on the head node, as `ganinv monitor` does, and survives restarts of the worker group.
Prometheus gets the addresses from a file (`cluster.monitoring.targets`) or by HTTP service
discovery. The directory itself exports how many nodes the cluster has lost.
"""

import asyncio
import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import ray
from prometheus_client import CONTENT_TYPE_LATEST

from cluster.machines.nodes import listening_address, on_head, unexpectedly_dead_nodes
from cluster.monitoring.node_losses import NodeLosses
from cluster.monitoring.targets import TargetGroup, TargetsFile, targets_folder
from cluster.run_folder.group_history import End, GroupRecord, Summary
from cluster.workers.live_groups import LiveGroups, Purpose, WorkerLocation
from ganinv.errors import GanInvError
from ganinv.places.loopback import is_loopback


class Directory:
    """The actor's class. All methods return quickly, except `wait_for_request`.

    The state is lost when the command ends; `cluster.run_folder` stores what must survive it.
    """

    def __init__(
        self,
        run: str,
        host: str,
        discovery_port: int,
        ray_targets: list[str],
        number_from: int = 0,
        lost: Callable[[], set[str]] = unexpectedly_dead_nodes,
    ) -> None:
        """`number_from`: the number of the first group; records of earlier ones are in storage."""
        self._run = run
        self._losses = NodeLosses(run, lost)
        self._ray_targets = ray_targets
        self._targets: dict[int, str] = {}
        self._progress: dict[str, Any] = {}
        self._error: GanInvError | None = None
        self._requested = asyncio.Event()
        self._groups = LiveGroups(number_from)
        self._messages: list[str] = []
        self._file = self._open_file()
        address = listening_address(host)
        self._server = ThreadingHTTPServer((address, discovery_port), self._handler())
        self._server.daemon_threads = True
        # It looks for the end of the run ten times a second.
        threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True
        ).start()
        self._own = f"{address}:{self._server.server_port}"
        self._write_targets()

    async def discovery_url(self) -> str:
        return f"http://{self._own}/targets"

    async def group_launched(self, world_size: int) -> None:
        """The supervisor calls this when it requests the workers of a new group."""
        self._groups.launched(world_size)
        if self._groups.purpose is None:
            self._requested.clear()

    async def group_withdrawn(self) -> None:
        """The supervisor calls this when the nodes had no room for the group's workers."""
        self._groups.withdrawn()

    async def group_resumed(self, images_seen: int) -> Summary:
        """Rank 0 calls this when it starts to train. Returns the summary of all groups so far."""
        return self._groups.resumed(images_seen)

    async def group_started(self, seconds: dict[str, float]) -> None:
        """Rank 0 calls this after the group's first step, with the phases of its own start."""
        self._groups.started(seconds)

    async def group_went_back(self, images_seen: int, restored: int) -> None:
        """Rank 0 calls this when the group has diverged and reloaded its last checkpoint."""
        self._groups.went_back(images_seen, restored)

    async def group_committed(self, images_seen: int) -> None:
        """Rank 0 calls this after every commit of a checkpoint."""
        self._groups.committed(images_seen)

    async def group_ended(self, reason: End, detail: str) -> GroupRecord:
        """Record why the present group ended; returns its record."""
        return self._groups.ended(reason, detail)

    async def groups(self) -> list[GroupRecord]:
        return self._groups.records

    async def worker_locations(self) -> list[WorkerLocation]:
        """The locations of the present group's workers that have started, in order of rank."""
        return [location for _, location in sorted(self._groups.locations.items())]

    async def register_location(self, location: WorkerLocation) -> None:
        """Every worker calls this when it starts."""
        self._groups.locations[location.rank] = location

    async def register_exporter(self, rank: int, world: int, address: str, node: str) -> None:
        """Store the address of a rank's exporter; drop the ranks of an earlier, larger group.

        `node` is the address of the worker's node. An exporter on loopback can be reached from that
        node only; if the head is another node, a warning is posted and the exporter is left out.
        """
        self._targets = {r: a for r, a in self._targets.items() if r < world} | {rank: address}
        if is_loopback(address.rpartition(":")[0]) and node != ray.util.get_node_ip_address():
            del self._targets[rank]
            self._messages.append(
                f"warning: Prometheus cannot reach rank {rank} on {node}: it listens on loopback; "
                "give metrics.host=node"
            )
        self._write_targets()

    async def withdraw_exporter(self, rank: int, address: str) -> None:
        """A worker calls this before it ends in order, so that nobody scrapes it any more."""
        if self._targets.get(rank) == address:
            del self._targets[rank]
            self._write_targets()

    async def report(self, progress: dict[str, Any]) -> None:
        """Rank 0 calls this with a row of metrics, or with `images_seen` and `steps_seconds`."""
        if "steps_seconds" in progress:
            self._groups.trained(progress)
        self._progress = {**self._progress, **progress}

    async def progress(self) -> dict[str, Any]:
        return {**self._progress, "restarts": self._groups.restarts}

    async def post_message(self, line: str) -> None:
        """Queue a line for the driver's output."""
        self._messages.append(line)

    async def take_messages(self) -> list[str]:
        """The lines that were posted since the last call."""
        messages, self._messages = self._messages, []
        return messages

    async def fail(self, error: GanInvError) -> None:
        """Record an error that no restart can repair. The first error wins."""
        self._error = self._error or error

    async def error(self) -> GanInvError | None:
        return self._error

    async def request_save(self, purpose: Purpose, detail: str = "") -> None:
        """Ask the workers to save and end, either for good or for a restart as a new group."""
        # No message is posted here: Ray also sends SIGTERM to workers that have finished.
        if self._groups.request_save(purpose, detail):
            self._requested.set()

    async def requested_save(self) -> tuple[Purpose | None, str]:
        """Why the workers must save and end: the purpose (None: no request) and a sentence."""
        return self._groups.purpose, self._groups.purpose_detail

    async def wait_for_request(self) -> None:
        await self._requested.wait()

    async def close(self) -> None:
        """Withdraw the workers from Prometheus."""
        self._server.shutdown()
        self._server.server_close()
        if self._file is not None:
            self._file.close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        directory = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:  # name given by http.server
                if self.path == "/metrics":
                    body, kind = directory._losses.page(), CONTENT_TYPE_LATEST
                else:
                    body, kind = json.dumps(directory._target_groups()).encode(), "application/json"
                self.send_response(200)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:  # its name
                """Do not log scrapes."""

        return Handler

    def _open_file(self) -> TargetsFile | None:
        try:
            return TargetsFile(targets_folder())
        except OSError as error:  # the run can train without the file
            self._messages.append(f"warning: `ganinv monitor` will not find this run: {error}")
            return None

    def _write_targets(self) -> None:
        if self._file is not None:
            self._file.write(self._target_groups())

    def _target_groups(self) -> list[TargetGroup]:
        """Prometheus' targets. A rank keeps its label, so its series survive restarts."""
        groups = [
            {
                "targets": [self._targets[rank]],
                "labels": {"job": "ganinv", "run": self._run, "instance": f"rank {rank}"},
            }
            for rank in sorted(self._targets)
        ]
        nodes = {"job": "nodes", "run": self._run, "instance": "head"}
        groups.append({"targets": [self._own], "labels": nodes})
        if self._ray_targets:
            groups.append({"targets": self._ray_targets, "labels": {"job": "ray"}})
        return groups


def start_directory(
    run: str, host: str, discovery_port: int, ray_targets: list[str], number_from: int = 0
) -> Any:
    """Start the directory of a run on the head node. It ends with the driver.

    `ray_targets`: addresses of Ray's own exporters, if Ray does not announce them itself.
    """
    actor = ray.remote(Directory).options(num_cpus=0, scheduling_strategy=on_head())
    return actor.remote(run, host, discovery_port, ray_targets, number_from)
