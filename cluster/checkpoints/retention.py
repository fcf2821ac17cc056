"""Which checkpoints are kept: the last k, every n-th, and the newest that is known to be whole.

Folders whose manifest cannot be read, or belongs to another folder, count for none of these and are
never deleted: only a person can tell what they are.
"""

from collections.abc import Collection, Iterable, Sequence, Set
from dataclasses import dataclass
from itertools import groupby

from cluster.config import CheckpointConfig
from ganinv.errors import StorageError, StorageUnavailableError
from ganinv.saved import format as names
from ganinv.saved.manifest import read_manifest
from ganinv.seams.stores import Store


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckpointFolders:
    """The checkpoint folders of a run: folder name → names of its objects, oldest first."""

    committed: dict[str, list[str]]
    leftovers: dict[str, list[str]]  # without a manifest: failed saves, or one in progress


def list_checkpoints(store: Store) -> CheckpointFolders:
    """List all checkpoint folders with a single request. Raises `StorageError`."""
    found = [entry.name for entry in store.list(names.FOLDER)]
    folders = {
        name: list(objects)
        for name, objects in groupby(
            found, key=lambda n: n.removeprefix(names.FOLDER).partition("/")[0]
        )
        if names.is_name(name)
    }
    committed = {name: o for name, o in folders.items() if names.manifest_of(name) in o}
    leftovers = {name: o for name, o in folders.items() if name not in committed}
    return CheckpointFolders(committed=committed, leftovers=leftovers)


def with_own_manifest(store: Store, committed: Iterable[str], known: Set[str]) -> set[str]:
    """Those of the `committed` folders that hold a readable manifest of their own.

    `known` folders are not read again. Raises `StorageUnavailableError`.
    """
    found = set()
    for name in committed:
        if name not in known:
            try:
                read_manifest(store, name)
            except StorageUnavailableError:
                raise
            except StorageError:
                continue  # whoever loads a checkpoint or lists them says what is wrong
        found.add(name)
    return found


def expired(usable: Collection[str], config: CheckpointConfig, verified: str) -> list[str]:
    """Names of the checkpoints to delete, oldest first; never `verified`.

    `usable`: the checkpoints with a manifest of their own that are not known to be corrupt.
    """
    committed = sorted(usable)
    kept = {verified, *committed[-config.keep_last :]}
    if config.keep_every_images:
        by_period: dict[int, str] = {}
        for name in committed:
            by_period.setdefault(names.images_of(name) // config.keep_every_images, name)
        kept |= set(by_period.values())
    return [name for name in committed if name not in kept]


def abandoned(folders: CheckpointFolders, current: Set[str]) -> list[str]:
    """Names of leftovers that no save will complete.

    These are not newer than the newest committed checkpoint, and not saves in progress (`current`).
    """
    newest = max(map(names.images_of, folders.committed), default=-1)
    return [
        name
        for name in folders.leftovers
        if names.images_of(name) <= newest and name not in current
    ]


def delete_checkpoints(store: Store, folders: CheckpointFolders, unwanted: Sequence[str]) -> None:
    """Delete each manifest first, so that an interrupted deletion leaves a leftover."""
    for name in unwanted:
        manifest = names.manifest_of(name)
        store.delete([manifest])
        store.delete([n for n in folders.committed[name] if n != manifest])


def delete_leftovers(store: Store, folders: CheckpointFolders, unwanted: Sequence[str]) -> None:
    for name in unwanted:
        store.delete(folders.leftovers[name])
