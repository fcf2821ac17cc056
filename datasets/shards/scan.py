"""Finding the samples of any WebDataset tar. What is no sample is left out, with the reason."""

import zlib
from collections.abc import Callable
from typing import NamedTuple

from datasets.shards.tables import IMAGE_EXTENSIONS, UNREAD_EXTENSIONS, Member
from datasets.shards.tar_headers import File, Read, files
from ganinv.errors import DataError

_MAX_SAMPLES = 1_000_000  # in one tar
_MAX_MEMBER_BYTES = 256 * 2**20

# Called with the key and the file of each image; returns the image's CRC-32 if it read the image.
# A `DataError`, which says why, leaves out the sample.
OnImage = Callable[[str, File], int | None]
# The same for each JSON member.
OnAttributes = Callable[[str, File], None]

# Why members or samples are left out: phrases that a count can follow.
NO_SAMPLE = "tar members that belong to no image"
NO_IMAGE = "samples without an image"
UNREAD_FORMAT = "images in a format that cannot be read"
SEVERAL_IMAGES = "samples with several images"
DOTTED = (
    "images with a dot inside their name (a key ends at the first dot: rename a.b.png to a_b.png)"
)
SCATTERED = (
    "samples in several places of a tar (keys must be unique; pack their folder by tar --sort=name)"
)
REPEATED = "samples with two members of one name"
LINKS = "samples with links, pipes or devices (pack by tar --dereference --hard-dereference)"
TOO_LARGE = f"samples with a member above {_MAX_MEMBER_BYTES >> 20} MiB"
NO_SAMPLES = "tars without any sample"
UNREADABLE = "unreadable images"
BAD_ATTRIBUTES = (
    "samples whose attributes are not a JSON object (`data build webdataset` keeps others)"
)


class LeftMember(NamedTuple):
    """A sample of a tar that is left out, or a member that belongs to no sample."""

    name: str
    """Its tar and its key or name, `a.tar: x`, and for some reasons more, `a.tar: x: …`."""
    reason: str
    """One of the phrases of this module."""
    counts: bool = True
    """Whether an image may be lost."""


class Scan(NamedTuple):
    """What a tar holds."""

    members: list[Member]
    """The samples, in the order of the tar."""
    left_out: list[LeftMember]


def scan(
    read: Read,
    size_bytes: int,
    name: str,
    on_image: OnImage | None = None,
    on_attributes: OnAttributes | None = None,
) -> Scan:
    """The samples of a tar, and what in it is no sample; `name` names the tar in messages.

    A sample has exactly one image, and perhaps a JSON member and other members, which are ignored.
    Hidden members (`._a.png`) are ignored, too. Calls `on_image` and `on_attributes` on the way, so
    that callers need only one pass over the tar.

    Raises `DataError` unless the tar is complete and uncompressed.
    """
    groups: dict[str, _Group] = {}
    left_out: list[LeftMember] = []
    last_key = None
    for file in files(read, size_bytes, name):
        folder, _, file_name = file.name.rpartition("/")
        stem, dot, extension = file_name.partition(".")
        if not stem:
            continue
        if not dot:
            left_out.append(LeftMember(f"{name}: {file.name}", NO_SAMPLE, counts=False))
            continue
        key = f"{folder}/{stem}".lstrip("/")
        group = groups.setdefault(key, _Group())
        if key != last_key and group.files:
            group.leave_out(SCATTERED)
        last_key = key
        if len(groups) > _MAX_SAMPLES:
            raise DataError(f"{name} holds more than {_MAX_SAMPLES} samples; split it into shards")
        group.add(extension.lower(), file)
        if group.problem is None:
            group.call(key, extension.lower(), file, on_image, on_attributes)
    members: list[Member] = []
    for key, group in groups.items():
        found = group.close(key, name)
        if isinstance(found, Member):
            members.append(found)
        else:
            left_out += found
    if not members:
        left_out.append(LeftMember(name, NO_SAMPLES, counts=False))
    return Scan(members, left_out)


def scan_tar(data: bytes, name: str) -> list[Member]:
    """`scan` for a tar in memory, with checksums of all images."""

    def checksum(key: str, file: File) -> int:
        del key
        return zlib.crc32(data[file.start : file.start + file.size_bytes])

    return scan(lambda start, end: data[start:end], len(data), name, checksum).members


class _Group:
    """The members of a tar under one key."""

    def __init__(self) -> None:
        self.files: dict[str, File] = {}
        """By extension, in lower case."""
        self.problem: tuple[str, str] | None = None
        """The reason, and more words about it, if it needs any."""
        self._checksum: int | None = None

    def add(self, extension: str, file: File) -> None:
        if extension in self.files:
            self.leave_out(REPEATED)
        self.files[extension] = file
        if extension in (*IMAGE_EXTENSIONS, "json"):
            if not file.is_regular:
                self.leave_out(LINKS)
            if file.size_bytes > _MAX_MEMBER_BYTES:
                self.leave_out(TOO_LARGE)

    def leave_out(self, reason: str, detail: str = "") -> None:
        """The first reason counts."""
        self.problem = self.problem or (reason, detail)

    def call(
        self,
        key: str,
        extension: str,
        file: File,
        on_image: OnImage | None,
        on_attributes: OnAttributes | None,
    ) -> None:
        """Show the file to the callback for its kind, if there is one."""
        if extension in IMAGE_EXTENSIONS and on_image is not None:
            try:
                self._checksum = on_image(key, file)
            except DataError as problem:
                self.leave_out(UNREADABLE, str(problem))
        if extension == "json" and on_attributes is not None:
            try:
                on_attributes(key, file)
            except DataError as problem:
                self.leave_out(BAD_ATTRIBUTES, str(problem))

    def close(self, key: str, tar: str) -> Member | list[LeftMember]:
        """The sample, or what is left out instead of it."""
        images = [extension for extension in self.files if extension in IMAGE_EXTENSIONS]
        named = f"{tar}: {key}"
        if not images:
            return self._without_image(named, tar)
        if self.problem is not None:
            reason, detail = self.problem
            return [LeftMember(f"{named}: {detail}" if detail else named, reason)]
        if len(images) > 1:
            return [LeftMember(named, SEVERAL_IMAGES)]
        image, attributes = self.files[images[0]], self.files.get("json")
        return Member(
            key=key,
            extension=images[0],
            image_start=image.start,
            image_bytes=image.size_bytes,
            json_start=attributes.start if attributes else 0,
            json_bytes=attributes.size_bytes if attributes else 0,
            image_crc32=self._checksum,
        )

    def _without_image(self, named: str, tar: str) -> list[LeftMember]:
        dotted = [
            LeftMember(f"{tar}: {file.name}", DOTTED)
            for extension, file in self.files.items()
            if extension.rpartition(".")[2] in IMAGE_EXTENSIONS
        ]
        if dotted:
            return dotted
        if not self.files.keys().isdisjoint(UNREAD_EXTENSIONS):
            return [LeftMember(named, UNREAD_FORMAT)]
        if "json" in self.files:
            return [LeftMember(named, NO_IMAGE)]
        return [
            LeftMember(f"{tar}: {file.name}", NO_SAMPLE, counts=False)
            for file in self.files.values()
        ]
