"""From encoded samples to images, and what takes the place of those that cannot be decoded.

A bad sample is replaced by the nearest good one after it in its slot's window, in the order of the
epoch and around its end. That is a function of the plan and of the content alone: every world
size, every number of loader workers and every resumed run decide alike, without a word.
"""

import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from datasets.shards.images import decode_image
from datasets.shards.quarantine import Quarantine
from datasets.shards.shard import Shard
from datasets.shards.tables import Member
from datasets.streaming.fetch import Encoded, read_encoded
from datasets.streaming.slot_window import SlotWindow
from ganinv.errors import DataError
from ganinv.seams.batches import BadSample
from ganinv.seams.stores import Store


class Draw(NamedTuple):
    """What a slot gets at one step, and what could take its place."""

    window: SlotWindow
    step: int
    """Within the window."""


class Decoded(NamedTuple):
    """A sample that is good."""

    image_HWC: NDArray[np.uint8]
    key: str
    attributes: dict[str, Any]
    """{} if it has none or none were asked for."""


@dataclass(frozen=True, kw_only=True)
class Decoder:
    """Decodes the samples of one data set. May be used from several threads."""

    store: Store
    """Where doubtful samples are read again: the origin, not a cache."""
    resolution: int
    """Pixels a side."""
    attributes: bool
    """Whether these are wanted."""
    quarantine: Quarantine

    def decode(self, draw: Draw) -> Decoded:
        """The sample that was drawn or the one in its place.

        Raises `DataError` if no sample of the window is good, or too many of the run are bad.
        """
        window, step = draw
        sample = window.encoded(step)
        if sample is not None and (found := self.attempt(sample)) is not None:
            return found
        for other_step in [*range(step + 1, len(window)), *range(step)]:
            other, candidate = window.place(other_step)
            if self.quarantine.holds(self.store.url, other.name, candidate.key):
                continue
            if (found := self.attempt(self._read(other, candidate))) is not None:
                return found
        shard, member = window.place(step)
        raise DataError(
            f"image {member.key!r} in {shard.name} is damaged, and so are all {len(window)}"
            " samples that could take its place; restore the shard or run `data build` again"
        )

    def attempt(self, sample: Encoded) -> Decoded | None:
        """The image of a sample; None if it is bad, and when it is read once more, too.

        It goes into quarantine then. Raises `DataError` if too many are there.
        """
        try:
            return self._decode(sample)
        except DataError:
            # Bytes may have been damaged on their way, which is no property of the sample.
            again = self._read(sample.shard, sample.member)
        try:
            return self._decode(again)
        except DataError as problem:
            place = (self.store.url, sample.shard.name, sample.member.key)
            self.quarantine.add(BadSample(*place, str(problem)))
            return None

    def _read(self, shard: Shard, member: Member) -> Encoded:
        return read_encoded(self.store, [(shard, member)], attributes=self.attributes)[0]

    def _decode(self, sample: Encoded) -> Decoded:
        image_HWC = decode_sample(sample, self.resolution)
        return Decoded(image_HWC, sample.member.key, decode_attributes(sample))


def decode_sample(sample: Encoded, resolution: int) -> NDArray[np.uint8]:
    """RGB uint8, H × W × 3. Raises `DataError` naming shard and key of a damaged image."""
    expected = sample.member.image_crc32
    if expected is not None and zlib.crc32(sample.image) != expected:
        raise DataError(
            f"{sample.what} has other bytes than were indexed (its CRC-32 differs); restore the"
            " shard, or run `data build` or `data index` anew"
        )
    return decode_image(sample.image, resolution, sample.what)


def decode_attributes(sample: Encoded) -> dict[str, Any]:
    """{} where there are none. Raises `DataError` for what is no JSON object."""
    if not sample.attributes:
        return {}
    try:
        found = json.loads(sample.attributes)
    except ValueError as problem:
        raise DataError(
            f"the attributes of {sample.what} are no JSON ({problem}); build the shard again"
        ) from problem
    if not isinstance(found, dict):
        raise DataError(f"the attributes of {sample.what} are no JSON object; build it again")
    return found


def stack_images(images: Sequence[NDArray[np.uint8]]) -> Tensor:
    """B images of H × W × 3 as one contiguous tensor B × 3 × H × W."""
    height, width, channels = images[0].shape
    stacked_BCHW = np.empty((len(images), channels, height, width), np.uint8)
    for target_CHW, image_HWC in zip(stacked_BCHW, images, strict=True):
        # By NumPy: PyTorch would start threads of its own for it in every thread that decodes.
        target_CHW[:] = image_HWC.transpose(2, 0, 1)
    return torch.from_numpy(stacked_BCHW)
