"""Building shards from a source: plain WebDataset tars, their tables, and last the index."""

import json
import re
from collections.abc import Sequence
from contextlib import closing
from typing import Any

from datasets.building.encode import encode, encoder
from datasets.building.journal import BuildJournal, delete_journal, is_in_journal
from datasets.building.maker import ShardMaker
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

    The bytes depend only on the source, the options and the versions of Pillow and zlib; neither
    the number of processes nor interruptions change them. An interrupted build resumes after the
    last finished shard. If the store already holds the same data set, nothing is written.

    Raises `DataError` if the store holds another data set or tars from elsewhere, and once the
    ratio of unreadable images exceeds `options.max_unreadable`.
    """
    description = source.description()
    if options.drop_duplicates:
        description["drop_duplicates"] = True
    existing = _existing_index(description, store)
    if existing is not None:
        on_progress(source.count, source.count, 0)
        return existing
    # Everything that the bytes depend on.
    identity = {"data": description, "shard_bytes": options.shard_bytes, "encoder": encoder()}
    maker = ShardMaker(store, BuildJournal(store, identity), source, options)
    on_progress(maker.done, source.count, maker.written_bytes)
    workers = options.workers or processes_for(source.count)
    with closing(map_processes(encode, source.work(maker.done), workers)) as results:
        for result in results:
            for item in result:
                maker.take(item)
            on_progress(maker.done, source.count, maker.written_bytes)
    index = Index(
        description=description,
        width=options.geometry.width,
        height=options.geometry.height,
        splits=maker.finish(),
    )
    _delete_leftovers(store, index.shards)
    maker.report.save(store)
    index.save(store)
    delete_journal(store)
    return index


def _existing_index(description: dict[str, Any], store: Store) -> Index | None:
    """The index in the store if it has this description; None if the store has room for a build.

    Raises `DataError` if the store holds another data set or tars from elsewhere.
    """
    names = {entry.name for entry in store.list()}
    if INDEX_NAME in names:
        index = Index.load(store)
        if index.description == json.loads(_dump(description)):
            if any(map(is_in_journal, names)):
                delete_journal(store)  # that build was interrupted after it wrote its index
            return index
        raise DataError(
            f"data.url={store.url} holds another data set ({_dump(index.description).decode()}"
            f" instead of {_dump(description).decode()}); choose another data.url, or"
            " delete that data set"
        )
    tars = sorted(name for name in names if name.endswith(".tar"))
    if tars and BUILDING_NAME not in names:
        raise DataError(
            f"data.url={store.url} holds tars without an index ({', '.join(tars[:3])}); index"
            " them with `data index`, or choose another data.url"
        )
    return None


def _delete_leftovers(store: Store, shards: Sequence[Shard]) -> None:
    """Delete the shards of an interrupted build of another data set."""
    ours = {name for shard in shards for name in (shard.name, shard.table_name)}
    found = [entry.name for entry in store.list()]
    store.delete([name for name in found if _OUR_NAMES.fullmatch(name) and name not in ours])


def _dump(description: Any) -> bytes:
    return json.dumps(description, sort_keys=True).encode()
