"""Making shards from a source: plain WebDataset tars, their tables, and the index last."""

import json
import re
from collections.abc import Sequence
from contextlib import closing
from typing import Any

from datasets.building.encode import encode, encoder
from datasets.building.maker import ShardMaker
from datasets.building.progress import Building, forget_build, is_building
from datasets.parallel import Progress, map_processes, no_progress, processes_for
from datasets.shards.index import Index
from datasets.shards.shard import BUILDING_NAME, INDEX_NAME, Shard
from datasets.sources.base import BuildOptions, Source
from ganinv.errors import DataError
from ganinv.seams.stores import Store

_OUR_NAMES = re.compile(r"(train|test)/\d{5,}\.(tar|index\.safetensors)")


def build(
    source: Source, store: Store, options: BuildOptions, on_progress: Progress = no_progress
) -> Index:
    """Write the samples of a source to the store, and return the index.

    The bytes depend on the source, the options and the versions of Pillow and zlib alone, not on
    the number of processes, and not on interruptions: the same command goes on after the last
    finished shard. If the store holds this very data set already, it is left as it is. Raises
    `DataError` if it holds another one, or tars that no build has put there, and once more than
    the allowed ratio of images is unreadable.
    """
    description = source.describe()
    if options.drop_duplicates:
        description["drop_duplicates"] = True
    existing = _check_free(description, store)
    if existing is not None:
        on_progress(source.count, source.count, 0)
        return existing
    # Whatever the bytes depend on; written as JSON, it comes back as the same.
    identity = {"data": description, "shard_bytes": options.shard_bytes, "encoder": encoder()}
    making = ShardMaker(store, Building(store, identity), source, options)
    on_progress(making.done, source.count, making.written_bytes)
    workers = options.workers or processes_for(source.count)
    with closing(map_processes(encode, source.work(making.done), workers)) as pieces:
        for piece in pieces:
            for item in piece:
                making.take(item)
            on_progress(making.done, source.count, making.written_bytes)
    index = Index(
        description=description,
        width=options.geometry.width,
        height=options.geometry.height,
        splits=making.finish(),
    )
    _delete_leftovers(store, index.shards)
    making.report.save(store)
    index.save(store)
    forget_build(store)
    return index


def _check_free(description: dict[str, Any], store: Store) -> Index | None:
    """The index of this very data set; None if the place is free for it."""
    names = {entry.name for entry in store.list()}
    if INDEX_NAME in names:
        index = Index.load(store)
        if index.description == json.loads(_dump(description)):
            if any(map(is_building, names)):
                forget_build(store)  # it was interrupted after the index, its last object
            return index
        raise DataError(
            f"data.url={store.url} holds another data set ({_dump(index.description).decode()}"
            f" instead of {_dump(description).decode()}); choose another data.url, or"
            " remove what is there"
        )
    tars = sorted(name for name in names if name.endswith(".tar"))
    if tars and BUILDING_NAME not in names:
        raise DataError(
            f"data.url={store.url} holds tars without an index ({', '.join(tars[:3])}); index"
            " them with `data index`, or choose another data.url"
        )
    return None


def _delete_leftovers(store: Store, shards: Sequence[Shard]) -> None:
    """Remove what an interrupted build of something else has left beside our shards."""
    ours = {name for shard in shards for name in (shard.name, shard.table_name)}
    found = [entry.name for entry in store.list()]
    store.delete([name for name in found if _OUR_NAMES.fullmatch(name) and name not in ours])


def _dump(description: Any) -> bytes:
    return json.dumps(description, sort_keys=True).encode()
