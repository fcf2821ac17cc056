"""Reading an object in order: the right bytes, few fetched in vain, none outside the object."""

import hashlib
import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from datasets.shards import sequential_reader
from datasets.shards.sequential_reader import SequentialReader

DATA = random.Random(0).randbytes(10_000)


@pytest.fixture
def store(make_store: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch) -> Any:
    """Holds DATA; the sizes of pieces and gaps are scaled down by 2¹²."""
    monkeypatch.setattr(sequential_reader, "_LARGE_PIECE_BYTES", 1024)
    monkeypatch.setattr(sequential_reader, "_SMALL_PIECE_BYTES", 16)
    monkeypatch.setattr(sequential_reader, "_MAX_GAP_BYTES", 256)
    store = make_store("store")
    store.write("x", DATA)
    return store


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 3000)), max_size=8),
    whole=st.booleans(),
)
def test_any_ascending_reads(store: Any, steps: list[tuple[int, int]], whole: bool) -> None:
    reader = SequentialReader(store, "x", len(DATA), whole=whole)
    start = 0
    for step, size in steps:
        start = min(start + step, len(DATA))
        end = min(start + size, len(DATA))
        assert reader.read(start, end) == DATA[start:end]
    if whole:
        assert reader.sha256() == hashlib.sha256(DATA).hexdigest()
        assert reader.read_bytes == len(DATA)
    assert reader.read_bytes <= len(DATA)


def test_large_gaps_are_skipped_and_small_gaps_are_read(store: Any) -> None:
    far = SequentialReader(store, "x", len(DATA), whole=False)
    for start in range(0, 10_000, 1000):
        far.read(start, start + 4)
    assert far.read_bytes == 10 * 16
    near = SequentialReader(store, "x", len(DATA), whole=False)
    before = store.requests
    for start in range(0, 10_000, 20):
        near.read(start, start + 4)
    assert store.requests - before <= 1 + -(-10_000 // 1000)
