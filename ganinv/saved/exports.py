"""Exports: a trained model in one safetensors file, that needs nothing of its run any more.

Tensors are named g/…, d/… (averaged weights of both networks) and scale_L; the file's metadata
holds the description as JSON under `ganinv`. An exported folder holds that file, the description
once more as `model.json` for people and other programs (never read here), and graphs (`graphs.py`).
"""

import json
import struct
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import safetensors
import safetensors.torch

from ganinv.errors import ConfigError, StorageError
from ganinv.model import InvertibleGan
from ganinv.plain import from_plain
from ganinv.saved.checkpoints import below
from ganinv.saved.manifest import Manifest
from ganinv.saved.networks import build_trained
from ganinv.seams.stores import Reader

FORMAT = 1
SUFFIX = ".safetensors"
MODEL_NAME = f"model{SUFFIX}"
DESCRIPTION_NAME = "model.json"
_KEY = "ganinv"  # of the description in the file's metadata


@dataclass(frozen=True, kw_only=True, slots=True)
class Description:
    """What a model is, and where it comes from."""

    objective: Mapping[str, Any]
    network: Mapping[str, Any]
    image_resolution: int  # pixels a side
    image_channels: int
    checkpoint: str
    images_seen: int
    train: Mapping[str, Any]
    data_fingerprint: str
    versions: Mapping[str, str]  # that trained it

    @classmethod
    def of(cls, manifest: Manifest) -> "Description":
        config = manifest.config
        return cls(
            objective=config["objective"],
            network=config["network"],
            image_resolution=manifest.image_resolution,
            image_channels=manifest.image_channels,
            checkpoint=manifest.name,
            images_seen=manifest.images_seen,
            train=config["train"],
            data_fingerprint=manifest.data_fingerprint,
            versions=manifest.versions,
        )

    def plain(self) -> dict[str, Any]:
        return {"format": FORMAT, **asdict(self)}


def export_files(model: InvertibleGan, description: Description) -> dict[str, bytes]:
    """The files of an exported folder by name; the first one is enough for `read_export`."""
    plain = description.plain()
    tensors = {"scale_L": model.scale_L}
    tensors |= {f"g/{name}": tensor for name, tensor in model.generator.state_dict().items()}
    tensors |= {f"d/{name}": tensor for name, tensor in model.discriminator.state_dict().items()}
    payload = safetensors.torch.save(
        {name: tensor.cpu().contiguous() for name, tensor in tensors.items()},
        metadata={_KEY: json.dumps(plain)},
    )
    text = json.dumps({**plain, "scale": model.scale_L.tolist()}, indent=1)
    return {MODEL_NAME: payload, DESCRIPTION_NAME: text.encode()}


def read_export(store: Reader, name: str) -> InvertibleGan:
    """The model of an exported file, on the CPU.

    Raises `StorageError` for a file that is missing, damaged or no export, and `ConfigError` for
    options that this version does not know.
    """
    where, payload = f"{store.url}/{name}", store.read(name)
    try:
        tensors = safetensors.torch.load(payload)
    except safetensors.SafetensorError as error:
        raise StorageError(f"{where} is damaged ({error}); export it again") from error
    description = _description(payload, where)
    if "scale_L" not in tensors:
        raise StorageError(f"{where} has no tensor scale_L; export it again")
    pair = build_trained(
        {"network": description.network},
        resolution=description.image_resolution,
        image_channels=description.image_channels,
        generator=below(tensors, "g/"),
        discriminator=below(tensors, "d/"),
        where=where,
    )
    return InvertibleGan(
        generator=pair.generator,
        discriminator=pair.discriminator,
        scale_L=tensors["scale_L"],
    )


def _description(payload: bytes, where: str) -> Description:
    """From the header, whose length safetensors writes as the first 8 bytes, little-endian."""
    (length,) = struct.unpack_from("<Q", payload)
    text = json.loads(payload[8 : 8 + length]).get("__metadata__", {}).get(_KEY)
    try:
        plain = json.loads(text or "null")
        version = plain.pop("format")
    except (ValueError, KeyError, AttributeError) as error:
        raise StorageError(
            f"{where} is no exported model of ganinv; make one with ganinv export"
        ) from error
    if version != FORMAT:
        raise StorageError(
            f"{where} has format {version}, this program reads {FORMAT}; use the version of "
            "ganinv that wrote it"
        )
    try:
        return from_plain(Description, plain, "description")
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error
