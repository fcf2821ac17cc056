"""Which checkpoints stay: the last k, every n-th, and the newest that is known to be good."""

from collections.abc import Sequence, Set
from dataclasses import dataclass
from itertools import groupby

from cluster.config import CheckpointConfig
from ganinv.saved import format as names
from ganinv.seams.stores import Store


@dataclass(frozen=True, kw_only=True, slots=True)
class Held:
    """The folders of a run's checkpoints, by name, oldest first, with the objects in each."""

    committed: dict[str, list[str]]
    leftovers: dict[str, list[str]]  # without a manifest: attempts that failed, or are under way


def look(store: Store) -> Held:
    """One listing. Raises `StorageError`."""
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
    return Held(committed=committed, leftovers=leftovers)


def expired(held: Held, config: CheckpointConfig, verified: str) -> list[str]:
    """Committed checkpoints to be deleted, oldest first; never `verified`."""
    committed = sorted(held.committed)
    kept = {verified, *committed[-config.keep_last :]}
    if config.keep_every_images:
        by_period: dict[int, str] = {}
        for name in committed:
            by_period.setdefault(names.images_of(name) // config.keep_every_images, name)
        kept |= set(by_period.values())
    return [name for name in committed if name not in kept]


def dead(held: Held, living: Set[str]) -> list[str]:
    """Leftovers that nobody will complete: not after the newest commit, and not `living`."""
    newest = max(map(names.images_of, held.committed), default=-1)
    return [
        name for name in held.leftovers if names.images_of(name) <= newest and name not in living
    ]


def delete_checkpoints(store: Store, held: Held, unwanted: Sequence[str]) -> None:
    """The manifest of each first, so that what is half deleted is a leftover."""
    for name in unwanted:
        manifest = names.manifest_of(name)
        store.delete([manifest])
        store.delete([n for n in held.committed[name] if n != manifest])


def delete_leftovers(store: Store, held: Held, unwanted: Sequence[str]) -> None:
    for name in unwanted:
        store.delete(held.leftovers[name])
