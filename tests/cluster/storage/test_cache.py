"""The cache on disk: equal bytes, fewer fetches, a limit, and corrupt files that are noticed."""

import random
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.storage import cache as storage_cache
from cluster.storage.cache import CachedStore
from cluster.storage.local import LocalStore
from ganinv.errors import StorageError
from ganinv.seams.stores import Blobs, Range

BLOCK = 64
SIZES = {"a.tar": 10 * BLOCK + 7, "b.tar": BLOCK, "c.tar": 3}


class CountedStore(LocalStore):
    fetched = 0

    def read_ranges(self, ranges: Sequence[Range]) -> Blobs:
        blobs = super().read_ranges(ranges)
        CountedStore.fetched += sum(map(len, blobs))
        return blobs


@pytest.fixture
def origin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CountedStore:
    monkeypatch.setattr(storage_cache, "BLOCK_BYTES", BLOCK)
    CountedStore.fetched = 0
    store = CountedStore(str(tmp_path / "origin"))
    for name, size in {**SIZES, "other": 200}.items():
        store.write(name, random.Random(name).randbytes(size))
    return store


def cached(origin: CountedStore, most_bytes: int = 10**6, identity: str = "one") -> CachedStore:
    folder = Path(origin.url).parent / "cache"
    return CachedStore(origin, folder, most_bytes, identity, SIZES)


def files(origin: CountedStore) -> list[Path]:
    return sorted((Path(origin.url).parent / "cache").glob("??/*"))


@st.composite
def some_ranges(draw: st.DrawFn) -> list[Range]:
    found = []
    for name in draw(st.lists(st.sampled_from([*SIZES, "other"]), max_size=6)):
        size = SIZES.get(name, 200)
        start = draw(st.integers(0, size))
        found.append(Range(name, start, draw(st.integers(start, size))))
    return found


def test_the_same_bytes_whatever_is_cached(origin: CountedStore) -> None:
    @settings(max_examples=60)
    @given(ranges=some_ranges(), most_bytes=st.sampled_from([1, 300, 10**6]))
    def check(ranges: list[Range], most_bytes: int) -> None:
        assert cached(origin, most_bytes).read_ranges(ranges) == origin.read_ranges(ranges)

    check()


def test_a_cached_block_is_not_fetched_again_whatever_the_range(origin: CountedStore) -> None:
    cached(origin).read_ranges([Range("a.tar", 10, 300), Range("a.tar", 300, 640)])
    assert CountedStore.fetched == 640
    again = cached(origin).read_ranges([Range("a.tar", 63, 65), Range("a.tar", 200, 500)])
    assert CountedStore.fetched == 640
    assert again == LocalStore(origin.url).read_ranges(
        [Range("a.tar", 63, 65), Range("a.tar", 200, 500)]
    )
    cached(origin, identity="other").read_ranges([Range("a.tar", 0, 1)])
    assert CountedStore.fetched == 640 + BLOCK


@pytest.mark.parametrize("corrupt", [b"", b"short", b"\0" * (BLOCK + 32)])
def test_corrupt_files_are_fetched_again(origin: CountedStore, corrupt: bytes) -> None:
    expected = cached(origin).read_ranges([Range("b.tar", 0, BLOCK)])
    (file,) = files(origin)
    good = file.read_bytes()
    file.write_bytes(corrupt)
    assert cached(origin).read_ranges([Range("b.tar", 0, BLOCK)]) == expected
    assert CountedStore.fetched == 2 * BLOCK
    assert file.read_bytes() == good


def test_the_limit_holds_and_the_least_recently_used_is_evicted(origin: CountedStore) -> None:
    most = 5 * (BLOCK + 32)
    store = cached(origin, most)
    for number in range(10):
        store.read_ranges([Range("a.tar", 0, 1)])  # used again and again
        store.read_ranges([Range("a.tar", number * BLOCK, number * BLOCK + 1)])
        assert sum(file.stat().st_size for file in files(origin)) <= most
    before = CountedStore.fetched
    store.read_ranges([Range("a.tar", 0, 1)])
    assert CountedStore.fetched == before
    store.read_ranges([Range("a.tar", BLOCK, BLOCK + 1)])
    assert CountedStore.fetched == before + BLOCK
    # A recorded size that is too large is corrected at the next eviction.
    (Path(origin.url).parent / "cache" / "size").write_text(str(10**12))
    store.read_ranges([Range("c.tar", 0, 3)])
    assert int((Path(origin.url).parent / "cache" / "size").read_text()) <= most


def test_files_of_others_in_the_folder_are_never_evicted(origin: CountedStore) -> None:
    photo = Path(origin.url).parent / "cache" / "01" / "me.jpg"
    photo.parent.mkdir(parents=True)
    photo.write_bytes(b"-" * 1000)
    for number in range(10):
        cached(origin, 300).read_ranges([Range("a.tar", number * BLOCK, number * BLOCK + 1)])
    assert photo.exists()


def test_a_cache_that_cannot_be_written_costs_a_warning_only(
    origin: CountedStore, caplog: pytest.LogCaptureFixture
) -> None:
    (Path(origin.url).parent / "cache").write_bytes(b"a file, not a folder")
    store = cached(origin)
    for _ in range(2):
        assert store.read_ranges([Range("c.tar", 0, 3)]) == origin.read_ranges(
            [Range("c.tar", 0, 3)]
        )
    assert sum("stops using data.cache_dir" in m for m in caplog.messages) <= 2


def test_ranges_beyond_the_end_are_refused_as_without_a_cache(origin: CountedStore) -> None:
    with pytest.raises(StorageError, match="ends at byte 3"):
        cached(origin).read_ranges([Range("c.tar", 0, 4)])
