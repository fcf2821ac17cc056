"""The table of a tar's samples: where each sample lies. Stored beside the tar, in safetensors.

Each column is an array, because a loader looks up hundreds of samples at once and needs the keys
of only a few.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from ganinv.errors import DataError

# Tables store the positions in this list, so new extensions come last. Their formats:
# `datasets.shards.images.FORMATS`.
IMAGE_EXTENSIONS = (
    *("png", "jpg", "jpeg", "webp"),
    *("jfif", "jpe", "bmp", "dib", "gif", "tif", "tiff", "avif", "apng", "jp2", "j2k", "qoi"),
    *("ppm", "pgm", "pbm", "pnm"),
)
# Images that Pillow cannot read, or does not recognise by their content.
UNREAD_EXTENSIONS = (
    *("heic", "heif", "hif", "jxl", "jpx", "svg", "svgz", "psd", "xcf", "exr", "hdr", "tga", "ico"),
    *("eps", "dng", "cr2", "cr3", "nef", "arw", "orf", "rw2", "raf", "pef", "srw"),
)
_NUMBERS = ("image_start", "image_bytes", "json_start", "json_bytes", "image_crc32")
_NO_CRC32 = -1
TAR_BYTES = 2**44  # an upper bound on the size of any tar


class Member(NamedTuple):
    """One sample of a tar: its key, and the byte ranges of its image and its attributes (JSON)."""

    key: str
    extension: str
    """Of the image, without the dot."""
    image_start: int
    image_bytes: int
    json_start: int
    json_bytes: int
    """0 if the sample has no attributes."""
    image_crc32: int | None = None
    """None if the image was not read when the tar was indexed."""


def layout(members: Iterable[Member]) -> list[Member]:
    """The members without checksums, which are unknown if only the headers were read."""
    return [member._replace(image_crc32=None) for member in members]


def dump_table(members: Sequence[Member]) -> bytes:
    """The bytes of a table. They are a stored format: equal members always give equal bytes."""
    keys = [member.key.encode() for member in members]
    numbers = [
        (*member[2:6], _NO_CRC32 if member.image_crc32 is None else member.image_crc32)
        for member in members
    ]
    columns = np.array(numbers, np.int64).reshape(len(members), len(_NUMBERS)).T
    extensions = [IMAGE_EXTENSIONS.index(member.extension) for member in members]
    return save(
        {
            **{name: column.copy() for name, column in zip(_NUMBERS, columns, strict=True)},
            "extension": np.array(extensions, np.int64),
            "key_end": np.cumsum([len(key) for key in keys], dtype=np.int64),
            "keys": np.frombuffer(b"".join(keys), np.uint8),
        }
    )


class SampleTable:
    """A table written by `dump_table`. Samples are numbered from 0, in the order of their tar."""

    def __init__(self, data: bytes) -> None:
        """Raises `DataError` for bytes that are not such a table."""
        try:
            columns = load(data)
            self.image_start: NDArray[np.int64] = columns["image_start"]
            self.image_bytes: NDArray[np.int64] = columns["image_bytes"]
            self.json_start: NDArray[np.int64] = columns["json_start"]
            self.json_bytes: NDArray[np.int64] = columns["json_bytes"]
            self._crc32, self._extension = columns["image_crc32"], columns["extension"]
            self._key_end, self._keys = columns["key_end"], columns["keys"].tobytes()
        except (SafetensorError, KeyError) as problem:
            raise DataError(f"it is not a table of samples ({problem})") from problem
        numbers = [column for name, column in columns.items() if name != "keys"]
        if any(c.dtype != np.int64 or c.shape != (len(self),) for c in numbers):
            raise DataError("it is not a table of samples (its columns do not fit together)")
        bounds = dict.fromkeys(columns.keys() - {"keys"}, (0, TAR_BYTES // 2))
        bounds["image_crc32"] = (_NO_CRC32, TAR_BYTES // 2)
        bounds["extension"] = (0, len(IMAGE_EXTENSIONS))
        for name, (least, end) in bounds.items():
            if ((columns[name] < least) | (columns[name] >= end)).any():
                raise DataError(f"it is not a table of samples ({name} is out of bounds)")

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
