"""Boundaries of one model as one safetensors file.

Each normal is the tensor `normal/NAME` of its boundary, the spread of each element `scale/NAME`,
if there is one. The metadata holds, as JSON under the key `ganinv-boundaries`, the version and what
else a boundary is.
"""

import json
import os
import struct
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import safetensors.torch

from ganinv.boundaries.boundary import Boundary
from ganinv.errors import StorageContentError
from ganinv.inputs import place_name
from ganinv.places.reading import open_reader
from ganinv.saved import format as names
from ganinv.saved.exports import metadata_of

VERSION = 2
_KEY = "ganinv-boundaries"
# What a file of another kind, or a damaged one, raises.
_DAMAGED = (safetensors.SafetensorError, struct.error, ValueError, KeyError, TypeError)


def to_bytes(boundaries: Sequence[Boundary]) -> bytes:
    """The file. Boundaries must have different names."""
    about, tensors = [], {}
    for boundary in boundaries:
        fields = asdict(boundary)
        for key in ("normal", "scale"):
            tensor = fields.pop(f"{key}_P")
            if tensor is not None:
                tensors[f"{key}/{boundary.name}"] = tensor.contiguous()
        about.append(fields)
    return safetensors.torch.save(
        tensors,
        metadata={_KEY: json.dumps({"format": VERSION, "boundaries": about})},
    )


def read_boundaries(
    place: str | os.PathLike[str], *, endpoint_url: str | None = None
) -> list[Boundary]:
    """The boundaries in a file, by path or URL, in their order.

    Raises `StorageError` for a file that is missing, corrupt or of another kind.
    """
    url = place_name(place)
    folder, name = names.split_file(url)
    payload = open_reader(folder, endpoint_url).read(name)
    try:
        found: dict[str, Any] = json.loads(metadata_of(payload)[_KEY])
        version = found["format"]
    except _DAMAGED as error:
        raise _corrupt(url, error) from error
    if version != VERSION:
        raise StorageContentError(
            f"{url} has format {version!r}, but this program reads format {VERSION}; fit the "
            "boundaries anew with ganinv boundary, or use the version of ganinv that wrote them"
        )
    try:
        tensors = safetensors.torch.load(payload)
        return [_boundary(fields, tensors) for fields in found["boundaries"]]
    except _DAMAGED as error:
        raise _corrupt(url, error) from error


def _corrupt(url: str, error: Exception) -> StorageContentError:
    return StorageContentError(
        f"{url} holds no boundaries of ganinv, or is corrupt ({error}); make them with ganinv "
        "boundary"
    )


def _boundary(fields: dict[str, Any], tensors: dict[str, Any]) -> Boundary:
    others = tuple(fields.pop("conditioned_on"))
    name = fields["name"]
    return Boundary(
        **fields,
        conditioned_on=others,
        normal_P=tensors[f"normal/{name}"],
        scale_P=tensors.get(f"scale/{name}"),
    )
