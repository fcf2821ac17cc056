"""Reading through an object: the right bytes, few of them, none outside."""

import hashlib
import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from datasets.shards import pass_through as window
from datasets.shards.pass_through import Window

DATA = random.Random(0).randbytes(10_000)


@pytest.fixture
def store(make_store: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch) -> Any:
    """Holds DATA; pieces are scaled down by 2¹²."""
    monkeypatch.setattr(window, "_THROUGH_BYTES", 1024)
    monkeypatch.setattr(window, "_HOP_BYTES", 16)
    monkeypatch.setattr(window, "_GAP_BYTES", 256)
    store = make_store("store")
    store.write("x", DATA)
    return store


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 3000)), max_size=8),
    whole=st.booleans(),
)
def test_any_ascending_reads(store: Any, steps: list[tuple[int, int]], whole: bool) -> None:
    reader = Window(store, "x", len(DATA), whole=whole)
    start = 0
    for step, size in steps:
        start = min(start + step, len(DATA))
        end = min(start + size, len(DATA))
        assert reader.read(start, end) == DATA[start:end]
    if whole:
        assert reader.sha256() == hashlib.sha256(DATA).hexdigest()
        assert reader.read_bytes == len(DATA)
    assert reader.read_bytes <= len(DATA)


def test_far_reads_hop_and_near_ones_read_through(store: Any) -> None:
    far = Window(store, "x", len(DATA), whole=False)
    for start in range(0, 10_000, 1000):
        far.read(start, start + 4)
    assert far.read_bytes == 10 * 16
    near = Window(store, "x", len(DATA), whole=False)
    before = store.requests
    for start in range(0, 10_000, 20):
        near.read(start, start + 4)
    assert store.requests - before <= 1 + -(-10_000 // 1000)
