"""The options that a run began with: those of its newest manifest, or `config.yaml` before it.

`config.yaml` is for people, and for a run that has no checkpoint yet. Anyone may edit, copy or lose
it, so it never overrules a manifest.
"""

from collections.abc import Mapping
from typing import Any

import yaml

from ganinv.errors import StorageContentError, StorageMissingError
from ganinv.saved.manifest import Manifest, manifests_newest_first
from ganinv.seams.stores import Reader, Store

NAME = "config.yaml"
# What the record holds of the data, beside the options.
DATA_KEYS = ("image_resolution", "data_fingerprint", "mix_fingerprint")

Record = Mapping[str, Any]


def write_options(store: Store, record: Record) -> None:
    store.write(NAME, yaml.safe_dump(dict(record), sort_keys=False).encode())


def read_options(store: Reader) -> dict[str, Any] | None:
    """The content of `config.yaml`; None if there is none.

    Raises `StorageContentError` if it is corrupt.
    """
    try:
        content = yaml.safe_load(store.read(NAME))
    except StorageMissingError:
        return None
    except yaml.YAMLError as error:
        problem = str(error).splitlines()[0]
    else:
        # Other programs have files of this name, too.
        if isinstance(content, dict) and "data_fingerprint" in content:
            return content
        problem = "it holds no 'data_fingerprint'"
    raise StorageContentError(
        f"{store.url}/{NAME} is not that of a run ({problem}); correct the URL, or restore or "
        "delete the file"
    )


def began_with(store: Reader) -> dict[str, Any] | None:
    """The options of a run and what it records of its data; None for a run that has not begun.

    Raises `StorageError` if there are checkpoints but no readable manifest, or if there are none
    and `config.yaml` is corrupt.
    """
    manifests = manifests_newest_first(store)
    if not manifests:
        return read_options(store)
    found = options_of(manifests[0])
    if found["mix_fingerprint"] is None and _mixes(found):
        # Manifests did not always hold this fingerprint.
        found["mix_fingerprint"] = (read_options(store) or {}).get("mix_fingerprint")
    return found


def options_of(manifest: Manifest) -> dict[str, Any]:
    """The record that a checkpoint holds, in the form of `config.yaml`."""
    data = {key: getattr(manifest, key) for key in DATA_KEYS}
    return {**manifest.config, **data}


def _mixes(record: Record) -> bool:
    data = record.get("data")
    return isinstance(data, Mapping) and bool(data.get("mix"))
