"""The table of a shard's members: what is written is read back; nothing else is taken for one."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load, save

from datasets.shards.tables import IMAGE_EXTENSIONS, Member, Table, dump_table
from ganinv.errors import DataError

ROWS = st.tuples(
    st.text(max_size=8),
    st.sampled_from(IMAGE_EXTENSIONS),
    *[st.integers(0, 2**43 - 1)] * 4,
    st.none() | st.integers(0, 2**32 - 1),
)


@settings(max_examples=30)
@given(st.lists(ROWS))
def test_a_table_gives_back_the_members_it_was_made_of(rows: list[Any]) -> None:
    members = [Member(*row) for row in rows]
    table = Table(dump_table(members))
    assert len(table) == len(members)
    assert list(table) == members
    assert [table.key(number) for number in range(len(table))] == [m.key for m in members]
    for outside in (-1, len(members)):
        with pytest.raises(IndexError):
            table.member(outside)


def test_equal_members_give_equal_bytes() -> None:
    members = [Member("a", "png", 512, 3, 0, 0, 7), Member("b", "jpg", 1024, 4, 2048, 2)]
    assert dump_table(members) == dump_table(list(members))


@settings(max_examples=50)
@given(st.binary(max_size=200))
def test_other_bytes_are_no_table(data: bytes) -> None:
    with pytest.raises(DataError, match="no table of samples"):
        Table(data)


def test_columns_that_do_not_fit_are_no_table() -> None:
    columns = load(dump_table([Member("a", "png", 512, 3, 0, 0, 7)]))
    damaged: list[dict[str, Any]] = [
        {**columns, "image_start": np.zeros(2, np.int64)},
        {**columns, "json_bytes": np.zeros(1, np.float64)},
        {**columns, "extension": np.full(1, 4, np.int64)},
        {**columns, "image_start": np.full(1, 2**60, np.int64)},
        {**columns, "image_bytes": np.full(1, -1, np.int64)},
        {**columns, "image_crc32": np.full(1, -2, np.int64)},
        {**columns, "key_end": np.zeros((1, 1), np.int64)},
        {name: column for name, column in columns.items() if name != "extension"},
    ]
    for content in damaged:
        with pytest.raises(DataError, match="no table of samples"):
            Table(save(content))
