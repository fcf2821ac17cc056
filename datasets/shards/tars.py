"""WebDataset tars: writing a tar, and finding the samples of any tar."""

import io
import json
import tarfile
import zlib
from collections.abc import Callable
from typing import Any

from datasets.shards.shard import BUILDING_NAME, INDEX_NAME
from datasets.shards.tables import IMAGE_EXTENSIONS, Member
from datasets.shards.tar_headers import File, Read, files
from ganinv.errors import DataError
from ganinv.places.walking import is_system_file
from ganinv.seams.stores import Entry, Store

_MAX_SAMPLES = 1_000_000  # in one tar
_MAX_MEMBER_BYTES = 256 * 2**20

# Called with the key and the file of each image; returns the image's CRC-32 if it read the image.
OnImage = Callable[[str, File], int | None]


class TarBuilder:
    """Builds a tar in memory. Equal samples give equal bytes."""

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


def scan(read: Read, size_bytes: int, name: str, on_image: OnImage | None = None) -> list[Member]:
    """The samples of a tar, in the order of the tar; `name` names the tar in messages.

    Calls `on_image` for every image on the way, so that callers need only one pass over the tar.
    Skips members that are neither an image nor JSON (`KEY.txt`).

    Raises `DataError` unless the tar is complete, uncompressed, consists of regular files and holds
    exactly one image per sample.
    """
    samples: dict[str, dict[str, File]] = {}
    checksums: dict[str, int | None] = {}
    last_key = None
    for file in files(read, size_bytes, name):
        folder, _, file_name = file.name.rpartition("/")
        stem, dot, extension = file_name.partition(".")
        if not dot or not stem:
            continue  # README and .hidden belong to no sample
        key, extension = f"{folder}/{stem}".lstrip("/"), extension.lower()
        if key != last_key and key in samples:
            raise DataError(f"{name}: the key {key!r} appears twice; make the keys unique")
        sample = samples.setdefault(key, {})
        if extension in sample:
            raise DataError(f"{name}: the member {file.name!r} appears twice; rewrite the tar")
        if file.size_bytes > _MAX_MEMBER_BYTES and extension in (*IMAGE_EXTENSIONS, "json"):
            raise DataError(
                f"{name}: {file.name!r} has {file.size_bytes} bytes, more than the"
                f" {_MAX_MEMBER_BYTES} that a member of a sample may have; remove it"
            )
        sample[extension] = file
        last_key = key
        if len(samples) > _MAX_SAMPLES:
            raise DataError(f"{name} holds more than {_MAX_SAMPLES} samples; split it into shards")
        if on_image is not None and extension in IMAGE_EXTENSIONS:
            checksums[key] = on_image(key, file)
    if not samples:
        raise DataError(f"{name} holds no samples; remove or rewrite it")
    return [_member(key, found, checksums.get(key), name) for key, found in samples.items()]


def scan_tar(data: bytes, name: str) -> list[Member]:
    """`scan` for a tar in memory, with checksums of all images."""

    def checksum(key: str, file: File) -> int:
        del key
        return zlib.crc32(data[file.start : file.start + file.size_bytes])

    return scan(lambda start, end: data[start:end], len(data), name, checksum)


def _member(key: str, members: dict[str, File], checksum: int | None, name: str) -> Member:
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
        image_start=image.start,
        image_bytes=image.size_bytes,
        json_start=attributes.start if attributes else 0,
        json_bytes=attributes.size_bytes if attributes else 0,
        image_crc32=checksum,
    )


_COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")


def list_tars(store: Store, where: str) -> list[Entry]:
    """The tars of a store; `where` names the store in messages.

    Raises `DataError` if there are no tars, or compressed tars, or an unfinished build.
    """
    # macOS leaves `._a.tar` beside `a.tar` on disks of other systems.
    entries = [e for e in store.list() if not is_system_file(e.name.rpartition("/")[2])]
    names = {entry.name for entry in entries}
    compressed = [entry.name for entry in entries if entry.name.endswith(_COMPRESSED)]
    tars = [entry for entry in entries if entry.name.endswith(".tar")]
    if compressed or not tars:
        found = f"compressed tars ({', '.join(compressed[:5])})" if compressed else "no tars"
        raise DataError(
            f"{where} holds {found}; put plain .tar files there (ranged reads need uncompressed"
            " tars)"
        )
    if BUILDING_NAME in names and INDEX_NAME not in names:
        raise DataError(
            f"{where} holds a `data build` that was interrupted or still runs; repeat the same"
            " command, which resumes it"
        )
    return tars
