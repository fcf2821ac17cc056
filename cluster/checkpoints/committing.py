"""Rank 0's half of a save: the commit, what follows a failure, and which checkpoints stay."""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol

from cluster.checkpoints.retention import dead, delete_checkpoints, delete_leftovers, expired, look
from cluster.config import CheckpointConfig
from cluster.storage.outage_log import OutageLog
from ganinv.errors import LeaseLostError, StorageError, StorageExistsError, StorageFullError
from ganinv.saved.manifest import MANIFEST, Manifest, StoredObject, folder
from ganinv.seams.stores import Store

log = logging.getLogger(__name__)


class SaveObserver(Protocol):
    """Whoever counts saves; called on rank 0 alone, partly from the saving thread."""

    def save_waited(self, seconds: float) -> None: ...

    def uploaded(self, seconds: float) -> None: ...

    def committed(self, images_seen: int) -> None: ...

    def save_failed(self) -> None: ...


# `again`: after a pause, from the same copy. `given up`: the next save may do better.
Verdict = Literal["committed", "again", "given up", "over"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Uploaded:
    """What became of one rank's part."""

    stored: StoredObject | None = None
    failure: StorageError | None = None


class Committer:
    """Decides for all ranks what becomes of a save. Used by the saving thread of rank 0 alone."""

    def __init__(
        self,
        store: Store,
        config: CheckpointConfig,
        *,
        observer: SaveObserver,
        before_commit: Callable[[], None],
        give_up: Callable[[StorageError], None],
        resumed: Manifest | None,
    ) -> None:
        """As `saving.Saver`."""
        self._store = store
        self._config = config
        self._observer = observer
        self._before_commit = before_commit
        self._give_up = give_up
        self._newest = resumed  # known to be good
        self._trouble = OutageLog(f"save to {store.url}", "training goes on")
        self._tidying = OutageLog("delete old checkpoints", "they stay")

    def decide(
        self, parts: Sequence[Uploaded], manifest: Manifest
    ) -> tuple[Verdict, StorageError | None]:
        """Commit if the parts of all ranks are there; what every rank is to do now."""
        failure = next((p.failure for p in parts if p.failure is not None), None)
        if failure is None:
            objects = tuple(p.stored for p in parts if p.stored is not None)
            try:
                self._before_commit()
                commit(self._store, replace(manifest, objects=objects))
            except StorageError as error:
                failure = error
        if failure is not None:
            return self._after(failure, manifest.name)
        self._trouble.succeeded()
        self._newest = manifest
        self._observer.committed(manifest.images_seen)
        return "committed", None

    def _after(self, failure: StorageError, name: str) -> tuple[Verdict, StorageError | None]:
        self._observer.save_failed()
        if not isinstance(failure, LeaseLostError):
            self._trouble.failed(failure)
            if isinstance(failure, StorageExistsError):
                return "given up", None
            if self._trouble.lasted_s < self._config.trouble_limit_s:
                if isinstance(failure, StorageFullError):
                    self._make_room(name)
                return "again", None
            failure = self._too_long(failure)
        self._give_up(failure)
        return "over", failure

    def _too_long(self, failure: StorageError) -> StorageError:
        since = time.strftime("%H:%M:%S", time.localtime(time.time() - self._trouble.lasted_s))
        newest = f"is {self._newest.name}" if self._newest else "does not exist yet"
        return StorageError(
            f"no checkpoint could be committed to {self._store.url} since {since}, for longer than "
            f"checkpoint.trouble_limit_s = {self._config.trouble_limit_s:g}: {failure}; the newest "
            f"good one {newest}; mend the storage, then start again: training goes on from there"
        )

    def _make_room(self, living: str) -> None:
        try:
            held = look(self._store)
            cleared = dead(held, {living})
            delete_leftovers(self._store, held, cleared)
        except StorageError as error:
            self._tidying.failed(error)
            return
        if cleared:
            log.warning("no room left: deleted what failed saves had left (%s)", ", ".join(cleared))

    def tidy(self) -> None:
        """Retention, after a commit; a failure is said in the log."""
        assert self._newest is not None, "after a commit"
        good = self._newest.name
        try:
            held = look(self._store)
            delete_checkpoints(self._store, held, expired(held, self._config, good))
            delete_leftovers(self._store, held, dead(held, {good}))
        except StorageError as error:
            self._tidying.failed(error)
        else:
            self._tidying.succeeded()


def commit(store: Store, manifest: Manifest) -> None:
    """Write the manifest if absent; finding the very same one is no defeat: its answer was lost."""
    at, text = folder(manifest.name) + MANIFEST, manifest.to_json()
    try:
        store.write_if_absent(at, text)
    except StorageExistsError:
        if store.read(at) != text:
            raise
