"""WebDataset tars: writing one, and finding where the samples of any one lie."""

import io
import json
import tarfile
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from ganinv.errors import DataError

IMAGE_EXTENSIONS = ("png", "jpg", "jpeg", "webp")
_BLOCK = 512  # bytes; tars consist of such


class Member(NamedTuple):
    """Where one sample lies in its tar. `json_bytes` is 0 if it has no attributes."""

    key: str
    extension: str
    image_start: int
    image_bytes: int
    json_start: int
    json_bytes: int


class TarBuilder:
    """A tar in memory, byte for byte the same for the same samples."""

    def __init__(self) -> None:
        self.samples = 0
        self._buffer = io.BytesIO()
        self._tar = tarfile.open(fileobj=self._buffer, mode="w", format=tarfile.USTAR_FORMAT)  # noqa: SIM115 (closed by `finish`)

    @property
    def size_bytes(self) -> int:
        return self._buffer.tell()

    def add(self, key: str, png: bytes, attributes: dict[str, Any]) -> None:
        text = json.dumps(attributes, sort_keys=True, separators=(",", ":"))
        self._add_member(f"{key}.png", png)
        self._add_member(f"{key}.json", text.encode())
        self.samples += 1

    def finish(self) -> bytes:
        self._tar.close()
        return self._buffer.getvalue()

    def _add_member(self, name: str, data: bytes) -> None:
        # TarInfo starts with owner 0, no owner names and mtime 0.
        info = tarfile.TarInfo(name)
        info.size = len(data)
        info.mode = 0o644
        self._tar.addfile(info, io.BytesIO(data))


def scan_tar(data: bytes, name: str) -> list[Member]:
    """The samples of a tar, in its order; `name` is for messages.

    Raises `DataError` for anything but a whole, uncompressed tar of regular files whose members
    make up samples with one image each. Members of other kinds (`KEY.txt`) are left aside.
    """
    samples: dict[str, dict[str, tarfile.TarInfo]] = {}
    last_key = None
    for info, key, extension in _files(data, name):
        if key != last_key and key in samples:
            raise DataError(f"{name}: the key {key!r} appears twice; make the keys unique")
        sample = samples.setdefault(key, {})
        if extension in sample:
            raise DataError(f"{name}: the member {info.name!r} appears twice; rewrite the tar")
        sample[extension] = info
        last_key = key
    if not samples:
        raise DataError(f"{name} holds no samples; remove or rewrite it")
    return [_member(key, members, name) for key, members in samples.items()]


def _files(data: bytes, name: str) -> Iterator[tuple[tarfile.TarInfo, str, str]]:
    """The files of a tar with the key and the extension of each."""
    end = 0
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as tar:
            for info in tar:
                end = info.offset_data + -(-info.size // _BLOCK) * _BLOCK
                if info.isdir():
                    continue
                _refuse_hostile(info, name)
                folder, _, file_name = info.name.rpartition("/")
                stem, dot, extension = file_name.partition(".")
                if dot and stem:  # neither README nor .hidden belong to a sample
                    yield info, f"{folder}/{stem}".lstrip("/"), extension.lower()
    except tarfile.TarError as problem:
        raise DataError(
            f"{name} is no uncompressed, whole tar ({problem}); decompress or rewrite it"
        ) from problem
    # tarfile takes a damaged header for the end, and misses a cut between two members.
    if len(data) < end + _BLOCK or data.count(0, end) != len(data) - end:
        raise DataError(f"{name} is truncated or damaged after byte {end}; write it again")


def _refuse_hostile(info: tarfile.TarInfo, name: str) -> None:
    parts = info.name.split("/")
    if info.name.startswith("/") or ".." in parts or "\\" in info.name or "\0" in info.name:
        raise DataError(f"{name}: the member name {info.name!r} is not allowed; rewrite the tar")
    if not info.isreg() or info.issparse():
        raise DataError(
            f"{name}: the member {info.name!r} is a link, device or sparse file; rewrite the tar"
            " with regular files alone"
        )


def _member(key: str, members: dict[str, tarfile.TarInfo], name: str) -> Member:
    images = [extension for extension in members if extension in IMAGE_EXTENSIONS]
    if len(images) != 1:
        raise DataError(
            f"{name}: sample {key!r} has {len(images)} images; each must have exactly one of"
            f" {', '.join(IMAGE_EXTENSIONS)}"
        )
    image = members[images[0]]
    attributes = members.get("json")
    return Member(
        key=key,
        extension=images[0],
        image_start=image.offset_data,
        image_bytes=image.size,
        json_start=attributes.offset_data if attributes else 0,
        json_bytes=attributes.size if attributes else 0,
    )


def dump_table(members: Sequence[Member]) -> bytes:
    """One JSON array a line; short, since a loader fetches it beside the images."""
    lines = (json.dumps(member, separators=(",", ":")) for member in members)
    return "".join(f"{line}\n" for line in lines).encode()


def parse_table(data: bytes) -> list[Member]:
    return [Member(*json.loads(line)) for line in data.splitlines()]
