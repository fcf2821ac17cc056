"""The table of a shard's members: what is written is read back, one member at a time."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets.tars import Member, Table, dump_table

ROWS = st.tuples(
    st.text(max_size=8),
    st.sampled_from(["png", "jpg"]),
    *[st.integers(0, 2**50)] * 4,
    st.none() | st.integers(0, 2**32 - 1),
)


@settings(max_examples=30, deadline=None)
@given(st.lists(ROWS))
def test_a_table_gives_back_the_members_it_was_made_of(rows: list[Any]) -> None:
    members = [Member(*row) for row in rows]
    table = Table(dump_table(members))
    assert len(table) == len(members)
    assert list(table) == members
    assert [table[i] for i in reversed(range(len(table)))] == members[::-1]
    for outside in (-1, len(members)):
        with pytest.raises(IndexError):
            table[outside]
