"""Boundaries of one model as one safetensors file.

Each normal is a tensor under its boundary's name. The metadata holds, as JSON under the key
`ganinv-boundaries`, the version and what else a boundary is.
"""

import json
import os
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

VERSION = 1
_KEY = "ganinv-boundaries"


def to_bytes(boundaries: Sequence[Boundary]) -> bytes:
    """The file. Boundaries must have different names."""
    about = []
    for boundary in boundaries:
        fields = asdict(boundary)
        del fields["normal_P"]
        about.append(fields)
    return safetensors.torch.save(
        {boundary.name: boundary.normal_P.contiguous() for boundary in boundaries},
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
        tensors = safetensors.torch.load(payload)
        found: dict[str, Any] = json.loads(metadata_of(payload)[_KEY])
        version = found["format"]
        boundaries = [_boundary(fields, tensors) for fields in found["boundaries"]]
    except (safetensors.SafetensorError, ValueError, KeyError, TypeError) as error:
        raise StorageContentError(
            f"{url} holds no boundaries of ganinv, or is corrupt ({error}); make them with ganinv "
            "boundary"
        ) from error
    if version != VERSION:
        raise StorageContentError(
            f"{url} has format {version!r}, but this program reads format {VERSION}; use the "
            "version of ganinv that wrote it"
        )
    return boundaries


def _boundary(fields: dict[str, Any], tensors: dict[str, Any]) -> Boundary:
    others = tuple(fields.pop("conditioned_on"))
    return Boundary(**fields, conditioned_on=others, normal_P=tensors[fields["name"]])
