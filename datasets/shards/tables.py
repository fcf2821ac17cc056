"""Where the samples of a tar lie: a table beside it, in safetensors, one number a sample.

Arrays, for a loader looks up hundreds of samples at a time and needs the keys of few.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from ganinv.errors import DataError

IMAGE_EXTENSIONS = ("png", "jpg", "jpeg", "webp")
_NUMBERS = ("image_start", "image_bytes", "json_start", "json_bytes", "image_crc32")
_NO_CRC32 = -1
TAR_BYTES = 2**44  # more than any tar has


class Member(NamedTuple):
    """Where one sample lies in its tar. `json_bytes` is 0 if it has no attributes.

    `image_crc32` is None if the image was not read as it was indexed.
    """

    key: str
    extension: str
    image_start: int
    image_bytes: int
    json_start: int
    json_bytes: int
    image_crc32: int | None = None


def layout(members: Iterable[Member]) -> list[Member]:
    """The members without what only those know who have read them."""
    return [member._replace(image_crc32=None) for member in members]


def dump_table(members: Sequence[Member]) -> bytes:
    """Equal bytes for equal members."""
    keys = [member.key.encode() for member in members]
    places = [
        (*member[2:6], _NO_CRC32 if member.image_crc32 is None else member.image_crc32)
        for member in members
    ]
    columns = np.array(places, np.int64).reshape(len(members), len(_NUMBERS)).T
    extensions = [IMAGE_EXTENSIONS.index(member.extension) for member in members]
    return save(
        {
            **{name: column.copy() for name, column in zip(_NUMBERS, columns, strict=True)},
            "extension": np.array(extensions, np.int64),
            "key_end": np.cumsum([len(key) for key in keys], dtype=np.int64),
            "keys": np.frombuffer(b"".join(keys), np.uint8),
        }
    )


class Table:
    """What `dump_table` wrote. Numbers of samples are those in their tar, from 0 on."""

    def __init__(self, data: bytes) -> None:
        """Raises `DataError` for anything else."""
        try:
            columns = load(data)
            self.image_start: NDArray[np.int64] = columns["image_start"]
            self.image_bytes: NDArray[np.int64] = columns["image_bytes"]
            self.json_start: NDArray[np.int64] = columns["json_start"]
            self.json_bytes: NDArray[np.int64] = columns["json_bytes"]
            self._crc32, self._extension = columns["image_crc32"], columns["extension"]
            self._key_end, self._keys = columns["key_end"], columns["keys"].tobytes()
        except (SafetensorError, KeyError) as problem:
            raise DataError(f"it is no table of samples ({problem})") from problem
        numbers = [column for name, column in columns.items() if name != "keys"]
        if any(c.dtype != np.int64 or c.shape != (len(self),) for c in numbers):
            raise DataError("it is no table of samples (its columns do not fit together)")
        bounds = dict.fromkeys(columns.keys() - {"keys"}, (0, TAR_BYTES // 2))
        bounds["image_crc32"] = (_NO_CRC32, TAR_BYTES // 2)
        bounds["extension"] = (0, len(IMAGE_EXTENSIONS))
        for name, (least, end) in bounds.items():
            if ((columns[name] < least) | (columns[name] >= end)).any():
                raise DataError(f"it is no table of samples ({name} is out of its bounds)")

    def __len__(self) -> int:
        return len(self.image_start)

    def key(self, number: int) -> str:
        start = self._key_end[number - 1] if number else 0
        return self._keys[start : self._key_end[number]].decode(errors="replace")

    def member(self, number: int) -> Member:
        if not 0 <= number < len(self):
            raise IndexError(number)
        crc32 = int(self._crc32[number])
        return Member(
            key=self.key(number),
            extension=IMAGE_EXTENSIONS[self._extension[number]],
            image_start=int(self.image_start[number]),
            image_bytes=int(self.image_bytes[number]),
            json_start=int(self.json_start[number]),
            json_bytes=int(self.json_bytes[number]),
            image_crc32=None if crc32 == _NO_CRC32 else crc32,
        )

    def __iter__(self) -> Iterator[Member]:
        return map(self.member, range(len(self)))
