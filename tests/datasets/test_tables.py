"""The table of a shard's members: what is written is read back, a run at a time."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets.tables import Member, Table, dump_table

ROWS = st.tuples(
    st.text(max_size=8),
    st.sampled_from(["png", "jpg"]),
    *[st.integers(0, 2**50)] * 4,
    st.none() | st.integers(0, 2**32 - 1),
)


@settings(max_examples=30)
@given(st.lists(ROWS), st.data())
def test_a_table_gives_back_the_members_it_was_made_of(
    rows: list[Any], data: st.DataObject
) -> None:
    members = [Member(*row) for row in rows]
    table = Table(dump_table(members))
    assert len(table) == len(members)
    assert list(table) == members
    first = data.draw(st.integers(0, len(members)))
    count = data.draw(st.integers(0, len(members) - first))
    assert table.members(first, count) == members[first : first + count]
    for outside in ((-1, 1), (first, len(members) - first + 1)):
        with pytest.raises(IndexError):
            table.members(*outside)
