"""Watches the nodes while a group trains: room for more workers, and nodes about to be removed.

Both have the same consequence: all workers save, and a new group starts. So neither growing nor a
preemption with notice costs an image.
"""

import logging
import threading
import time
from contextlib import closing
from typing import Any

import ray

from cluster.config import ClusterConfig
from cluster.workers.live_groups import Purpose, WorkerLocation
from cluster.workers.reservations import SETTLE_S, Reservations, draining_nodes

log = logging.getLogger(__name__)
POLL_S = 1.0


class NodeWatcher:
    """A thread that runs beside a group of `size` workers, until `close`."""

    def __init__(self, config: ClusterConfig, directory: Any, size: int) -> None:
        self._config = config
        self._directory = directory
        self._missing = config.sizes[-1] - size
        self._size = size
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="node-watcher", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._closed.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            if self._wait_for_group():
                with closing(Reservations(self._config, self._missing)) as more:
                    self._watch(more)
        except ray.exceptions.RayError as error:
            log.warning("nodes are no longer watched: %s", error)

    def _wait_for_group(self) -> bool:
        """Wait until all workers have started; False after `close`.

        Reservations made earlier would take the resources that the group itself needs.
        """
        while not self._closed.wait(POLL_S):
            if len(self._locations()) == self._size:
                return True
        return False

    def _watch(self, more: Reservations) -> None:
        ready, since = 0, time.monotonic()
        while not self._closed.wait(POLL_S):
            locations = self._locations()
            if draining := {worker.node_id for worker in locations} & draining_nodes():
                ranks = [str(worker.rank) for worker in locations if worker.node_id in draining]
                self._request_save(
                    "preemption", f"the node of rank {', '.join(ranks)} is about to be removed"
                )
                return
            now_ready = more.ready() if self._missing else 0
            if now_ready != ready:
                ready, since = now_ready, time.monotonic()
            if ready and self._may_grow() and time.monotonic() - since >= SETTLE_S:
                self._request_save(
                    "resize", f"room for {self._size + ready} workers, up from {self._size}"
                )
                return

    def _may_grow(self) -> bool:
        """Whether the group has trained for `cluster.grow_after_s`, so that a restart pays."""
        first_step = ray.get(self._directory.groups.remote())[-1].first_step
        return first_step is not None and time.time() - first_step >= self._config.grow_after_s

    def _locations(self) -> list[WorkerLocation]:
        locations: list[WorkerLocation] = ray.get(self._directory.worker_locations.remote())
        return locations

    def _request_save(self, purpose: Purpose, detail: str) -> None:
        ray.get(self._directory.request_save.remote(purpose, detail))
