"""Encoding samples for shards. Runs in worker processes, so its imports are light."""

import hashlib
import io
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, features
from PIL import __version__ as pillow_version

from datasets.shards.splits import Split
from datasets.sources.base import Skipped, Work


class NewSample(NamedTuple):
    """A sample to be added to a tar."""

    key: str
    split: Split
    png: bytes
    attributes: dict[str, Any]
    digest: str
    """Hash of the pixels: equal for equal images, whatever files they came from."""
    content: str
    """As `Sample.content`."""


def encode(work: Work) -> list[NewSample | Skipped]:
    """Call `work`, and encode the samples it returns."""
    return [
        made
        if isinstance(made, Skipped)
        else NewSample(
            key=made.key,
            split=made.split,
            png=_png(made.image_HWC),
            attributes=made.attributes,
            digest=_digest(made.image_HWC),
            content=made.content,
        )
        for made in work()
    ]


def encoder() -> str:
    """The versions that the bytes of a PNG depend on, besides the pixels."""
    return f"Pillow {pillow_version}, zlib {features.version('zlib')}"


def _png(image_HWC: NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image_HWC).save(file, "PNG")
    return file.getvalue()


def _digest(image_HWC: NDArray[np.uint8]) -> str:
    return hashlib.blake2b(image_HWC.tobytes(), digest_size=16).hexdigest()
