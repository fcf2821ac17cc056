"""Keys, flipped images and noise of real shards form one sequence, for all ranks and positions.

The tests compare what the training step gets: what `cut_into_micro_batches` makes of it.
"""

from collections.abc import Iterator
from itertools import islice
from typing import Any, NamedTuple

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from datasets.streaming.config import LoaderConfig
from datasets.streaming.loader import ShardBatches
from datasets.streaming.mix import DataSet
from ganinv.seams.batches import Position
from ganinv.training.config import TrainConfig, lay_out_batch
from ganinv.training.session import cut_into_micro_batches
from tests.support.runs import local_session, make_objective

BATCH = 24
N = 7  # steps done before the compared ones: the middle of an epoch and of a window
COUNT = 51  # steps n … n + 50; an epoch of `faces` has eleven
PAIRS = [(world, workers) for world in (1, 2, 3, 4) for workers in (0, 1, 2)]
Pair = tuple[int, int]

# `faces` is `conftest.Faces`.


class Step(NamedTuple):
    """One global batch, assembled from the shares of all ranks."""

    keys: tuple[str, ...]
    """By slot."""
    real_NCHW: torch.Tensor
    noise_NL: torch.Tensor
    after: Position


@pytest.fixture(scope="module", autouse=True)
def small_windows() -> Iterator[None]:
    """Several windows per slot and epoch, so that some steps lie in the middle of a window."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("datasets.streaming.slot_reader._MAX_WINDOW_SAMPLES", 5)
        yield


@pytest.fixture(scope="module")
def expected(faces: Any) -> list[Step]:
    """Steps 0 to n + 50 of one rank that was never interrupted."""
    return _steps(faces, (1, 0), 0, Position(epoch=0, images=0), N + COUNT)


def _steps(faces: Any, pair: Pair, done: int, start: Position, count: int) -> list[Step]:
    """`count` steps from `start`, after `done` steps; `pair`: ranks, loader threads per rank."""
    world, _ = pair
    shares = [_share(faces, pair, rank, done, start, count) for rank in range(world)]
    steps = []
    for of_ranks in zip(*shares, strict=True):
        assert len({after for *_, after in of_ranks}) == 1
        found = {slot: sample for samples, _ in of_ranks for slot, sample in samples.items()}
        assert sorted(found) == list(range(BATCH)), "a slot is missing, or was read twice"
        keys, images, noises = zip(*(found[slot] for slot in range(BATCH)), strict=True)
        steps.append(Step(keys, torch.stack(images), torch.stack(noises), of_ranks[0][1]))
    return steps


def _share(
    faces: Any, pair: Pair, rank: int, done: int, start: Position, count: int
) -> list[tuple[dict[int, tuple[str, torch.Tensor, torch.Tensor]], Position]]:
    """A rank's steps: slot → key, flipped image and noise; and the position after the step."""
    world, workers = pair
    source = ShardBatches(
        [DataSet(store=faces.store, index=faces.index)],
        "train",
        seed=5,
        global_batch=BATCH,
        rank=rank,
        world=world,
        config=LoaderConfig(workers=workers, prefetch_bytes=10**5),
    )
    config = TrainConfig(global_batch=BATCH, seed=9)
    session = local_session(make_objective("dlsgan"), config)
    batches = source.batches(start)
    found = []
    for number, batch in enumerate(islice(batches, count), start=done):
        session.images_seen = number * BATCH
        layout = lay_out_batch(config, world)
        (micro_batch,) = cut_into_micro_batches(session, batch, config, layout)
        (noise_NL,) = micro_batch.noise.values()
        samples = zip(batch.keys, micro_batch.real_NCHW, noise_NL, strict=True)
        found.append((dict(zip(batch.slots, samples, strict=True)), batch.after))
    batches.close()
    return found


def _assert_same(found: list[Step], expected: list[Step]) -> None:
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.keys == theirs.keys
        assert ours.after == theirs.after
        assert torch.equal(ours.real_NCHW, theirs.real_NCHW)
        assert torch.equal(ours.noise_NL, theirs.noise_NL)


def test_every_step_of_the_reference_differs(expected: list[Step]) -> None:
    """Otherwise comparing sequences would prove little."""
    assert len({step.keys for step in expected}) == N + COUNT
    assert len({step.noise_NL.numpy().tobytes() for step in expected}) == N + COUNT
    images: dict[str, set[bytes]] = {}
    for step in expected:
        for key, image_CHW in zip(step.keys, step.real_NCHW, strict=True):
            images.setdefault(key, set()).add(image_CHW.numpy().tobytes())
    assert max(map(len, images.values())) == 2  # the image itself, and flipped


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: f"{pair[0]} ranks, {pair[1]} workers")
def test_the_sequence_does_not_depend_on_ranks_and_loader_workers(
    faces: Any, expected: list[Step], pair: Pair
) -> None:
    _assert_same(_steps(faces, pair, N, expected[N - 1].after, COUNT), expected[N:])


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    first=st.sampled_from(PAIRS),
    then=st.sampled_from(PAIRS),
    begin=st.integers(1, N + COUNT - 6),
    trained=st.integers(1, 3),
)
def test_a_run_resumes_with_other_numbers_of_ranks_and_workers(
    faces: Any, expected: list[Step], first: Pair, then: Pair, begin: int, trained: int
) -> None:
    """Interrupted after `trained` steps from any step, and resumed by another pair."""
    before = _steps(faces, first, begin, expected[begin - 1].after, trained)
    done = begin + trained
    _assert_same(
        [*before, *_steps(faces, then, done, before[-1].after, 3)], expected[begin:][: trained + 3]
    )
