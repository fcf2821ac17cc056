"""Rank 0's part of a save: commit the manifest, react to failures, apply retention."""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol

from cluster.checkpoints.retention import (
    abandoned,
    delete_checkpoints,
    delete_leftovers,
    expired,
    list_checkpoints,
    with_own_manifest,
)
from cluster.config import CheckpointConfig
from cluster.storage.outage_log import OutageLog
from ganinv.errors import LeaseLostError, StorageError, StorageExistsError, StorageFullError
from ganinv.saved.format import manifest_of
from ganinv.saved.manifest import Manifest, StoredObject
from ganinv.seams.stores import Store

log = logging.getLogger(__name__)


class SaveObserver(Protocol):
    """Receives the events of saves. Called on rank 0 only, partly from the saving thread."""

    def save_waited(self, seconds: float) -> None: ...

    def uploaded(self, seconds: float) -> None: ...

    def committed(self, images_seen: int) -> None: ...

    def save_failed(self) -> None: ...


# `again`: retry from the same copy after a pause. `given up`: drop this save, the run continues.
# `over`: the run must end.
Verdict = Literal["committed", "again", "given up", "over"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Uploaded:
    """The result of one rank's upload: the stored object or the failure; neither before it."""

    stored: StoredObject | None = None
    failure: StorageError | None = None


class Committer:
    """Decides for all ranks how a save ends. Used only by the saving thread of rank 0."""

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
        """The arguments are those of `saving.Saver`."""
        self._store = store
        self._config = config
        self._observer = observer
        self._before_commit = before_commit
        self._give_up = give_up
        self._newest = resumed  # the newest checkpoint that is known to be whole
        # Checkpoints whose manifest was read or written here.
        self._usable = set() if resumed is None else {resumed.name}
        self._trouble = OutageLog(f"save to {store.url}", "training continues")
        self._deleting = OutageLog("delete old checkpoints", "they stay")

    def decide(
        self, parts: Sequence[Uploaded], manifest: Manifest
    ) -> tuple[Verdict, StorageError | None]:
        """Commit if all ranks have uploaded. Returns the verdict, and the error if it is `over`."""
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
        self._usable.add(manifest.name)
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
            f"whole one {newest}; repair the storage, then start again: training resumes from there"
        )

    def _make_room(self, current: str) -> None:
        """Delete the leftovers of failed saves, except those of the save `current`."""
        try:
            folders = list_checkpoints(self._store)
            names = abandoned(folders, {current})
            delete_leftovers(self._store, folders, names)
        except StorageError as error:
            self._deleting.failed(error)
            return
        if names:
            log.warning("storage is full: deleted leftovers of failed saves (%s)", ", ".join(names))

    def apply_retention(self) -> None:
        """Delete old checkpoints and leftovers. Call after a commit. Failures are logged only."""
        assert self._newest is not None, "called after a commit"
        verified = self._newest.name
        try:
            folders = list_checkpoints(self._store)
            self._usable = with_own_manifest(self._store, folders.committed, self._usable)
            unwanted = expired(self._usable, self._config, verified)
            delete_checkpoints(self._store, folders, unwanted)
            delete_leftovers(self._store, folders, abandoned(folders, {verified}))
        except StorageError as error:
            self._deleting.failed(error)
        else:
            self._deleting.succeeded()


def commit(store: Store, manifest: Manifest) -> None:
    """Write the manifest if absent. Raises `StorageExistsError` if another writer was first.

    An identical manifest means that our earlier write succeeded and only its reply was lost.
    """
    at, text = manifest_of(manifest.name), manifest.to_json()
    try:
        store.write_if_absent(at, text)
    except StorageExistsError:
        if store.read(at) != text:
            raise
