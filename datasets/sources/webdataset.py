"""WebDataset tars as a source: their images are decoded, resized and written as new shards.

    ganinv data build webdataset data.input=s3://bucket/tars \\
        data.url=s3://bucket/faces64 data.resolution=64

Tars whose images already have one size need no build: `data index` uses them as they are.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from datasets.inputs.left_members import count_left_out
from datasets.inputs.left_out import IMAGES, LeftOut
from datasets.parallel import IO_THREADS, map_threads
from datasets.shards.attributes import parse_json
from datasets.shards.scan import LeftMember, scan
from datasets.shards.sequential_reader import SequentialReader
from datasets.shards.tables import Member
from datasets.shards.tars import list_tars
from datasets.sources.base import BuildOptions, Inputs
from datasets.sources.containers import ContainerImage, ContainerSource
from datasets.sources.input_places import input_store
from ganinv.errors import DataError
from ganinv.seams.stores import Entry, Store


@dataclass(frozen=True, kw_only=True)
class Tar:
    """An uncompressed tar in a store, scanned for its samples. Implements `Container`."""

    store: Store
    entry: Entry
    members: Sequence[Member]

    @property
    def name(self) -> str:
        return self.entry.name

    @property
    def size_bytes(self) -> int:
        return self.entry.size_bytes

    @property
    def version(self) -> str:
        return self.entry.version

    @property
    def count(self) -> int:
        return len(self.members)

    def images(self, wanted: Sequence[int]) -> Iterator[ContainerImage]:
        reader = SequentialReader(self.store, self.name, self.size_bytes, whole=False)
        for number in wanted:
            member = self.members[number]
            name = f"{self.name}: {member.key}"
            image = (member.image_start, member.image_start + member.image_bytes)
            text = (member.json_start, member.json_start + member.json_bytes)
            if not member.json_bytes:
                yield ContainerImage(reader.read(*image), {}, name=name)
                continue
            start, end = min(image[0], text[0]), max(image[1], text[1])
            both = reader.read(start, end)
            attributes = _attributes(both[text[0] - start : text[1] - start])
            yield ContainerImage(both[image[0] - start : image[1] - start], attributes, name=name)


def source(options: BuildOptions, inputs: Inputs) -> ContainerSource:
    """Reads all headers. Raises `ConfigError` without `data.input`, `DataError` for bad tars."""
    store = input_store(options, inputs, "the set of tars")
    entries = list_tars(store, f"data.input={options.input}")
    advance = inputs.show_progress("reading tar headers")
    left_out = LeftOut()
    tars: list[Tar] = []
    read_bytes = 0
    advance(0, len(entries), 0)
    for found in map_threads(partial(_open, store), entries, IO_THREADS):
        tars.append(found.tar)
        count_left_out(found.left_out, left_out)
        read_bytes += found.read_bytes
        advance(len(tars), len(entries), read_bytes)
    images = sum(tar.count for tar in tars)
    left_out.totals[IMAGES] = images + left_out.count(IMAGES)
    if not images and not left_out.count(IMAGES):
        found_instead = left_out.line(names=True)
        raise DataError(f"data.input={options.input} holds no images, only {found_instead}")
    return ContainerSource(
        tars,
        options,
        f"data.input={options.input}",
        facts={"source": "webdataset", "licence": "that of the images"},
        left_out=left_out,
    )


class _Opened(NamedTuple):
    tar: Tar
    left_out: Sequence[LeftMember]
    read_bytes: int


def _open(store: Store, entry: Entry) -> _Opened:
    reader = SequentialReader(store, entry.name, entry.size_bytes, whole=False)
    found = scan(reader.read, entry.size_bytes, entry.name)
    tar = Tar(store=store, entry=entry, members=found.members)
    return _Opened(tar, found.left_out, reader.read_bytes)


def _attributes(data: bytes) -> dict[str, Any]:
    """The JSON object beside an image; any other content is kept under the name `json`."""
    try:
        found = parse_json(data)
    except ValueError:
        return {"json": data.decode("utf-8", "replace")}
    return found if isinstance(found, dict) else {"json": found}
