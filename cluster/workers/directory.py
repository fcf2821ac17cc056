"""One small actor per run: where the workers' exporters are, how far the run is, why it ended.

It lives on the head node, where `ganinv monitor` does, and outlives restarts of the worker group.
Prometheus learns the targets from a file (`cluster.monitoring.targets`) or by asking (HTTP service
discovery); the driver asks for progress.
"""

import asyncio
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import ray

from cluster.machines.nodes import is_loopback, listening_address, on_head
from cluster.monitoring.targets import Group, TargetsFile, targets_folder
from cluster.run_folder.group_history import End, GroupRecord, Summary
from cluster.workers.chronicle import Chronicle, Purpose, Seat
from ganinv.errors import GanInvError


class Directory:
    """What a run's workers register with. All methods are short; state is lost with the run."""

    def __init__(self, run: str, host: str, discovery_port: int, ray_targets: list[str]) -> None:
        self._run = run
        self._ray_targets = ray_targets
        self._targets: dict[int, str] = {}
        self._progress: dict[str, Any] = {}
        self._error: GanInvError | None = None
        self._asked = asyncio.Event()
        self._chronicle = Chronicle()
        self._said: list[str] = []
        self._file = self._open_file()
        address = listening_address(host)
        self._server = ThreadingHTTPServer((address, discovery_port), self._handler())
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self._url = f"http://{address}:{self._server.server_port}/targets"

    async def discovery_url(self) -> str:
        return self._url

    async def group_launched(self, world_size: int) -> None:
        """Workers of a new group are asked for; by the supervisor."""
        self._chronicle.launched(world_size)
        if self._chronicle.purpose is None:
            self._asked.clear()

    async def group_withdrawn(self) -> None:
        """There was no room for its workers; by the supervisor."""
        self._chronicle.withdrawn()

    async def group_resumed(self, images_seen: int) -> Summary:
        """The group trains from there; by its rank 0. What the run has been through before."""
        return self._chronicle.resumed(images_seen)

    async def group_went_back(self, images_seen: int, restored: int) -> None:
        """The group diverged and went back to its last checkpoint; by rank 0."""
        self._chronicle.went_back(images_seen, restored)

    async def group_committed(self, images_seen: int) -> None:
        """A checkpoint was committed; by rank 0."""
        self._chronicle.committed(images_seen)

    async def group_ended(self, reason: End, detail: str) -> GroupRecord:
        """The group has ended; the record of it."""
        return self._chronicle.ended(reason, detail)

    async def number_groups_from(self, number: int) -> None:
        """Earlier ones are in storage already."""
        self._chronicle.first_number = number

    async def groups(self) -> list[GroupRecord]:
        return self._chronicle.records

    async def seats(self) -> list[Seat]:
        """Where the workers of the present group are, as far as they have come up."""
        return [seat for _, seat in sorted(self._chronicle.seats.items())]

    async def sit(self, seat: Seat) -> None:
        """Where a worker is; by itself."""
        self._chronicle.seats[seat.rank] = seat

    async def register(self, rank: int, world: int, address: str, node: str) -> None:
        """Where rank's exporter is; ranks of an earlier, larger group are forgotten.

        `node`: the address of the worker's node, for an exporter on loopback can be reached from
        there alone.
        """
        self._targets = {r: a for r, a in self._targets.items() if r < world} | {rank: address}
        if is_loopback(address) and node != ray.util.get_node_ip_address():
            del self._targets[rank]
            self._said.append(
                f"warning: Prometheus cannot reach rank {rank} on {node}: it exports on loopback; "
                "give metrics.host=node"
            )
        if self._file is not None:
            self._file.write(self._target_groups())

    async def report(self, progress: dict[str, Any]) -> None:
        """A row of metrics, or images_seen and steps_seconds of the group; by rank 0."""
        if "steps_seconds" in progress:
            self._chronicle.trained(progress)
        self._progress = {**self._progress, **progress}

    async def progress(self) -> dict[str, Any]:
        return {**self._progress, "restarts": self._chronicle.restarts}

    async def say(self, line: str) -> None:
        """A line for the person who watches the driver."""
        self._said.append(line)

    async def heard(self) -> list[str]:
        """Lines said since the last call."""
        said, self._said = self._said, []
        return said

    async def fail(self, error: GanInvError) -> None:
        """An error that no restart can mend; the first one counts."""
        self._error = self._error or error

    async def error(self) -> GanInvError | None:
        return self._error

    async def ask(self, purpose: Purpose, detail: str = "") -> None:
        """Ask the workers to save, and end: for good, or to go on as another group."""
        # Nothing is said of it yet: Ray ends workers with SIGTERM, too, once their work is over.
        if self._chronicle.ask(purpose, detail):
            self._asked.set()

    async def asked(self) -> tuple[Purpose | None, str]:
        """What the workers were asked to save for, and why."""
        return self._chronicle.purpose, self._chronicle.purpose_detail

    async def wait_until_asked(self) -> None:
        await self._asked.wait()

    async def close(self) -> None:
        """Tell Prometheus of no worker from now on."""
        self._server.shutdown()
        self._server.server_close()
        if self._file is not None:
            self._file.close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        directory = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:  # name given by http.server
                body = json.dumps(directory._target_groups()).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:  # its name
                """Scrapes are not news."""

        return Handler

    def _open_file(self) -> TargetsFile | None:
        try:
            return TargetsFile(targets_folder())
        except OSError as error:  # no reason to fail a run
            self._said.append(f"warning: `ganinv monitor` will not find this run: {error}")
            return None

    def _target_groups(self) -> list[Group]:
        """What Prometheus reads. A rank keeps its name over restarts, and so do its series."""
        groups = [
            {
                "targets": [self._targets[rank]],
                "labels": {"job": "ganinv", "run": self._run, "instance": f"rank {rank}"},
            }
            for rank in sorted(self._targets)
        ]
        own = {"targets": self._ray_targets, "labels": {"job": "ray"}}
        return [*groups, own] if groups and self._ray_targets else groups


def start_directory(run: str, host: str, discovery_port: int, ray_targets: list[str]) -> Any:
    """The actor of a run, on the head node, gone with the driver.

    `ray_targets`: exporters of Ray itself, of a Ray that has no discovery of its own.
    """
    actor = ray.remote(Directory).options(num_cpus=0, scheduling_strategy=on_head())
    return actor.remote(run, host, discovery_port, ray_targets)
