"""Totals over a run's groups (restarts, lost images, goodput), and the restart budget."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.run_folder.group_history import FAULTS, PLANNED, Budget, End, GroupRecord, summarise


def group(number: int, at: float, resumed: int, seen: int, reason: End | None) -> GroupRecord:
    """Launched at `at`, first step 10 s later, then one image per second without pauses."""
    return GroupRecord(
        number=number,
        launched=at,
        world_size=2,
        resumed_from=resumed,
        first_step=at + 10,
        last_step=at + 10 + seen - resumed,
        images_seen=seen,
        steps_seconds=seen - resumed,
        ended=None if reason is None else at + 11 + seen - resumed,
        reason=reason,
    )


def test_lost_images_gaps_and_goodput_by_hand() -> None:
    records = [
        group(0, 0, 0, 100, "failure"),  # 0 to 111 s; 20 images lost
        group(1, 111, 80, 200, "stopped"),  # to 242 s; nothing lost
        group(2, 1000, 200, 250, "preemption"),  # to 1061 s
        group(3, 1061, 250, 350, None),  # trains at 1171 s
    ]
    past = summarise(records, now=1171)
    assert past.restarts == {"failure": 1, "preemption": 1}
    assert past.lost_images == 20
    assert past.gaps_seconds == (11.0, 11.0)
    wanted = 242 + (1171 - 1000)  # from 242 to 1000 s the run was stopped
    assert past.goodput == pytest.approx((80 + 120 + 50 + 100) / wanted)
    assert past.last == records[-1]


def test_a_run_without_steps_has_no_goodput() -> None:
    assert summarise([], now=0.0).goodput is None
    started = GroupRecord(number=0, launched=0.0, world_size=1)
    assert summarise([started], now=9.0).goodput is None


@given(
    st.lists(
        st.tuples(st.integers(0, 50), st.integers(0, 50), st.sampled_from([*FAULTS, *PLANNED])),
        min_size=1,
        max_size=8,
    )
)
def test_goodput_is_a_share_and_losses_lower_it(ends: list[tuple[int, int, End]]) -> None:
    """`ends`: for each group the images it trained, how many of them its end loses, the reason."""
    lossy, lossless = [], []
    at, resumed, sure = 0.0, 0, 0
    for number, (trained, lost, reason) in enumerate(ends):
        lossy.append(group(number, at, resumed, resumed + trained, reason))
        lossless.append(group(number, at, sure, sure + trained, reason))
        at += trained + 11
        resumed += trained - min(lost, trained)
        sure += trained
    with_losses, without = (summarise(records, at).goodput for records in (lossy, lossless))
    assert (with_losses is None) == (without is None)
    if with_losses is not None and without is not None:
        assert 0 <= with_losses <= without <= 1
    lost = sum(min(lost, trained) for trained, lost, _ in ends[:-1])
    assert summarise(lossy, at).lost_images == lost


FAULT = group(0, 0, 0, 100, "failure")
SAVED = replace(FAULT, committed=40)
NOTICE = replace(FAULT, reason="preemption")


def test_faults_in_a_row_exceed_the_budget_and_a_checkpoint_resets_it() -> None:
    budget = Budget(max_failures=2, max_preemptions=None)
    assert [budget.spend(end) for end in (FAULT, FAULT, SAVED, FAULT)] == [None] * 4
    broken = budget.spend(FAULT)
    assert broken is not None
    assert "3 failures in a row" in broken
    assert "cluster.max_failures = 2" in broken


def test_faults_with_a_checkpoint_in_between_are_unlimited() -> None:
    budget = Budget(max_failures=0, max_preemptions=0)
    assert budget.spend(FAULT) is not None
    budget = Budget(max_failures=1, max_preemptions=0)
    assert all(budget.spend(SAVED) is None for _ in range(1000))


def test_preemptions_have_their_own_budget() -> None:
    budget = Budget(max_failures=1, max_preemptions=None)
    assert all(budget.spend(NOTICE) is None for _ in range(1000))
    assert budget.spend(FAULT) is None
    bounded = Budget(max_failures=1, max_preemptions=2)
    broken = [bounded.spend(end) for end in (NOTICE, FAULT, NOTICE, NOTICE)]
    assert broken[:3] == [None] * 3
    assert broken[3] is not None
    assert "cluster.max_preemptions = 2" in broken[3]


def test_the_checkpoint_that_a_group_resumed_from_is_no_progress() -> None:
    assert not replace(FAULT, resumed_from=40, committed=40).progressed
    assert replace(FAULT, resumed_from=40, committed=56).progressed
