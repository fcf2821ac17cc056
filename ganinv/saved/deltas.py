"""Deltas: what pivotal tuning changed in a generator for one image, as one small file.

A delta is a safetensors file: the differences of the weights as NETWORK/NAME in float16, and the
point that was tuned to as `point`. Its metadata holds, as JSON under the key `ganinv-delta`, the
version, the identity of the model and the point's space. A delta never changes a model: `applied`
makes another one.
"""

import copy
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from ganinv.errors import ConfigError, StorageContentError
from ganinv.inputs import place_name
from ganinv.model import InvertibleGan
from ganinv.places.reading import open_reader
from ganinv.saved import format as names
from ganinv.saved.exports import metadata_of
from ganinv.saved.identity import identity

VERSION = 1
POINT = "point"
_KEY = "ganinv-delta"
STORED = torch.float16  # a change is small beside its weight: 11 bits of it are enough


@dataclass(frozen=True, kw_only=True)
class Delta:
    """Changed weights of one model for one image."""

    model: str  # its identity
    space: str
    point: Tensor  # 1 × …, on the CPU: the tuned model decodes the image from it
    changes: Mapping[str, Tensor]  # NETWORK/NAME → difference, float16, on the CPU

    def applied(self, model: InvertibleGan) -> InvertibleGan:
        """A copy of the model with these weights; the model itself stays as it is.

        Raises `ConfigError` for another model than the one that was tuned.
        """
        found = identity(model)
        if found != self.model:
            raise ConfigError(
                f"delta: belongs to the model {self.model[:12]}…, but this model is "
                f"{found[:12]}…; load the run or export that was tuned"
            )
        networks = dict(model.codec.networks)
        for name, network in networks.items():
            if changes := names.below(self.changes, names.exported(name)):
                networks[name] = _changed(network, changes)
        return replace(model, codec=replace(model.codec, networks=networks))

    def image(self, model: InvertibleGan) -> Tensor:
        """The image that the model was tuned to, 1 × C × H × W, clamped to [−1, 1]."""
        tuned = self.applied(model)
        with torch.no_grad():
            image_BCHW = tuned.codec.spaces[self.space].decode(
                self.point.to(tuned.device, tuned.dtype)
            )
        return image_BCHW.clamp(-1, 1)

    def to_bytes(self) -> bytes:
        """The file."""
        about = {"format": VERSION, "model": self.model, "space": self.space}
        tensors = {POINT: self.point, **self.changes}
        return safetensors.torch.save(
            {name: tensor.contiguous() for name, tensor in tensors.items()},
            metadata={_KEY: json.dumps(about)},
        )


@torch.no_grad()
def _changed(network: nn.Module, changes: Mapping[str, Tensor]) -> nn.Module:
    copied = copy.deepcopy(network)
    for name, change in changes.items():
        parameter = copied.get_parameter(name)
        parameter.add_(change.to(parameter))
    return copied


def read_delta(place: str | os.PathLike[str], *, endpoint_url: str | None = None) -> Delta:
    """A delta from a path or URL of a .safetensors file.

    Raises `StorageError` for a file that is missing, corrupt or no delta.
    """
    url = place_name(place)
    folder, name = names.split_file(url)
    payload = open_reader(folder, endpoint_url).read(name)
    try:
        tensors = safetensors.torch.load(payload)
        about: dict[str, Any] = json.loads(metadata_of(payload)[_KEY])
        version, model, space = about["format"], about["model"], about["space"]
        point = tensors.pop(POINT)
    except (safetensors.SafetensorError, ValueError, KeyError, TypeError) as error:
        raise StorageContentError(
            f"{url} is no delta of ganinv, or is corrupt ({error}); make one with ganinv invert "
            "refine.tune_steps=350"
        ) from error
    if version != VERSION:
        raise StorageContentError(
            f"{url} has format {version!r}, but this program reads format {VERSION}; use the "
            "version of ganinv that wrote it"
        )
    return Delta(model=model, space=space, point=point, changes=tensors)
