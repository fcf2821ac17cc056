"""Exports: a trained model in one safetensors file, independent of its run.

The file holds the networks used after training and the latent's tensors (`format.py`). Its metadata
holds the description as JSON under the key `ganinv`, and under `sha256` a hash of description and
tensors (`digest`); exports of version 0.1 have no hash. An exported folder holds that file, graphs
(`torchscript.py`), and `model.json` for people and other programs (ganinv never reads it): the
description, and size and SHA-256 of each file.
"""

import copy
import hashlib
import json
import struct
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from types import MappingProxyType
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from ganinv.alignment.transform import CROP
from ganinv.errors import ConfigError, StorageContentError
from ganinv.model import InvertibleGan
from ganinv.plain import from_plain
from ganinv.saved import format as names
from ganinv.saved.manifest import Manifest
from ganinv.saved.networks import build_objective, build_trained, checked_codec
from ganinv.seams.stores import Reader
from ganinv.sizes import Resolution

MODEL_NAME = f"model{names.SUFFIX}"
DESCRIPTION_NAME = "model.json"
# Keys of the description and of the hash in the file's metadata.
_KEY = "ganinv"
_DIGEST_KEY = "sha256"


@dataclass(frozen=True, kw_only=True, slots=True)
class Description:
    """The options of a model, and its origin."""

    objective: Mapping[str, Any]
    network: Mapping[str, Any]
    image_resolution: Resolution
    image_channels: int
    checkpoint: str
    images_seen: int
    train: Mapping[str, Any]
    data_fingerprint: str
    versions: Mapping[str, str]  # of the packages that trained the model
    image_alignment: str | None = None  # how photographs became images of the data; None: a crop
    image_bits: int | None = None  # of each channel of the data; None: 8

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
            image_alignment=manifest.image_alignment,
            image_bits=manifest.image_bits,
        )

    def plain(self) -> dict[str, Any]:
        plain = {"format": names.EXPORT_VERSION, **asdict(self)}
        for key in ("image_alignment", "image_bits"):  # which version 0.1 does not know
            if plain[key] is None:
                del plain[key]
        return plain


def export_files(
    model: InvertibleGan,
    description: Description,
    graphs: Mapping[str, bytes] = MappingProxyType({}),
    *,
    half: bool = False,
) -> dict[str, bytes]:
    """The files of an exported folder by name; `read_export` needs only the first one.

    `graphs`: further files of the folder, from `torchscript.graph_files`. `half`: the networks'
    weights as float16, half the size; `read_export` makes them float32 again, so that the model is
    another one than the run's. Raises `ConfigError` for weights beyond the range of float16.
    """
    plain = description.plain()
    tensors = exported_tensors(model)
    if half:
        tensors = {name: _halved(name, tensor, model) for name, tensor in tensors.items()}
    text = json.dumps(plain)
    metadata = {_KEY: text, _DIGEST_KEY: digest(text, tensors)}
    files = {MODEL_NAME: safetensors.torch.save(tensors, metadata=metadata), **graphs}
    latent = {without_shape(name): t.tolist() for name, t in model.codec.tensors.items()}
    hashes = {
        name: {"size_bytes": len(payload), "sha256": hashlib.sha256(payload).hexdigest()}
        for name, payload in files.items()
    }
    told = json.dumps({**plain, **latent, "files": hashes}, indent=1)
    return {**files, DESCRIPTION_NAME: told.encode()}


def exported_tensors(model: InvertibleGan) -> dict[str, Tensor]:
    """All tensors of a model as its export names them, on the CPU."""
    tensors = dict(model.codec.tensors)
    for network, module in model.codec.networks.items():
        prefix = names.exported(network)
        tensors |= {f"{prefix}{name}": tensor for name, tensor in module.state_dict().items()}
    return {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}


def _halved(name: str, tensor: Tensor, model: InvertibleGan) -> Tensor:
    """A weight as float16. The latent's tensors keep their type: they are small."""
    if name in model.codec.tensors or tensor.dtype != torch.float32:
        return tensor
    if not (halved := tensor.half()).isfinite().all():
        raise ConfigError(
            f"half: {name} reaches {float(tensor.abs().max()):.3g}, beyond the range of float16; "
            "export float32"
        )
    return halved


def rounded(model: InvertibleGan) -> InvertibleGan:
    """The model that `ganinv.load` reads from an export of half weights."""
    codec = model.codec
    networks = {name: copy.deepcopy(network) for name, network in codec.networks.items()}
    with torch.no_grad():
        for network in networks.values():
            for weight in network.state_dict().values():
                if weight.dtype == torch.float32:
                    weight.copy_(weight.half())
    return replace(model, codec=replace(codec, networks=networks))


def _whole(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights of float16 as float32."""
    return {
        name: weight.float() if weight.dtype == torch.float16 else weight
        for name, weight in weights.items()
    }


def digest(description: str, tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of a description and of the tensors' names, types, shapes and numbers.

    The order of the tensors in the file does not matter.
    """
    held = {
        name: [
            str(tensor.dtype),
            list(tensor.shape),
            hashlib.sha256(tensor.reshape(-1).view(torch.uint8).numpy().data).hexdigest(),
        ]
        for name, tensor in tensors.items()
    }
    return hashlib.sha256(json.dumps([description, held], sort_keys=True).encode()).hexdigest()


def read_export(store: Reader, name: str) -> InvertibleGan:
    """The model of an exported file, on the CPU.

    Raises `StorageError` for a file that is missing, corrupt or not an export, and `ConfigError`
    for options that this version does not know.
    """
    where, payload = f"{store.url}/{name}", store.read(name)
    try:
        tensors = safetensors.torch.load(payload)
    except safetensors.SafetensorError as error:
        raise StorageContentError(f"{where} is corrupt ({error}); export it again") from error
    metadata = metadata_of(payload)
    text, written = metadata.get(_KEY, "null"), metadata.get(_DIGEST_KEY)
    if written is not None and written != digest(text, tensors):
        raise StorageContentError(
            f"{where} is not what was written (SHA-256 differs); copy it again from its origin, or "
            "export the run again"
        )
    description = _description(text, where)
    options = {"objective": description.objective, "network": description.network}
    objective = build_objective(options)
    networks = build_trained(
        options,
        resolution=description.image_resolution,
        image_channels=description.image_channels,
        weights={
            name: _whole(names.below(tensors, names.exported(name)))
            for name, role in objective.roles.items()
            if role.exported
        },
        where=where,
    )
    return InvertibleGan(
        codec=checked_codec(objective, networks, tensors, where),
        alignment=description.image_alignment or CROP,
        bits=description.image_bits or 8,
    )


def without_shape(name: str) -> str:
    """A tensor's name for people and other programs: `scale_L` becomes `scale`."""
    return name.rpartition("_")[0] or name


def metadata_of(payload: bytes) -> dict[str, str]:
    """The metadata in the header; the file's first 8 bytes are its length, little-endian."""
    (length,) = struct.unpack_from("<Q", payload)
    found: dict[str, str] = json.loads(payload[8 : 8 + length]).get("__metadata__") or {}
    return found


def _description(text: str, where: str) -> Description:
    try:
        plain = json.loads(text)
        version = plain.pop("format")
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise StorageContentError(
            f"{where} is not an exported model of ganinv; make one with ganinv export"
        ) from error
    if version != names.EXPORT_VERSION:
        raise StorageContentError(
            f"{where} has format {version!r}, but this program reads format "
            f"{names.EXPORT_VERSION}; use the version of ganinv that wrote it"
        )
    try:
        return from_plain(Description, plain, "description")
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error
