"""Making shards from a source: plain WebDataset tars, their tables, and the index last."""

import io
import json
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from datasets.index import Index
from datasets.shards import BUILDING_NAME, INDEX_NAME, Shard, write_table
from datasets.source import SPLITS, BuildOptions, Progress, Source, Split, no_progress
from datasets.tars import TarBuilder, scan_tar
from ganinv.errors import DataError
from ganinv.seams import Store

_OUR_NAMES = re.compile(r"(train|test)/\d{5}\.(tar|index\.jsonl)")

# A small data set is cut into about this many shards, since it is shards that an epoch permutes.
_MIN_SHARDS = 32
_MIN_SHARD_SAMPLES = 64


def build(
    source: Source, store: Store, options: BuildOptions, on_progress: Progress = no_progress
) -> Index:
    """Write the samples of a source to the store, and return the index.

    If the store holds this very data set already, it is left as it is. Raises `DataError` if it
    holds another one, or tars that no build has put there.
    """
    description = source.describe()
    existing = _check_free(description, store)
    if existing is not None:
        return existing
    store.write(BUILDING_NAME, _dump(description))
    writers = {split: _SplitWriter(store, split, options, source.count) for split in SPLITS}
    for done, sample in enumerate(source.samples(), start=1):
        shape = (options.resolution, options.resolution, 3)
        assert sample.image_HWC.shape == shape, (sample.key, sample.image_HWC.shape)
        writers[sample.split].add(sample.key, sample.image_HWC, sample.attributes)
        written = sum(writer.size_bytes for writer in writers.values())
        on_progress(done + len(source.skipped), source.count, written)
    index = Index(
        description=description,
        resolution=options.resolution,
        splits={split: tuple(writer.finish()) for split, writer in writers.items()},
    )
    on_progress(source.count, source.count, sum(w.size_bytes for w in writers.values()))
    _delete_leftovers(store, index.shards)
    index.save(store)
    store.delete([BUILDING_NAME])
    return index


class _SplitWriter:
    """Cuts the samples of one split into shards. Holds one shard in memory."""

    def __init__(self, store: Store, split: Split, options: BuildOptions, count: int) -> None:
        self._store = store
        self._split = split
        self._max_bytes = options.shard_bytes
        self._max_samples = max(_MIN_SHARD_SAMPLES, -(-count // _MIN_SHARDS))
        self._shards: list[Shard] = []
        self._tar = TarBuilder()
        self._last_key = ""
        self._closed_bytes = 0

    @property
    def size_bytes(self) -> int:
        """Bytes made so far, those still in memory included."""
        return self._closed_bytes + self._tar.size_bytes

    def add(self, key: str, image_HWC: NDArray[np.uint8], attributes: dict[str, Any]) -> None:
        assert re.fullmatch(r"[A-Za-z0-9_-]{1,80}", key), key
        assert self._last_key < key, f"{key!r} does not come after {self._last_key!r}"
        self._last_key = key
        png = io.BytesIO()
        Image.fromarray(image_HWC).save(png, "PNG")
        self._tar.add(key, png.getvalue(), attributes)
        if self._tar.samples >= self._max_samples or self._tar.size_bytes >= self._max_bytes:
            self._close()

    def finish(self) -> list[Shard]:
        if self._tar.samples:
            self._close()
        return self._shards

    def _close(self) -> None:
        name = f"{self._split}/{len(self._shards):05d}.tar"
        tar = self._tar.finish()
        self._store.write(name, tar)
        # Scanning what was made, instead of keeping books, proves that it can be read.
        self._shards.append(write_table(self._store, name, tar, scan_tar(tar, name)))
        self._closed_bytes += len(tar)
        self._tar = TarBuilder()


def _check_free(description: dict[str, Any], store: Store) -> Index | None:
    """The index of this very data set; None if the place is free for it."""
    names = {entry.name for entry in store.list()}
    if INDEX_NAME in names:
        index = Index.load(store)
        if index.description == json.loads(_dump(description)):
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
