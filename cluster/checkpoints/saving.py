"""Saving while training goes on: a copy into host memory, and all else on a thread of its own.

Order of a save (contract): payload of every rank, then all know of all, then `manifest.json` if
absent, then retention. One save is under way at a time; the next one waits for it. A save that
fails is tried again from the same copy, all ranks together, until it is committed or the limit is
reached: meanwhile training goes on, and saves that fall due are left out.
"""

import hashlib
import secrets
import threading
import time
from collections.abc import Callable
from types import TracebackType

from cluster.checkpoints.agreement import check_ranks_agree
from cluster.checkpoints.committing import Committer, SaveObserver, Uploaded
from cluster.checkpoints.contents import RunIdentity, describe, part
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
from ganinv.saved.manifest import Manifest, StoredObject, folder
from ganinv.seams.stores import Store
from ganinv.training.session import Session

# Between two attempts of a save, doubled up to the second.
FIRST_PAUSE_S = 1.0
MAX_PAUSE_S = 30.0
# How long a wait for a save may last beyond the limit of trouble: its last attempt, and deletions.
MARGIN_S = 600.0
# Of a state that was left out while storage was in trouble, or that another writer was faster with.
SAVES_AT_THE_END = 2
# For the save under way when training ends with an error of ours.
CLOSE_S = 60.0


class Saver:
    """Saves a session from time to time. Use as a context; all ranks do all of this together."""

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
        """`before_commit` is called on rank 0, and prevents the commit by raising `StorageError`.

        `give_up` is told there, from the saving thread, that the run is over for want of storage.
        `resumed`: the checkpoint that the run goes on from, which is known to be good.
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
        self._under_way = False
        # Set while nothing is under way, or what is has failed and is tried again.
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
        # Any other error is that of a worker which is lost, and with it what is under way.
        if kind is not None and issubclass(kind, GanInvError) and self._thread is not None:
            self._thread.join(CLOSE_S)
        self._ending.set()

    def save(self, session: Session) -> str | None:
        """Begin to save the session as it is now; the name that it will be committed under.

        None, and nothing is saved, while the save before it is in trouble. Raises `ClusterError`
        where ranks differ in what they must hold alike, and `StorageError` once the run is over.
        """
        check_ranks_agree(session)
        name, error = broadcast_object(self._next_name(session) if rank() == 0 else None)
        if error is not None:
            raise error
        if name is None:
            return None
        self.wait()
        manifest = describe(session, self._identity, name)
        payload = self._buffer.fill(part(session))
        self._under_way = True
        self._settled.clear()
        self._thread = threading.Thread(target=self._work, args=(payload, manifest), daemon=True)
        self._thread.start()
        return name

    def finish(self, session: Session) -> None:
        """Return once the session as it is now is committed. Raises as `save`."""
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
            "another writer is at work there; see above, stop it, then start again"
        )

    def _next_name(self, session: Session) -> tuple[str | None, Exception | None]:
        started = time.monotonic()
        self._settled.wait(self._longest_s)
        self._observer.save_waited(time.monotonic() - started)
        if self._error is not None:
            return None, self._error
        if self._under_way:
            return None, None
        return f"{session.images_seen:012d}-{secrets.token_hex(4)}", None

    def wait(self) -> None:
        """Return once no save is under way; raises what ended it, if it was not a commit."""
        if self._thread is not None:
            self._thread.join(self._longest_s)
            assert not self._thread.is_alive(), "a save outlives all of its deadlines"
        if self._error is not None:
            raise self._error

    def _work(self, payload: memoryview, manifest: Manifest) -> None:
        try:
            self._attempt_until_decided(payload, manifest)
        except Exception as error:  # noqa: BLE001 (kept for the main thread, which raises it)
            self._error = error
        finally:
            self._under_way = False
            self._settled.set()

    def _attempt_until_decided(self, payload: memoryview, manifest: Manifest) -> None:
        started = time.monotonic()
        mine = Uploaded()
        pause_s = FIRST_PAUSE_S
        while True:
            if mine.stored is None:
                mine = self._upload(payload, manifest.name)
            parts = gather_objects(mine, self._group)
            decided = self._committer.decide(parts, manifest) if rank() == 0 else None
            verdict, error = broadcast_object(decided, self._group)
            if verdict == "committed":
                self._committed = manifest.images_seen
                if rank() == 0:
                    self._observer.uploaded(time.monotonic() - started)
                    self._committer.tidy()
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
            name=f"part-{rank():05d}-of-{world_size():05d}.safetensors",
            size_bytes=len(payload),
            sha256=hashlib.sha256(payload).hexdigest(),
        )
        try:
            self._store.write(folder(name) + stored.name, payload)
        except StorageError as failure:
            return Uploaded(failure=failure)
        return Uploaded(stored=stored)
