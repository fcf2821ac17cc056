"""Exports: a trained model in one safetensors file, independent of its run.

The file holds the networks used after training and the latent's tensors (`format.py`). Its metadata
holds the description as JSON under the key `ganinv`. An exported folder holds that file, a copy of
the description as `model.json` for people and other programs (ganinv never reads it), and graphs
(`torchscript.py`).
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
from ganinv.saved import format as names
from ganinv.saved.manifest import Manifest
from ganinv.saved.networks import build_objective, build_trained
from ganinv.seams.stores import Reader

MODEL_NAME = f"model{names.SUFFIX}"
DESCRIPTION_NAME = "model.json"
_KEY = "ganinv"  # key of the description in the file's metadata


@dataclass(frozen=True, kw_only=True, slots=True)
class Description:
    """The options of a model, and its origin."""

    objective: Mapping[str, Any]
    network: Mapping[str, Any]
    image_resolution: int  # pixels per side
    image_channels: int
    checkpoint: str
    images_seen: int
    train: Mapping[str, Any]
    data_fingerprint: str
    versions: Mapping[str, str]  # of the packages that trained the model

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
        return {"format": names.EXPORT_VERSION, **asdict(self)}


def export_files(model: InvertibleGan, description: Description) -> dict[str, bytes]:
    """The files of an exported folder by name; `read_export` needs only the first file."""
    plain = description.plain()
    tensors = dict(model.codec.tensors)
    for network, module in model.codec.networks.items():
        prefix = names.exported(network)
        tensors |= {f"{prefix}{name}": tensor for name, tensor in module.state_dict().items()}
    payload = safetensors.torch.save(
        {name: tensor.cpu().contiguous() for name, tensor in tensors.items()},
        metadata={_KEY: json.dumps(plain)},
    )
    latent = {without_shape(name): t.tolist() for name, t in model.codec.tensors.items()}
    text = json.dumps({**plain, **latent}, indent=1)
    return {MODEL_NAME: payload, DESCRIPTION_NAME: text.encode()}


def read_export(store: Reader, name: str) -> InvertibleGan:
    """The model of an exported file, on the CPU.

    Raises `StorageError` for a file that is missing, corrupt or not an export, and `ConfigError`
    for options that this version does not know.
    """
    where, payload = f"{store.url}/{name}", store.read(name)
    try:
        tensors = safetensors.torch.load(payload)
    except safetensors.SafetensorError as error:
        raise StorageError(f"{where} is corrupt ({error}); export it again") from error
    description = _description(payload, where)
    options = {"objective": description.objective, "network": description.network}
    objective = build_objective(options)
    networks = build_trained(
        options,
        resolution=description.image_resolution,
        image_channels=description.image_channels,
        weights={
            name: names.below(tensors, names.exported(name))
            for name, role in objective.roles.items()
            if role.exported
        },
        where=where,
    )
    try:
        return InvertibleGan(codec=objective.codec(networks, tensors))
    except KeyError as error:
        raise StorageError(f"{where} lacks the tensor {error.args[0]}; export it again") from error


def without_shape(name: str) -> str:
    """A tensor's name for people and other programs: `scale_L` becomes `scale`."""
    return name.rpartition("_")[0] or name


def _description(payload: bytes, where: str) -> Description:
    """The description in the header; the file's first 8 bytes are its length, little-endian."""
    (length,) = struct.unpack_from("<Q", payload)
    text = json.loads(payload[8 : 8 + length]).get("__metadata__", {}).get(_KEY)
    try:
        plain = json.loads(text or "null")
        version = plain.pop("format")
    except (ValueError, KeyError, AttributeError) as error:
        raise StorageError(
            f"{where} is not an exported model of ganinv; make one with ganinv export"
        ) from error
    if version != names.EXPORT_VERSION:
        raise StorageError(
            f"{where} has format {version}, but this program reads format {names.EXPORT_VERSION}; "
            "use the version of ganinv that wrote it"
        )
    try:
        return from_plain(Description, plain, "description")
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error
