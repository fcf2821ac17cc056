"""Encoding samples for shards. Runs in worker processes, so its imports are light."""

import hashlib
from typing import Any, NamedTuple

from PIL import __version__ as pillow_version
from PIL import features

from datasets.shards.splits import Split
from datasets.sources.base import Sample, Skipped, Work
from ganinv.kinds.converting import Pixels, as_kind
from ganinv.kinds.kind import DEEP, Kind
from ganinv.kinds.png import codec_version, encode_png


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


def encode(work: Work, kind: Kind) -> list[NewSample | Skipped]:
    """Call `work`, and encode the samples it returns as pixels of `kind`."""
    return [made if isinstance(made, Skipped) else _encoded(made, kind) for made in work()]


def _encoded(made: Sample, kind: Kind) -> NewSample:
    image_HWC = as_kind(made.image_HWC, kind)
    return NewSample(
        key=made.key,
        split=made.split,
        png=encode_png(image_HWC),
        attributes=made.attributes,
        digest=_digest(image_HWC),
        content=made.content,
    )


def encoder(bits: int) -> str:
    """The versions that the bytes of a PNG depend on, besides the pixels."""
    pillow = f"Pillow {pillow_version}, zlib {features.version('zlib')}"
    return f"{pillow}, {codec_version()}" if bits == DEEP else pillow


def _digest(image_HWC: Pixels) -> str:
    return hashlib.blake2b(image_HWC.tobytes(), digest_size=16).hexdigest()
