"""What a data set was built from: a stamp of its input, and the contents of the images.

`inputs.json` beside the index says it, so that a repeated build notices an input that has changed
although names and sizes have not. Drawn images have no input.
"""

import hashlib
import json
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

from datasets.parallel import Progress
from datasets.sources.base import Source
from ganinv.errors import DataError, StorageMissingError
from ganinv.seams.stores import Store

INPUTS_NAME = "inputs.json"
NOTHING = ""  # the chain before the first image


class Piece(NamedTuple):
    """The contents of the first `end` samples of a source, read or unreadable."""

    end: int
    chain: str
    """Hash of the `Content.digest` of all these samples, see `link`."""


class Difference(NamedTuple):
    """Where an input first differs from what was built: one of these samples has changed."""

    pieces: int
    """How many pieces agree."""
    first: str
    last: str

    def __str__(self) -> str:
        one = self.first == self.last
        return self.first if one else f"one of the images from {self.first} to {self.last}"


def link(chain: str, digest: str) -> str:
    """The chain with one more sample."""
    return hashlib.blake2b(f"{chain}{digest}".encode(), digest_size=16).hexdigest()


def first_difference(
    source: Source, pieces: Sequence[Piece], on_progress: Progress
) -> Difference | None:
    """Read the contents of a source; None if they agree with all pieces."""
    chain, done = NOTHING, 0
    with closing(source.contents()) as contents:
        for number, piece in enumerate(pieces):
            names = []
            for name, digest in islice(contents, piece.end - done):
                names.append(name)
                chain = link(chain, digest)
                done += 1
                on_progress(done, source.count, 0)
            if chain != piece.chain:
                return Difference(number, names[0], names[-1])
    return None


@dataclass(frozen=True, kw_only=True, slots=True)
class InputRecord:
    """The content of `inputs.json`."""

    stamp: str
    """`Source.stamp`."""
    pieces: Sequence[Piece]
    """In order; the last one ends with the source."""

    def save(self, store: Store) -> None:
        content = {"stamp": self.stamp, "pieces": self.pieces}
        store.write(INPUTS_NAME, (json.dumps(content) + "\n").encode())

    @classmethod
    def load(cls, store: Store) -> "InputRecord | None":
        """None if there is no record: the images are drawn, or an old version built the set.

        Raises `DataError` if it is corrupt.
        """
        try:
            content = json.loads(store.read(INPUTS_NAME))
            pieces = [Piece(int(end), str(chain)) for end, chain in content["pieces"]]
            return cls(stamp=content["stamp"], pieces=pieces)
        except StorageMissingError:
            return None
        except (ValueError, TypeError, KeyError) as problem:
            raise DataError(
                f"{store.url.rstrip('/')}/{INPUTS_NAME}, the record of what the data set was built"
                f" from, is corrupt ({problem!r}); delete it to keep the data set without a record,"
                " or build the data set again elsewhere"
            ) from problem
