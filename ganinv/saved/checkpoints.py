"""Reads a run's checkpoints: the newest checkpoint whose objects are complete and intact.

`format.py` defines the format; `cluster/checkpoints/` writes checkpoints.
"""

import hashlib
import logging
from collections.abc import Callable

import safetensors
import safetensors.torch
from torch import Tensor

from ganinv.errors import (
    StorageContentError,
    StorageError,
    StorageMissingError,
    StorageUnavailableError,
)
from ganinv.saved.format import folder
from ganinv.saved.manifest import (
    Manifest,
    StoredObject,
    committed_names,
    manifests_newest_first,
    read_manifest,
)
from ganinv.seams.stores import Reader

log = logging.getLogger(__name__)
# For a checkpoint with this manifest: whether to keep the tensor of this name in memory.
Wanted = Callable[[Manifest], Callable[[str], bool]]


def everything(manifest: Manifest) -> Callable[[str], bool]:
    """All tensors, to resume training."""
    del manifest
    return bool  # no tensor has an empty name


def choose(store: Reader, wanted: Wanted = everything) -> tuple[Manifest, dict[str, Tensor]] | None:
    """The newest committed checkpoint that is complete and intact, with its wanted tensors.

    Falls back to older checkpoints, with a warning in the log. None if there is no checkpoint.
    Raises `StorageUnavailableError` if the store does not answer, and `StorageContentError` if
    there are checkpoints but none can be loaded (`StorageError` if one of them is refused).
    """
    candidates = manifests_newest_first(store)
    kind: type[StorageError] = StorageContentError
    for manifest in candidates:
        try:
            return manifest, read_tensors(store, manifest, wanted)
        except StorageUnavailableError:
            raise  # an outage ends; an older checkpoint would cost images
        except StorageError as error:
            log.warning("checkpoint %s cannot be used, trying the next: %s", manifest.name, error)
            if not isinstance(error, StorageContentError | StorageMissingError):
                kind = StorageError
    if candidates:
        raise kind(
            f"none of the {len(candidates)} checkpoints in {store.url} can be loaded; restore one "
            "from a backup, or start a new run at another storage.run"
        )
    return None


def choose_named(store: Reader, name: str, wanted: Wanted) -> tuple[Manifest, dict[str, Tensor]]:
    """The committed checkpoint of this name. Raises `StorageError` if it cannot be loaded."""
    names = committed_names(store)
    if name not in names:
        raise StorageContentError(
            f"{store.url} holds no checkpoint {name!r}; choose among "
            f"{', '.join(reversed(names)) or 'none: there are no checkpoints'}"
        )
    manifest = read_manifest(store, name)
    return manifest, read_tensors(store, manifest, wanted)


def read_tensors(
    store: Reader, manifest: Manifest, wanted: Wanted = everything
) -> dict[str, Tensor]:
    """The wanted tensors of a checkpoint. Compares every object with its hash first."""
    tensors: dict[str, Tensor] = {}
    is_wanted = wanted(manifest)
    for stored in manifest.objects:
        payload = read_object(store, manifest, stored)
        try:
            found = safetensors.torch.load(payload)
        except safetensors.SafetensorError as error:
            name = folder(manifest.name) + stored.name
            raise StorageContentError(
                f"{store.url}/{name} is not a safetensors file: {error}"
            ) from error
        tensors |= {key: tensor for key, tensor in found.items() if is_wanted(key)}
    return tensors


def read_object(store: Reader, manifest: Manifest, stored: StoredObject) -> bytes:
    """One payload object of a checkpoint. Raises `StorageContentError` if its SHA-256 differs."""
    name = folder(manifest.name) + stored.name
    payload = store.read(name)
    if hashlib.sha256(payload).hexdigest() != stored.sha256:
        raise StorageContentError(f"{store.url}/{name} is not what was written (SHA-256 differs)")
    return payload
