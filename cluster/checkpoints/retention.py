"""Which checkpoints are kept: the last k, every n-th, and the newest that is known to be whole."""

from collections.abc import Sequence, Set
from dataclasses import dataclass
from itertools import groupby

from cluster.config import CheckpointConfig
from ganinv.saved.manifest import FOLDER, MANIFEST, NAME, folder
from ganinv.seams.stores import Store


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckpointFolders:
    """The checkpoint folders of a run: folder name → names of its objects, oldest first."""

    committed: dict[str, list[str]]
    leftovers: dict[str, list[str]]  # without a manifest: failed saves, or one in progress


def list_checkpoints(store: Store) -> CheckpointFolders:
    """List all checkpoint folders with a single request. Raises `StorageError`."""
    names = [entry.name for entry in store.list(FOLDER)]
    folders = {
        name: list(objects)
        for name, objects in groupby(names, key=lambda n: n.removeprefix(FOLDER).partition("/")[0])
        if NAME.fullmatch(name)
    }
    committed = {name: o for name, o in folders.items() if folder(name) + MANIFEST in o}
    leftovers = {name: o for name, o in folders.items() if name not in committed}
    return CheckpointFolders(committed=committed, leftovers=leftovers)


def expired(folders: CheckpointFolders, config: CheckpointConfig, verified: str) -> list[str]:
    """Names of the committed checkpoints to delete, oldest first; never `verified`."""
    names = sorted(folders.committed)
    kept = {verified, *names[-config.keep_last :]}
    if config.keep_every_images:
        by_period: dict[int, str] = {}
        for name in names:
            by_period.setdefault(int(name[:12]) // config.keep_every_images, name)
        kept |= set(by_period.values())
    return [name for name in names if name not in kept]


def abandoned(folders: CheckpointFolders, current: Set[str]) -> list[str]:
    """Names of leftovers that no save will complete.

    These are not newer than the newest committed checkpoint, and not saves in progress (`current`).
    """
    newest = max(folders.committed, default="")
    return [name for name in folders.leftovers if name[:12] <= newest[:12] and name not in current]


def delete_checkpoints(store: Store, folders: CheckpointFolders, names: Sequence[str]) -> None:
    """Delete each manifest first, so that an interrupted deletion leaves a leftover."""
    for name in names:
        manifest = folder(name) + MANIFEST
        store.delete([manifest])
        store.delete([n for n in folders.committed[name] if n != manifest])


def delete_leftovers(store: Store, folders: CheckpointFolders, names: Sequence[str]) -> None:
    for name in names:
        store.delete(folders.leftovers[name])
