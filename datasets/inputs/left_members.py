"""What scanning tars left out, counted like everything else that is left out of a data set."""

from collections.abc import Iterable

from datasets.inputs.left_out import LeftOut
from datasets.shards.scan import LeftMember


def count_left_out(members: Iterable[LeftMember], left_out: LeftOut) -> None:
    """Add them to `left_out`."""
    for member in members:
        if member.counts:
            left_out.add(member.reason, member.name)
        else:
            left_out.note(member.reason, member.name)
