"""Saves while training continues: a copy into host memory, then uploads in a separate thread.

Order of a save (contract): the payload of every rank, a gather of all results, `manifest.json` if
absent, retention. Only one save is in progress at a time; the next save waits for it. All ranks
retry a failed save together, from the same copy, until it is committed or the limit is reached.
Meanwhile training continues, and saves that fall due are skipped.
"""

import hashlib
import threading
import time
from collections.abc import Callable
from types import TracebackType

from cluster.checkpoints.agreement import check_ranks_agree
from cluster.checkpoints.committing import Committer, SaveObserver, Uploaded
from cluster.checkpoints.contents import RunIdentity, new_manifest, tensors_of_this_rank
from cluster.checkpoints.host_buffer import HostBuffer
from cluster.collectives import (
    broadcast_object,
    gather_objects,
    new_gloo_group,
    rank,
    world_size,
)
from cluster.config import CheckpointConfig
from ganinv.errors import GanInvError, StorageError
from ganinv.saved import format as names
from ganinv.saved.manifest import Manifest, StoredObject
from ganinv.seams.stores import Store
from ganinv.training.session import Session

# Pause between two attempts of a save: doubles from the first value up to the second.
FIRST_PAUSE_S = 1.0
MAX_PAUSE_S = 30.0
# A wait for a save may exceed `trouble_limit_s` by this: its last attempt, and deletions.
MARGIN_S = 600.0
# Attempts to save the final state. The first may be skipped, or lose against another writer.
SAVES_AT_THE_END = 2
# Time for the save in progress when training ends with a `GanInvError`.
CLOSE_S = 60.0


class Saver:
    """Saves a session from time to time. Use as a context manager.

    Every method is a collective: all ranks must call it.
    """

    def __init__(
        self,
        store: Store,
        identity: RunIdentity,
        config: CheckpointConfig,
        *,
        observer: SaveObserver,
        before_commit: Callable[[], None],
        give_up: Callable[[StorageError], None],
        resumed: Manifest | None,
    ) -> None:
        """`before_commit`: called on rank 0; raises `StorageError` to prevent the commit.

        `give_up`: called on rank 0, in the saving thread, once storage has been unusable for too
        long. `resumed`: the checkpoint that the run resumed from, which is known to be whole.
        """
        self._store = store
        self._identity = identity
        self._observer = observer
        self._committer = Committer(
            store,
            config,
            observer=observer,
            before_commit=before_commit,
            give_up=give_up,
            resumed=resumed,
        )
        self._longest_s = config.trouble_limit_s + MARGIN_S
        self._group = new_gloo_group(self._longest_s)
        self._buffer = HostBuffer()
        self._committed = None if resumed is None else resumed.images_seen
        self._thread: threading.Thread | None = None
        self._in_progress = False
        # Set while no save is in progress, or while the one in progress waits for its next attempt.
        self._settled = threading.Event()
        self._settled.set()
        self._ending = threading.Event()
        self._error: Exception | None = None

    def __enter__(self) -> "Saver":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # After any other error a worker is lost, and the save in progress cannot complete.
        if kind is not None and issubclass(kind, GanInvError) and self._thread is not None:
            self._thread.join(CLOSE_S)
        self._ending.set()

    def save(self, session: Session) -> str | None:
        """Start to save the present state. Returns the checkpoint's name.

        Skips the save and returns None while the previous save is being retried. Raises
        `ClusterError` if ranks differ in values that must be equal, and `StorageError` once the run
        must end.
        """
        check_ranks_agree(session)
        name, error = broadcast_object(self._next_name(session) if rank() == 0 else None)
        if error is not None:
            raise error
        if name is None:
            return None
        self.wait()
        manifest = new_manifest(session, self._identity, name)
        payload = self._buffer.fill(tensors_of_this_rank(session))
        self._in_progress = True
        self._settled.clear()
        self._thread = threading.Thread(target=self._work, args=(payload, manifest), daemon=True)
        self._thread.start()
        return name

    def finish(self, session: Session) -> None:
        """Return once the present state is committed. Raises as `save`."""
        self.wait()
        for _ in range(SAVES_AT_THE_END):
            if self._committed == session.images_seen:
                return
            self.save(session)
            self.wait()
        if self._committed == session.images_seen:
            return
        raise StorageError(
            f"the state at {session.images_seen} images could not be saved to {self._store.url}: "
            "another command writes there; see the messages above, stop it, then start again"
        )

    def _next_name(self, session: Session) -> tuple[str | None, Exception | None]:
        started = time.monotonic()
        self._settled.wait(self._longest_s)
        self._observer.save_waited(time.monotonic() - started)
        if self._error is not None:
            return None, self._error
        if self._in_progress:
            return None, None
        return names.new_name(session.images_seen), None

    def wait(self) -> None:
        """Return once no save is in progress. Raises the error that ended the last one."""
        if self._thread is not None:
            self._thread.join(self._longest_s)
            assert not self._thread.is_alive(), "a save exceeds all of its deadlines"
        if self._error is not None:
            raise self._error

    def _work(self, payload: memoryview, manifest: Manifest) -> None:
        try:
            self._attempt_until_decided(payload, manifest)
        except Exception as error:  # noqa: BLE001 (the main thread raises it)
            self._error = error
        finally:
            self._in_progress = False
            self._settled.set()

    def _attempt_until_decided(self, payload: memoryview, manifest: Manifest) -> None:
        started = time.monotonic()
        own = Uploaded()
        pause_s = FIRST_PAUSE_S
        while True:
            if own.stored is None:
                own = self._upload(payload, manifest.name)
            parts = gather_objects(own, self._group)
            decided = self._committer.decide(parts, manifest) if rank() == 0 else None
            verdict, error = broadcast_object(decided, self._group)
            if verdict == "committed":
                self._committed = manifest.images_seen
                if rank() == 0:
                    self._observer.uploaded(time.monotonic() - started)
                    self._committer.apply_retention()
            elif verdict == "over":
                self._error = error
            if verdict != "again":
                return
            self._settled.set()
            if self._ending.wait(pause_s):
                return
            pause_s = min(2 * pause_s, MAX_PAUSE_S)

    def _upload(self, payload: memoryview, name: str) -> Uploaded:
        stored = StoredObject(
            name=names.part_name(rank(), world_size()),
            size_bytes=len(payload),
            sha256=hashlib.sha256(payload).hexdigest(),
        )
        try:
            self._store.write(names.folder(name) + stored.name, payload)
        except StorageError as failure:
            return Uploaded(failure=failure)
        return Uploaded(stored=stored)
