"""Watches the nodes while a group trains: room for more workers, and nodes about to be taken.

Both lead to the same: all workers save, and the group goes on as another one. So growing costs no
image, and neither does a node that is taken with notice.
"""

import logging
import threading
import time
from contextlib import closing
from typing import Any

import ray

from cluster.config import ClusterConfig
from cluster.workers.chronicle import Seat
from cluster.workers.seats import SETTLE_S, Seats, draining_nodes

log = logging.getLogger(__name__)
POLL_S = 1.0


class Lookout:
    """A thread beside the group of `size` workers, until `close`."""

    def __init__(self, config: ClusterConfig, directory: Any, size: int) -> None:
        self._config = config
        self._directory = directory
        self._missing = config.sizes[-1] - size
        self._size = size
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="lookout", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        try:
            if self._group_is_up():
                with closing(Seats(self._config, self._missing)) as more:
                    self._look(more)
        except ray.exceptions.RayError as error:
            log.warning("nodes are no longer watched: %s", error)

    def _group_is_up(self) -> bool:
        """Waits for it: room asked for before the group has its own would be taken from it."""
        while not self._over.wait(POLL_S):
            if len(ray.get(self._directory.seats.remote())) == self._size:
                return True
        return False

    def _look(self, more: Seats) -> None:
        room, since = 0, time.monotonic()
        while not self._over.wait(POLL_S):
            seats: list[Seat] = ray.get(self._directory.seats.remote())
            if taken := {seat.node_id for seat in seats} & draining_nodes():
                ranks = [str(seat.rank) for seat in seats if seat.node_id in taken]
                self._ask("preemption", f"the node of rank {', '.join(ranks)} is to be taken")
                return
            ready = more.ready() if self._missing else 0
            if ready != room:
                room, since = ready, time.monotonic()
            if room and self._grown_up() and time.monotonic() - since >= SETTLE_S:
                self._ask("resize", f"room for {self._size + room} workers, up from {self._size}")
                return

    def _grown_up(self) -> bool:
        """Whether the group has trained for long enough that growing is worth a restart."""
        first_step = ray.get(self._directory.groups.remote())[-1].first_step
        return first_step is not None and time.time() - first_step >= self._config.grow_after_s

    def _ask(self, purpose: str, detail: str) -> None:
        ray.get(self._directory.ask.remote(purpose, detail))
