"""WebDataset tars as a source: decoded, brought to size, and written as new shards.

    ganinv data build webdataset data.input=s3://bucket/tars \\
        data.url=s3://bucket/faces64 data.resolution=64

Tars whose images are of one size already need no building: `data index` takes them as they are.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from datasets.parallel import IO_THREADS, map_threads
from datasets.shards.pass_through import Window
from datasets.shards.tables import Member
from datasets.shards.tars import list_tars, scan
from datasets.sources.base import BuildOptions, Inputs
from datasets.sources.containers import ContainerSource, Row
from ganinv.errors import ConfigError
from ganinv.seams.stores import Entry, Store


@dataclass(frozen=True, kw_only=True)
class Tar:
    """A plain tar in a store, with the places of its samples; a `Container`."""

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
    def count(self) -> int:
        return len(self.members)

    def rows(self, wanted: Sequence[int]) -> Iterator[Row]:
        window = Window(self.store, self.name, self.size_bytes, whole=False)
        for number in wanted:
            member = self.members[number]
            image = (member.image_start, member.image_start + member.image_bytes)
            text = (member.json_start, member.json_start + member.json_bytes)
            if not member.json_bytes:
                yield Row(window.read(*image), {})
                continue
            start, end = min(image[0], text[0]), max(image[1], text[1])
            both = window.read(start, end)
            attributes = _attributes(both[text[0] - start : text[1] - start])
            yield Row(both[image[0] - start : image[1] - start], attributes)


def source(options: BuildOptions, inputs: Inputs) -> ContainerSource:
    """Reads all headers. Raises `ConfigError` without `data.input`, `DataError` for odd tars."""
    if options.input is None:
        raise ConfigError("data.input is missing: it says where the tars lie; give data.input=URL")
    store = inputs.open_store(options.input)
    entries = list_tars(store, f"data.input={options.input}")
    watch = inputs.watching("looking into tars")
    tars: list[Tar] = []
    read_bytes = 0
    watch(0, len(entries), 0)
    for tar, scanned_bytes in map_threads(partial(_open, store), entries, IO_THREADS):
        tars.append(tar)
        read_bytes += scanned_bytes
        watch(len(tars), len(entries), read_bytes)
    return ContainerSource(
        tars,
        options,
        f"data.input={options.input}",
        facts={"source": "webdataset", "licence": "that of the images"},
    )


def _open(store: Store, entry: Entry) -> tuple[Tar, int]:
    window = Window(store, entry.name, entry.size_bytes, whole=False)
    members = scan(window.read, entry.size_bytes, entry.name)
    return Tar(store=store, entry=entry, members=members), window.read_bytes


def _attributes(data: bytes) -> dict[str, Any]:
    """The JSON beside an image; whatever is no object is kept under a name of its own."""
    try:
        found = json.loads(data)
    except ValueError:
        return {"json": data.decode("utf-8", "replace")}
    return found if isinstance(found, dict) else {"json": found}
