"""Tables of samples: read back as written, equal bytes for ever, all other bytes refused."""

import hashlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load, save

from datasets.shards.tables import IMAGE_EXTENSIONS, Member, SampleTable, dump_table
from ganinv.errors import DataError

ROWS = st.tuples(
    st.text(max_size=8),
    st.sampled_from(IMAGE_EXTENSIONS),
    *[st.integers(0, 2**43 - 1)] * 4,
    st.none() | st.integers(0, 2**32 - 1),
)


@settings(max_examples=30)
@given(st.lists(ROWS))
def test_a_table_returns_the_members_it_was_made_of(rows: list[Any]) -> None:
    members = [Member(*row) for row in rows]
    table = SampleTable(dump_table(members))
    assert len(table) == len(members)
    assert list(table) == members
    assert [table.key(number) for number in range(len(table))] == [m.key for m in members]
    for outside in (-1, len(members)):
        with pytest.raises(IndexError):
            table.member(outside)


@settings(max_examples=30)
@given(st.lists(ROWS), st.lists(ROWS))
def test_tables_have_equal_bytes_exactly_if_their_members_are_equal(
    rows: list[Any], other_rows: list[Any]
) -> None:
    members, others = [Member(*row) for row in rows], [Member(*row) for row in other_rows]
    data = dump_table(members)
    assert dump_table(list(SampleTable(data))) == data
    assert (dump_table(others) == data) == (others == members)


def test_the_bytes_of_a_table_never_change() -> None:
    """Every `index.json` holds the hashes of its tables, so other bytes would break old indexes."""
    members = [
        Member("a", "png", 512, 3, 0, 0, 7),
        Member("ä/b", "jpg", 1024, 4, 2048, 2),
        Member("c", "jpeg", 2**43 - 1, 0, 1, 2**43 - 1, 2**32 - 1),
        Member("", "webp", 0, 0, 0, 0, 0),
    ]
    assert hashlib.sha256(dump_table(members)).hexdigest() == (
        "5a2fa4283a4f86733c18aac99cee30a1bc02ec6e075664a25354522bbcf4d4a5"
    )


@settings(max_examples=50)
@given(st.binary(max_size=200))
def test_other_bytes_are_not_a_table(data: bytes) -> None:
    with pytest.raises(DataError, match="not a table of samples"):
        SampleTable(data)


def test_columns_that_do_not_fit_together_are_not_a_table() -> None:
    columns = load(dump_table([Member("a", "png", 512, 3, 0, 0, 7)]))
    corrupt: list[dict[str, Any]] = [
        {**columns, "image_start": np.zeros(2, np.int64)},
        {**columns, "json_bytes": np.zeros(1, np.float64)},
        {**columns, "extension": np.full(1, len(IMAGE_EXTENSIONS), np.int64)},
        {**columns, "image_start": np.full(1, 2**60, np.int64)},
        {**columns, "image_bytes": np.full(1, -1, np.int64)},
        {**columns, "image_crc32": np.full(1, -2, np.int64)},
        {**columns, "key_end": np.zeros((1, 1), np.int64)},
        {name: column for name, column in columns.items() if name != "extension"},
    ]
    for content in corrupt:
        with pytest.raises(DataError, match="not a table of samples"):
            SampleTable(save(content))
