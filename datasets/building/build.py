"""Building shards from a source: plain WebDataset tars, their tables, and last the index."""

import json
import logging
import re
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from typing import Any

from datasets.building.encode import encode, encoder
from datasets.building.inputs import INPUTS_NAME, InputRecord, first_difference
from datasets.building.journal import BuildJournal, delete_journal, is_in_journal
from datasets.building.maker import ShardMaker
from datasets.parallel import Progress, map_processes, no_progress, processes_for
from datasets.shards.index import Index
from datasets.shards.location import check_room
from datasets.shards.shard import INDEX_NAME, Shard
from datasets.sources.base import TIME, BuildOptions, Source
from ganinv.alignment.landmarks import versions
from ganinv.alignment.transform import FACES
from ganinv.errors import DataError, StorageError
from ganinv.seams.stores import Store

log = logging.getLogger(__name__)
_OUR_NAMES = re.compile(r"(train|test)/\d{5,}\.(tar|index(-train|-test)?\.safetensors)")
_CHANGED_STAMP = (
    "files of the input have other times, sizes, inodes, ETags or attributes than when {what};"
    " comparing their contents"
)


def build(
    source: Source,
    store: Store,
    options: BuildOptions,
    on_progress: Progress = no_progress,
    announce: Callable[[str], None] = log.info,
) -> Index:
    """Write the samples of a source to the store, and return the index.

    The bytes depend only on the source, the options and the versions of Pillow and zlib; neither
    the number of processes nor interruptions change them. An interrupted build resumes after the
    last finished shard. If the store already holds the same data set, nothing is written. Whether
    the input has changed since, its stamp and if need be its contents tell, see
    `BuildOptions.check`. `announce` receives a sentence for each decision that is not obvious.

    Raises `DataError` if the store holds another data set, the same one of an input that has
    changed since, or files of another origin; and once the ratio of unreadable images exceeds
    `options.max_unreadable`.
    """
    description = source.description()
    if options.drop_duplicates:
        description["drop_duplicates"] = True
    description |= options.kind.facts()
    stamp = source.stamp()
    existing = _existing_index(description, store)
    if existing is not None:
        _check_input(source, stamp, store, options, on_progress, announce)
        on_progress(source.count, source.count, 0)
        return existing
    # Everything that the bytes depend on, besides the contents of the input.
    identity = {
        "data": description,
        "shard_bytes": options.shard_bytes,
        "encoder": encoder(options.bits),
    }
    if options.align == FACES:
        identity["faces"] = versions()
    journal = BuildJournal(store, identity)
    if journal.replaces_another:
        announce(
            f"{store.url} holds an interrupted build of another input, with other options or by"
            " other versions of ganinv or Pillow; it is deleted, and this build starts over"
        )
    keep = _still_valid(journal, source, stamp, options, on_progress, announce)
    journal.begin(stamp, keep)
    maker = ShardMaker(store, journal, source, options)
    on_progress(maker.done, source.count, maker.written_bytes)
    workers = options.workers or processes_for(source.count)
    make = partial(encode, kind=options.kind)
    with closing(map_processes(make, source.work(maker.done), workers)) as results:
        for result in results:
            for item in result:
                maker.take(item)
            on_progress(maker.done, source.count, maker.written_bytes)
    index = Index(
        description=description,
        width=options.geometry.width,
        height=options.geometry.height,
        kind=options.kind,
        splits=maker.finish(),
    )
    _delete_leftovers(store, index.shards)
    maker.report.save(store)
    store.delete([INPUTS_NAME])
    if stamp is not None:
        InputRecord(stamp=stamp, pieces=maker.pieces).save(store)
    index.save(store)
    delete_journal(store)
    return index


def _existing_index(description: dict[str, Any], store: Store) -> Index | None:
    """The index in the store if it has this description; None if the store has room for a build.

    Raises `DataError` if the store holds another data set or files of another origin.
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
    check_room(store)
    return None


def _check_input(
    source: Source,
    stamp: str | None,
    store: Store,
    options: BuildOptions,
    on_progress: Progress,
    announce: Callable[[str], None],
) -> None:
    """Raises `DataError` if the finished data set was built from other contents of its input."""
    if stamp is None:
        return  # drawn: the description tells everything
    record = InputRecord.load(store)
    if record is None:
        announce(
            f"{store.url} stays as it is; an older version of ganinv built it, and did not record"
            " the contents of its input, so it is not known whether they have changed since"
        )
        return
    if record.stamp == stamp and options.check == TIME:
        return
    if record.stamp != stamp:
        announce(_CHANGED_STAMP.format(what=f"{store.url} was built"))
    changed = first_difference(source, record.pieces, on_progress)
    if changed is not None:
        raise DataError(
            f"data.url={store.url} was built from other contents of this input: {changed} has"
            " changed since, or its attributes or split; choose another data.url, or delete that"
            " data set and repeat the command"
        )
    announce(f"the input has the contents that {store.url} was built from, which stays as it is")
    if record.stamp != stamp:
        try:
            InputRecord(stamp=stamp, pieces=record.pieces).save(store)
        except StorageError as error:  # the data set may be read-only
            announce(f"the next build compares them again: {error}")


def _still_valid(
    journal: BuildJournal,
    source: Source,
    stamp: str | None,
    options: BuildOptions,
    on_progress: Progress,
    announce: Callable[[str], None],
) -> int:
    """How many finished shards of an interrupted build hold what the input holds now."""
    finished = journal.finished
    if not finished or stamp is None or (journal.stamp == stamp and options.check == TIME):
        return len(finished)
    if journal.stamp != stamp:
        announce(_CHANGED_STAMP.format(what="the build was interrupted"))
    changed = first_difference(source, [shard.piece for shard in finished], on_progress)
    if changed is None:
        announce("the finished shards hold what the input holds now: the build resumes")
        return len(finished)
    announce(
        f"{changed} has changed, or its attributes or split: of {len(finished)} finished shards,"
        f" {len(finished) - changed.pieces} are built again"
    )
    return changed.pieces


def _delete_leftovers(store: Store, shards: Sequence[Shard]) -> None:
    """Delete the shards of an interrupted build of another data set."""
    ours = {name for shard in shards for name in (shard.name, shard.table_name)}
    found = [entry.name for entry in store.list()]
    store.delete([name for name in found if _OUR_NAMES.fullmatch(name) and name not in ours])


def _dump(description: Any) -> bytes:
    return json.dumps(description, sort_keys=True).encode()
