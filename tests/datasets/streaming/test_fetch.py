"""Fetching pieces of tars by few ranged reads: the right bytes, with few bytes read in vain."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets.streaming.fetch import fetch
from ganinv.seams.stores import Blobs, Range

SIZE = 500
TARS = {name: np.random.default_rng(i).bytes(SIZE) for i, name in enumerate(("b", "a", "c"))}
PIECES = st.tuples(
    st.integers(0, len(TARS) - 1), st.integers(0, SIZE - 60), st.sampled_from([0, 1, 7, 60])
)


class _Memory:
    def __init__(self) -> None:
        self.asked: list[Range] = []

    def read_ranges(self, ranges: list[Range]) -> Blobs:
        self.asked += ranges
        return [TARS[name][start:end] for name, start, end in ranges]


def _fetched(store: Any, pieces: list[tuple[int, int, int]], gap: int) -> list[bytes]:
    columns = np.array(pieces, np.int64).reshape(-1, 3).T
    found = fetch(store, list(TARS), *columns, gap)
    return [bytes(found.cut(number)) for number in range(len(pieces))]


@settings(max_examples=200)
@given(st.lists(PIECES, max_size=20), st.sampled_from([0, 1, 10, 2 * SIZE]))
def test_pieces_have_the_bytes_of_their_tars(pieces: list[tuple[int, int, int]], gap: int) -> None:
    store = _Memory()
    names = list(TARS)
    expected = [TARS[names[tar]][start : start + size] for tar, start, size in pieces]
    assert _fetched(store, pieces, gap) == expected
    # No byte is requested twice; the only bytes requested in vain are gaps between pieces.
    wanted = {(names[t], at) for t, start, size in pieces for at in range(start, start + size)}
    asked = [(name, at) for name, start, end in store.asked for at in range(start, end)]
    assert len(asked) == len(set(asked))
    assert wanted <= set(asked)
    assert len(asked) - len(wanted) <= gap * max(0, len(pieces) - len(store.asked))
    assert all(start < end for _, start, end in store.asked)


@pytest.mark.parametrize(("gap", "ranges"), [(9, 2), (10, 1)])
def test_a_small_gap_is_read_instead_of_making_two_requests(gap: int, ranges: int) -> None:
    store = _Memory()
    _fetched(store, [(0, 0, 10), (0, 20, 10)], gap)
    assert len(store.asked) == ranges
