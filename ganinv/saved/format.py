"""The format of checkpoints and exports: names, layout and versions, defined only here.

A run's folder holds

    checkpoints/IMAGES_SEEN-ATTEMPT/part-RANK-of-WORLD.safetensors    payload, one object a rank
    checkpoints/IMAGES_SEEN-ATTEMPT/manifest.json                     written last: commits it

IMAGES_SEEN has 12 digits, ATTEMPT 8 hexadecimal digits. A folder without a manifest is not a
checkpoint.
Together the parts hold these tensors. No name or shape depends on the number of ranks or on the
ZeRO stage:

    NETWORK/weights/NAME                         weights and buffers, also of frozen networks
    NETWORK/average/NAME                         their average, if one is kept
    NETWORK/optimizer/MOMENT/PARAMETER@START     a contiguous piece of a flat optimizer moment
    state/NAME                                   the objective's state, float64
    means                                        sums of the statistics since the last row

An export is one safetensors file with NETWORK/NAME for the networks used after training, and the
tensors of the latent (`scale_L`), which have no slash. Its metadata holds a description, as JSON,
and a hash of description and tensors.

The only version so far is 1. Keys that were added to the manifest or the metadata later, such as an
export's hash, are optional, so that older manifests and exports still load.
"""

import re
import secrets
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:  # commands that only list checkpoints start without torch
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
    """Which elements of an optimizer moment a piece holds: those from `start` on."""

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
    """The folder of a checkpoint, with a trailing slash."""
    return f"{FOLDER}{name}/"


def manifest_of(name: str) -> str:
    """The object name of a checkpoint's manifest."""
    return folder(name) + MANIFEST


def part_name(rank: int, world: int) -> str:
    """The name of one rank's payload object in the checkpoint's folder."""
    return f"part-{rank:05d}-of-{world:05d}{SUFFIX}"


def committed(names: Iterable[str]) -> list[str]:
    """The committed checkpoints in a listing of a run's folder, oldest first."""
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
    """The piece that a tensor's name describes; None if it is not part of an optimizer moment."""
    match = _MOMENT.fullmatch(name)
    return MomentPiece(match[1], match[2], match[3], int(match[4])) if match else None


def split_file(url: str) -> tuple[str, str]:
    """The folder and the name of a file at a path or URL."""
    folder, slash, name = url.rpartition("/")
    if folder in ("", "file://"):  # a file of the root directory, or of the working directory
        return folder + slash or ".", name
    return folder, name


def exported(network: str) -> str:
    """The prefix of a network's weights in an export."""
    return f"{network}/"


def is_weight(name: str) -> bool:
    """Whether a checkpoint's tensor is a weight or buffer of a network, current or averaged."""
    return _WEIGHT.match(name) is not None


def below(tensors: "Mapping[str, Tensor]", prefix: str) -> "dict[str, Tensor]":
    """The tensors whose names start with `prefix`, without the prefix in their names."""
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
