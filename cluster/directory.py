"""One small actor per run: where the workers' exporters are, how far the run is, why it ended.

It lives on the driver's node and outlives restarts of the worker group. Prometheus asks it for the
targets (HTTP service discovery), the driver for progress.
"""

import asyncio
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import ray

from ganinv.errors import GanInvError


class Directory:
    """What a run's workers register with. All methods are short; state is lost with the run."""

    def __init__(self, run: str, host: str, discovery_port: int) -> None:
        self._run = run
        self._targets: dict[int, str] = {}
        self._progress: dict[str, Any] = {}
        self._error: GanInvError | None = None
        self._stop = asyncio.Event()
        self._groups = 0
        self._images_seen = 0
        self._lost_images = 0
        self._said: list[str] = []
        self._server = ThreadingHTTPServer((host, discovery_port), self._handler())
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self._url = f"http://{host}:{self._server.server_port}/targets"

    async def discovery_url(self) -> str:
        return self._url

    async def group_started(self, resumed_from: int) -> tuple[int, int]:
        """Called once per worker group, by rank 0. Returns restarts so far and images lost."""
        if self._groups:
            self._lost_images += max(0, self._images_seen - resumed_from)
        self._groups += 1
        self._images_seen = resumed_from
        return self._groups - 1, self._lost_images

    async def register(self, rank: int, world: int, address: str) -> None:
        """Where rank's exporter is; ranks of an earlier, larger group are forgotten."""
        self._targets = {r: a for r, a in self._targets.items() if r < world} | {rank: address}

    async def report(self, progress: dict[str, Any]) -> None:
        self._images_seen = int(progress["images_seen"])
        self._progress = {**self._progress, **progress}

    async def progress(self) -> dict[str, Any]:
        return {**self._progress, "restarts": max(0, self._groups - 1)}

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

    async def request_stop(self) -> None:
        self._stop.set()

    async def wait_for_stop(self) -> None:
        await self._stop.wait()

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

    def _target_groups(self) -> list[dict[str, Any]]:
        """The answer of Prometheus' HTTP service discovery."""
        targets = [self._targets[rank] for rank in sorted(self._targets)]
        return [{"targets": targets, "labels": {"job": "ganinv"}}] if targets else []


def start_directory(run: str, host: str, discovery_port: int) -> Any:
    """The actor of a run, on this node, gone with the driver."""
    node = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
        node_id=ray.get_runtime_context().get_node_id(), soft=False
    )
    actor = ray.remote(Directory).options(num_cpus=0, scheduling_strategy=node)
    return actor.remote(run, host, discovery_port)
