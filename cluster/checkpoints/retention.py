"""Which checkpoints stay: the last k, every n-th, and the newest that is known to be good."""

from collections.abc import Sequence, Set
from dataclasses import dataclass
from itertools import groupby

from cluster.config import CheckpointConfig
from ganinv.saved.manifest import FOLDER, MANIFEST, NAME, folder
from ganinv.seams.stores import Store


@dataclass(frozen=True, kw_only=True, slots=True)
class Held:
    """The folders of a run's checkpoints, by name, oldest first, with the objects in each."""

    committed: dict[str, list[str]]
    leftovers: dict[str, list[str]]  # without a manifest: attempts that failed, or are under way


def look(store: Store) -> Held:
    """One listing. Raises `StorageError`."""
    names = [entry.name for entry in store.list(FOLDER)]
    folders = {
        name: list(objects)
        for name, objects in groupby(names, key=lambda n: n.removeprefix(FOLDER).partition("/")[0])
        if NAME.fullmatch(name)
    }
    committed = {name: o for name, o in folders.items() if folder(name) + MANIFEST in o}
    leftovers = {name: o for name, o in folders.items() if name not in committed}
    return Held(committed=committed, leftovers=leftovers)


def expired(held: Held, config: CheckpointConfig, verified: str) -> list[str]:
    """Committed checkpoints to be deleted, oldest first; never `verified`."""
    names = sorted(held.committed)
    kept = {verified, *names[-config.keep_last :]}
    if config.keep_every_images:
        by_period: dict[int, str] = {}
        for name in names:
            by_period.setdefault(int(name[:12]) // config.keep_every_images, name)
        kept |= set(by_period.values())
    return [name for name in names if name not in kept]


def dead(held: Held, living: Set[str]) -> list[str]:
    """Leftovers that nobody will complete: not after the newest commit, and not `living`."""
    newest = max(held.committed, default="")
    return [name for name in held.leftovers if name[:12] <= newest[:12] and name not in living]


def delete_checkpoints(store: Store, held: Held, names: Sequence[str]) -> None:
    """The manifest of each first, so that what is half deleted is a leftover."""
    for name in names:
        manifest = folder(name) + MANIFEST
        store.delete([manifest])
        store.delete([n for n in held.committed[name] if n != manifest])


def delete_leftovers(store: Store, held: Held, names: Sequence[str]) -> None:
    for name in names:
        store.delete(held.leftovers[name])
