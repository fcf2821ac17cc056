"""Decoding samples to images, and replacing samples that cannot be decoded.

A bad sample is replaced by the next good sample of its slot's window, in the order of the steps;
after the last step, the search continues at the first. The replacement is a function of the plan
and the content of the data alone. So every world size, every number of loader threads and every
resumed run choose the same replacement without communicating.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from datasets.shards.attributes import parse_attributes
from datasets.shards.images import decode_image
from datasets.shards.quarantine import Quarantine
from datasets.shards.shard import Shard
from datasets.shards.tables import Member
from datasets.streaming.fetch import EncodedSample, read_encoded
from datasets.streaming.slot_window import SlotWindow
from ganinv.errors import DataError
from ganinv.kinds.converting import Pixels
from ganinv.kinds.kind import Kind
from ganinv.seams.batches import BadSample
from ganinv.seams.stores import Store
from ganinv.sizes import Size


class WindowStep(NamedTuple):
    """One step of a slot's window: the sample of that step, and its possible replacements."""

    window: SlotWindow
    step: int
    """Number of the step within the window."""


class DecodedSample(NamedTuple):
    """A good sample."""

    image_HWC: Pixels
    key: str
    attributes: dict[str, Any]
    """{} if the sample has none, or if attributes are not read."""


@dataclass(frozen=True, kw_only=True)
class Decoder:
    """Decodes the samples of one data set. Thread-safe."""

    store: Store
    """Where samples that failed to decode are read again: the origin, not a cache."""
    size: Size
    """Of every image."""
    kind: Kind
    """Of the pixels of every image."""
    attributes: bool
    """Whether to decode attributes."""
    quarantine: Quarantine

    def decode(self, window_step: WindowStep) -> DecodedSample:
        """The sample of a step, or its replacement if the sample is bad.

        Raises `DataError` if no sample of the window is good, or the run has too many bad samples.
        """
        window, step = window_step
        sample = window.encoded(step)
        if sample is not None and (found := self.attempt(sample)) is not None:
            return found
        for other_step in [*range(step + 1, len(window)), *range(step)]:
            shard, member = window.sample(other_step)
            if self.quarantine.holds(self.store.url, shard.name, member.key):
                continue
            if (found := self.attempt(self._read(shard, member))) is not None:
                return found
        shard, member = window.sample(step)
        raise DataError(
            f"image {member.key!r} in {shard.name} is corrupt, and so are all {len(window)}"
            " samples that could replace it; restore the shard or run `data build` again"
        )

    def attempt(self, sample: EncodedSample) -> DecodedSample | None:
        """Decode a sample. If that fails, read the sample once more and decode it again.

        If it fails twice, puts the sample into quarantine and returns None. Raises `DataError` if
        the quarantine then exceeds its limit.
        """
        try:
            return self._decode(sample)
        except DataError:
            # The bytes may have been corrupted in transit, while the stored sample is good.
            again = self._read(sample.shard, sample.member)
        try:
            return self._decode(again)
        except DataError as problem:
            place = (self.store.url, sample.shard.name, sample.member.key)
            self.quarantine.add(BadSample(*place, str(problem)))
            return None

    def _read(self, shard: Shard, member: Member) -> EncodedSample:
        return read_encoded(self.store, [(shard, member)], attributes=self.attributes)[0]

    def _decode(self, sample: EncodedSample) -> DecodedSample:
        image_HWC = decode_sample(sample, self.size, self.kind)
        return DecodedSample(image_HWC, sample.member.key, decode_attributes(sample))


def decode_sample(sample: EncodedSample, size: Size, kind: Kind) -> Pixels:
    """H × W × C. Raises `DataError` that names shard and key of a corrupt image."""
    expected = sample.member.image_crc32
    if expected is not None and zlib.crc32(sample.image) != expected:
        raise DataError(
            f"{sample.what} has other bytes than were indexed (its CRC-32 differs); restore the"
            " shard, or run `data build` or `data index` again"
        )
    return decode_image(sample.image, size, sample.what, kind)


def decode_attributes(sample: EncodedSample) -> dict[str, Any]:
    """The attributes, {} if there are none. Raises `DataError` if they are not a JSON object."""
    return parse_attributes(sample.attributes, sample.what) if sample.attributes else {}


def stack_images(images: Sequence[Pixels]) -> Tensor:
    """B images of H × W × C as one contiguous tensor B × C × H × W, see `Batch`."""
    height, width, channels = images[0].shape
    held = np.uint8 if images[0].dtype == np.uint8 else np.int32
    stacked_BCHW = np.empty((len(images), channels, height, width), held)
    for target_CHW, image_HWC in zip(stacked_BCHW, images, strict=True):
        # NumPy copies here, because PyTorch would start its own threads in every decoding thread.
        target_CHW[:] = image_HWC.transpose(2, 0, 1)
    return torch.from_numpy(stacked_BCHW)
