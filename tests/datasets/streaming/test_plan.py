"""The order of samples, as properties over shards, batch sizes, seeds and epochs."""

import tracemalloc
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets.streaming.plan import Plan, SampleAddress
from ganinv.errors import ConfigError


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    shard_samples = draw(st.lists(st.integers(0, 20), min_size=1, max_size=8).filter(any))
    return Plan(
        shard_samples=shard_samples,
        seed=draw(st.integers(-(2**70), 2**70)),
        global_batch=draw(st.integers(1, sum(shard_samples))),
        window_samples=draw(st.integers(1, 12)),
    )


def _epoch(plan: Plan, epoch: int) -> list[list[SampleAddress]]:
    """The samples of each global batch."""
    slots = range(plan.global_batch)
    return [[plan.sample(epoch, step, slot) for slot in slots] for step in range(plan.steps)]


def _order(plan: Plan, epoch: int, slot: int, window: int) -> list[SampleAddress]:
    """The samples of a window in the order of their steps, computed as a reader does."""
    spans = plan.window(epoch, slot, window)
    places = [SampleAddress(s.shard, s.first + i) for s in spans for i in range(s.samples)]
    return [places[i] for i in plan.order(epoch, slot, window).tolist()]


@settings(max_examples=60)
@given(plan=plans(), epoch=st.integers(0, 2**40))
def test_nothing_is_repeated_and_less_than_a_batch_left_out(plan: Plan, epoch: int) -> None:
    seen = Counter(place for batch in _epoch(plan, epoch) for place in batch)
    assert max(seen.values()) == 1
    assert all(0 <= place.sample < plan.shard_samples[place.shard] for place in seen)
    assert 0 <= sum(plan.shard_samples) - len(seen) < plan.global_batch


@settings(max_examples=60)
@given(plan=plans(), epoch=st.integers(0, 2**40))
def test_windows_hold_exactly_the_samples_of_their_steps(plan: Plan, epoch: int) -> None:
    for slot in range(plan.global_batch):
        for window, first in enumerate(range(0, plan.steps, plan.window_samples)):
            steps = range(first, min(first + plan.window_samples, plan.steps))
            order = _order(plan, epoch, slot, window)
            assert order == [plan.sample(epoch, step, slot) for step in steps]
            spans = plan.window(epoch, slot, window)
            spanned = [SampleAddress(s.shard, s.first + i) for s in spans for i in range(s.samples)]
            assert sorted(spanned) == sorted(order)


@settings(max_examples=30)
@given(plan=plans(), epochs=st.lists(st.integers(0, 5), min_size=1, max_size=4))
def test_the_order_does_not_depend_on_what_was_asked_before(plan: Plan, epochs: list[int]) -> None:
    for epoch in epochs:
        fresh = Plan(
            shard_samples=plan.shard_samples,
            seed=plan.seed,
            global_batch=plan.global_batch,
            window_samples=plan.window_samples,
        )
        assert _epoch(plan, epoch) == _epoch(fresh, epoch)


@settings(max_examples=20)
@given(step=st.integers(0, 10**9 // 48 - 1), slot=st.integers(0, 47), epoch=st.integers(0, 10**6))
def test_seeking_costs_the_same_anywhere(step: int, slot: int, epoch: int) -> None:
    """With a billion samples, memory is that of the shards and of one window."""
    plan = Plan(shard_samples=[10**6] * 1000, seed=1, global_batch=48, window_samples=256)
    tracemalloc.start()
    place = plan.sample(epoch, step, slot)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 200_000
    assert place == _order(plan, epoch, slot, step // 256)[step % 256]


@pytest.mark.parametrize("global_batch", [16, 48])
def test_batches_mix_shards_as_a_global_shuffle_does(global_batch: int) -> None:
    """Entropy of the shards in a batch, in bits, and the mean of many batches."""
    shards, each = 64, 400
    plan = Plan(shard_samples=[each] * shards, seed=4, global_batch=global_batch, window_samples=64)
    shuffled = np.random.default_rng(0).permutation(shards * each) // each
    steps = range(0, plan.steps, max(1, plan.steps // 60))
    ours = [
        _entropy([plan.sample(0, step, slot).shard for slot in range(global_batch)])
        for step in steps
    ]
    theirs = [_entropy(shuffled[s * global_batch : (s + 1) * global_batch]) for s in steps]
    assert np.mean(ours) >= 0.95 * np.mean(theirs)
    assert min(ours) >= 0.9 * np.mean(theirs)  # nor does any single batch fall far below


def test_neighbours_in_a_shard_end_up_as_far_apart_as_by_a_shuffle_of_the_window() -> None:
    plan = Plan(shard_samples=[256 * 32], seed=4, global_batch=8, window_samples=256)
    random = np.random.default_rng(0)
    windows = [(slot, window) for slot in range(8) for window in range(4)]
    orders = [np.array([p.sample for p in _order(plan, 0, *place)]) for place in windows]
    ours = np.concatenate([np.diff(order) for order in orders])
    theirs = np.concatenate([np.diff(random.permutation(256)) for _ in windows])
    assert _entropy(np.abs(ours) // 8) >= 0.95 * _entropy(np.abs(theirs) // 8)
    assert abs(np.abs(ours).mean() / np.abs(theirs).mean() - 1) < 0.05


def _entropy(values: Any) -> float:
    """Entropy of the empirical distribution, in bits."""
    _, counts = np.unique(values, return_counts=True)
    ratios = counts / counts.sum()
    return float(-(ratios * np.log2(ratios)).sum())


def _plan(seed: int = 0, global_batch: int = 7) -> Plan:
    return Plan(
        shard_samples=[30, 40, 20, 50], seed=seed, global_batch=global_batch, window_samples=8
    )


def test_epochs_seeds_and_slots_differ() -> None:
    plan = _plan()
    # The last two seeds are neighbours that a float could not tell apart.
    seeds = [_epoch(_plan(seed=seed), 0) for seed in (1, 2**63, 2**63 + 1)]
    orders = [_epoch(plan, 0), _epoch(plan, 1), *seeds]
    assert all(a != b for i, a in enumerate(orders) for b in orders[:i])
    within = [[place.sample for place in _order(plan, 0, slot, 0)] for slot in range(7)]
    shapes = {tuple(sample - min(samples) for sample in samples) for samples in within}
    assert len(shapes) > 1


def test_each_epoch_leaves_out_other_samples() -> None:
    plan = _plan(global_batch=64)  # 12 of 140 are left out
    everything = {SampleAddress(s, i) for s, n in enumerate(plan.shard_samples) for i in range(n)}
    left_out = [everything - {p for b in _epoch(plan, e) for p in b} for e in range(8)]
    assert all(len(places) == 12 for places in left_out)
    assert not set.intersection(*left_out)


def test_the_order_never_changes() -> None:
    # A saved position would point to other samples if a later version ordered differently.
    expected = [(3, 8), (3, 10), (3, 14), (3, 12), (3, 13), (3, 15), (3, 11), (3, 9)]
    assert _order(_plan(), 3, 2, 1) == expected


def test_a_split_smaller_than_a_batch_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"train\.global_batch=141 exceeds the 140"):
        _plan(global_batch=141)
