"""Samples to the bytes that shards hold. Runs in worker processes: light imports."""

import hashlib
import io
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, features
from PIL import __version__ as pillow_version

from datasets.shards.splits import Split
from datasets.sources.base import Skipped, Work


class Encoded(NamedTuple):
    """A sample, ready for a tar."""

    key: str
    split: Split
    png: bytes
    attributes: dict[str, Any]
    digest: str
    """Of the pixels: equal for equal images, however they came."""


def encode(work: Work) -> list[Encoded | Skipped]:
    """Call a piece of work, and encode what it returns."""
    return [
        made
        if isinstance(made, Skipped)
        else Encoded(
            made.key, made.split, _png(made.image_HWC), made.attributes, _digest(made.image_HWC)
        )
        for made in work()
    ]


def encoder() -> str:
    """What the bytes of a PNG depend on, besides the pixels."""
    return f"Pillow {pillow_version}, zlib {features.version('zlib')}"


def _png(image_HWC: NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image_HWC).save(file, "PNG")
    return file.getvalue()


def _digest(image_HWC: NDArray[np.uint8]) -> str:
    return hashlib.blake2b(image_HWC.tobytes(), digest_size=16).hexdigest()
