"""The format of checkpoints and exports: names, layout and versions. All other code asks here.

A run's folder holds

    checkpoints/IMAGES_SEEN-ATTEMPT/part-RANK-of-WORLD.safetensors    payload, one object a rank
    checkpoints/IMAGES_SEEN-ATTEMPT/manifest.json                     written last: commits it

IMAGES_SEEN has 12 digits, ATTEMPT 8 hexadecimal ones. A folder without a manifest is no checkpoint.
Together the parts hold these tensors; nothing in a name or shape depends on the number of ranks or
the ZeRO stage:

    NETWORK/weights/NAME                         weights and buffers, of frozen networks too
    NETWORK/average/NAME                         their average, where one is kept
    NETWORK/optimizer/MOMENT/PARAMETER@START     a run of an optimizer moment, flat, from START on
    state/NAME                                   the objective's state, float64
    means                                        sums of the statistics since the last row

An export is one safetensors file with NETWORK/NAME for the networks used after training, and the
tensors of the latent (`scale_L`), which have no slash. Its description is JSON in the metadata.

Versions: 1 is the only one so far. Later keys of a manifest are optional, so that manifests written
before still load.
"""

import re
import secrets
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from torch import Tensor

CHECKPOINT_VERSION = 1
EXPORT_VERSION = 1

FOLDER = "checkpoints/"
MANIFEST = "manifest.json"
SUFFIX = ".safetensors"
STATE = "state/"
MEANS = "means"

_DIGITS = 12
_NAME = re.compile(rf"\d{{{_DIGITS}}}-[0-9a-f]{{8}}")
_COMMITTED = re.compile(rf"{FOLDER}({_NAME.pattern})/{re.escape(MANIFEST)}")
_MOMENT = re.compile(r"([^/]+)/optimizer/(\w+)/(.+)@(\d+)")
_WEIGHT = re.compile(r"[^/]+/(weights|average)/")


class MomentPiece(NamedTuple):
    """Where a run of an optimizer moment belongs."""

    network: str
    moment: str
    parameter: str
    start: int


def new_name(images_seen: int) -> str:
    """The name of a new attempt to save at `images_seen`."""
    return f"{images_seen:0{_DIGITS}d}-{secrets.token_hex(4)}"


def is_name(text: str) -> bool:
    return _NAME.fullmatch(text) is not None


def images_of(name: str) -> int:
    """The images seen at a checkpoint of this name."""
    return int(name[:_DIGITS])


def folder(name: str) -> str:
    """The folder of a checkpoint, with a slash at its end."""
    return f"{FOLDER}{name}/"


def manifest_of(name: str) -> str:
    """Where the manifest of a checkpoint lies."""
    return folder(name) + MANIFEST


def part_name(rank: int, world: int) -> str:
    """The payload object of one rank, below the checkpoint's folder."""
    return f"part-{rank:05d}-of-{world:05d}{SUFFIX}"


def committed(names: Iterable[str]) -> list[str]:
    """The checkpoints that a listing of a run's folder shows as committed, oldest first."""
    matches = (_COMMITTED.fullmatch(name) for name in names)
    return sorted(match[1] for match in matches if match)


def weights(network: str) -> str:
    """The prefix of a network's weights in a checkpoint."""
    return f"{network}/weights/"


def average(network: str) -> str:
    """The prefix of a network's averaged weights in a checkpoint."""
    return f"{network}/average/"


def moment_name(piece: MomentPiece) -> str:
    return f"{piece.network}/optimizer/{piece.moment}/{piece.parameter}@{piece.start}"


def parse_moment(name: str) -> MomentPiece | None:
    """What a tensor's name says, if the tensor is a run of an optimizer moment."""
    match = _MOMENT.fullmatch(name)
    return MomentPiece(match[1], match[2], match[3], int(match[4])) if match else None


def exported(network: str) -> str:
    """The prefix of a network's weights in an export."""
    return f"{network}/"


def is_weight(name: str) -> bool:
    """Whether a checkpoint's tensor is a weight or buffer of a network, current or averaged."""
    return _WEIGHT.match(name) is not None


def below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names start with `prefix`, under the rest of their names."""
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
