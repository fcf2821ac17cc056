"""The manifest of a checkpoint: everything in a checkpoint that is not a tensor.

The manifest is written last, and only if absent. Writing it commits the checkpoint (`format.py`).
"""

import hashlib
import json
import logging
from collections.abc import Mapping, Set
from dataclasses import asdict, dataclass, fields
from typing import Any

from ganinv.errors import (
    StorageContentError,
    StorageError,
    StorageMissingError,
    StorageUnavailableError,
)
from ganinv.saved.format import CHECKPOINT_VERSION, FOLDER, committed, images_of, manifest_of
from ganinv.seams.batches import Position
from ganinv.seams.stores import Reader
from ganinv.sizes import Resolution

log = logging.getLogger(__name__)
OPTIONAL_KEYS = frozenset({"started_from", "mix_fingerprint", "image_alignment", "image_bits"})


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredObject:
    """One payload object: its name in the checkpoint's folder, its size and its SHA-256."""

    name: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Manifest:
    """Everything in a checkpoint that is not a tensor."""

    name: str  # IMAGES_SEEN-ATTEMPT
    images_seen: int
    position: Position
    seed: int
    data_fingerprint: str
    image_resolution: Resolution  # of the networks' images
    image_channels: int
    objects: tuple[StoredObject, ...]
    optimizer_steps: Mapping[str, int]  # per network
    nonfinite_in_a_row: int
    world_size: int  # ranks that wrote the checkpoint; any number of ranks can load it
    created: float  # Unix time, seconds
    config: Mapping[str, Any]  # the resolved configuration
    versions: Mapping[str, str]
    # The origin of networks, if the run started from another run's networks
    # (`saved.starting.Origin`). Absent from the manifests of all other runs.
    started_from: Mapping[str, Any] | None = None
    # Of all data sets together and their shares of the batch. Absent from the manifests of runs
    # with one data set.
    mix_fingerprint: str | None = None
    # How photographs became the images of the data (`ganinv.alignment`). Absent for a centred crop,
    # and from the manifests of runs that are older than this key.
    image_alignment: str | None = None
    # Of each channel of the data. Absent for 8.
    image_bits: int | None = None

    @property
    def size_bytes(self) -> int:
        return sum(o.size_bytes for o in self.objects)

    def to_json(self) -> bytes:
        content = {"format": CHECKPOINT_VERSION, **asdict(self)}
        for key in OPTIONAL_KEYS:
            if content[key] is None:
                del content[key]
        content["sha256"] = digest(content)
        return json.dumps(content, indent=1, sort_keys=True).encode()

    @classmethod
    def from_json(cls, text: bytes, url: str) -> "Manifest":
        """Raises `StorageContentError` if it is not a manifest of this version, or is corrupt."""
        try:
            content = json.loads(text)
            written, found = content.pop("sha256", None), digest(content)
            version = content.pop("format")
            if version != CHECKPOINT_VERSION:
                raise StorageContentError(
                    f"{url} has format {version}, but this program reads format "
                    f"{CHECKPOINT_VERSION}; use the version of ganinv that wrote it"
                )
            known = {field.name for field in fields(cls)}
            _check_keys(content.keys() | OPTIONAL_KEYS, known, url)
            if written != found:
                raise StorageContentError(
                    f"{url} is not what was written (SHA-256 differs); delete its folder"
                )
            content["position"] = Position(**content["position"])
            content["objects"] = tuple(StoredObject(**o) for o in content["objects"])
            return cls(**content)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise StorageContentError(f"{url} is corrupt ({error!r}); delete its folder") from error


def digest(content: Mapping[str, Any]) -> str:
    """SHA-256 of a manifest's content without its digest; spaces and key order do not matter."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _check_keys(found: Set[str], known: Set[str], url: str) -> None:
    """Raises `StorageContentError` if another version wrote it; that is no corruption."""
    for writer, verb, keys in (
        ("an older version", "lacks", known - found),
        ("a newer version", "has", found - known),
    ):
        if keys:
            raise StorageContentError(
                f"{url} was written by {writer} of ganinv (it {verb} {', '.join(sorted(keys))}); "
                "resume with that version, or train anew at another storage.run"
            )


def committed_names(store: Reader) -> list[str]:
    """Names of all committed checkpoints, oldest first."""
    return committed(entry.name for entry in store.list(FOLDER))


def read_manifest(store: Reader, name: str) -> Manifest:
    """The manifest of the committed checkpoint `name`.

    Raises `StorageContentError` if it is corrupt, or is the manifest of another checkpoint: of one
    whose folder was copied or renamed, so that its objects lie elsewhere.
    """
    at = manifest_of(name)
    manifest = Manifest.from_json(store.read(at), f"{store.url}/{at}")
    if (manifest.name, manifest.images_seen) != (name, images_of(name)):
        raise StorageContentError(
            f"{store.url}/{at} is the manifest of checkpoint {manifest.name} at "
            f"{manifest.images_seen} images, so its folder was copied or renamed; rename the "
            f"folder to {manifest.name}, or delete it if that folder exists"
        )
    return manifest


def manifests_newest_first(store: Reader) -> list[Manifest]:
    """All readable manifests, sorted by images seen, the highest number first.

    Attempts to save at the same number of images hold the same state. They are sorted by name,
    because the clocks of different hosts disagree.

    The log names each unreadable manifest, and those of copied or renamed folders; such a
    checkpoint cannot be loaded and is left out. Raises `StorageError` if all manifests are
    unreadable, so that a run never starts over existing checkpoints, and `StorageUnavailableError`
    if the store does not answer: an outage must not make an older checkpoint the newest.
    """
    readable: list[Manifest] = []
    problems: list[StorageError] = []
    for name in committed_names(store):
        try:
            readable.append(read_manifest(store, name))
        except StorageMissingError:
            continue  # retention has deleted it since the listing
        except StorageUnavailableError:
            raise
        except StorageError as error:
            problems.append(error)
    if problems and not readable:
        raise problems[-1]  # about the newest manifest
    for problem in problems:
        log.warning("%s", problem)
    return sorted(readable, key=lambda m: m.name, reverse=True)
