"""Opens the data sets that a configuration names."""

from collections.abc import Callable
from pathlib import Path

from cluster.storage.cache import CachedStore
from datasets.shards.index import Index, content_key
from datasets.shards.quarantine import listed_samples
from datasets.streaming.mix import DataSet, check_same_size
from ganinv.seams.stores import Store
from launch.options.schema import DataConfig


def open_data_sets(data: DataConfig, open_at: Callable[[str], Store]) -> list[DataSet]:
    """The data set at `data.url`, then those of `data.mix`; `open_at` opens the store of a URL.

    Raises `DataError` if an index or a list of corrupt samples cannot be used, or if the data
    sets do not fit together.
    """
    parts = [(data.url, data.weight), *((part.url, part.weight) for part in data.mix)]
    found = [_open(data, open_at(url), weight) for url, weight in parts]
    check_same_size(found)
    return found


def _open(data: DataConfig, origin: Store, weight: float) -> DataSet:
    index = Index.load(origin)
    store = origin
    if data.cache_dir is not None:
        sizes = {shard.name: shard.size_bytes for shard in index.shards}
        folder = Path(data.cache_dir)
        key = content_key(index, origin)
        store = CachedStore(origin, folder, data.cache_bytes, key, sizes)
    listed = listed_samples(origin, index)
    return DataSet(store=store, index=index, weight=weight, origin=origin, listed=listed)
