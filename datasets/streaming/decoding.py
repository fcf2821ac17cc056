"""From encoded samples to images, and what takes the place of those that cannot be decoded.

A bad sample is replaced by the nearest good one after it in its slot's window, in the order of the
epoch and around its end. That is a function of the plan and of the content alone: every world
size, every number of loader workers and every resumed run decide alike, without a word.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from datasets.fetch import Encoded, decode_attributes, decode_sample, read_encoded
from datasets.quarantine import Quarantine
from datasets.shards import Shard
from datasets.slot_window import SlotWindow
from datasets.tables import Member
from ganinv.errors import DataError
from ganinv.seams import BadSample, Store


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
