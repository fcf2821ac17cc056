"""Evaluations on a device with little memory, and images that are read ahead."""

import logging
import threading
from contextlib import closing

import pytest
import torch
from torch import Tensor

from ganinv.errors import ConfigError
from ganinv.evaluation.fitting import Fitting, read_ahead
from ganinv.metrics.features import pixel_features
from ganinv.model import InvertibleGan
from tests.support.evaluations import evaluator, model


class Small(InvertibleGan):
    """A model whose device has memory for a few images."""

    room = 5

    def decode(self, code_BL: Tensor) -> Tensor:
        if len(code_BL) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")
        return super().decode(code_BL)


def small(room: int) -> InvertibleGan:
    gan = Small(codec=model().codec)
    object.__setattr__(gan, "room", room)
    return gan


def test_batches_are_halved_until_they_fit(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing counts twice: images of a batch that failed halfway are evaluated once."""
    expected = evaluator(37, 40).figures(model(), [pixel_features()])
    little = evaluator(37, 40)
    with caplog.at_level(logging.WARNING):
        found = little.figures(small(room=5), [pixel_features()])
        again = little.figures(small(room=5), [pixel_features()])
    assert found == pytest.approx(expected, rel=1e-5)
    assert again == found
    assert [r.message.rpartition("; ")[2] for r in caplog.records] == [
        "evaluating 16 at a time", "evaluating 8 at a time", "evaluating 4 at a time",
    ]  # fmt: skip


def test_a_device_without_room_for_one_image_is_named() -> None:
    with pytest.raises(ConfigError, match=r"not even one image .*CUDA out of memory"):
        evaluator(8, 8).figures(small(room=0), [])


def test_other_errors_pass() -> None:
    def fail(piece: slice) -> None:
        raise RuntimeError(f"{piece}")

    with pytest.raises(RuntimeError, match="slice"):
        list(Fitting(4).over(3, fail))


def test_pieces_cover_all_images_in_order() -> None:
    assert list(Fitting(4).over(10, lambda piece: (piece.start, piece.stop))) == [
        (0, 4), (4, 8), (8, 10),
    ]  # fmt: skip
    assert list(Fitting(4).over(0, lambda piece: piece)) == []


def test_images_are_read_ahead_in_order_and_not_too_far() -> None:
    started: list[int] = []
    ranges = [range(start, start + 2) for start in range(0, 20, 2)]

    def read(numbers: range) -> tuple[range, int]:
        started.append(numbers.start)
        return numbers, threading.get_ident()

    readers = torch.get_num_threads()
    with closing(read_ahead(read, ranges)) as read_ranges:
        for done, (numbers, thread) in enumerate(read_ranges):
            assert numbers == ranges[done]
            assert thread != threading.get_ident()
            assert len(started) <= done + readers + 1
    assert len(started) == len(ranges)


def test_an_error_comes_where_its_range_would() -> None:
    def read(numbers: range) -> int:
        if numbers.start == 2:
            raise OSError("gone")
        return numbers.start

    reading = read_ahead(read, [range(n, n + 1) for n in range(9)])
    assert [next(reading), next(reading)] == [0, 1]
    with pytest.raises(OSError, match="gone"):
        next(reading)


def test_closing_ends_the_threads() -> None:
    with closing(read_ahead(lambda numbers: numbers, [range(1)] * 9)) as reading:
        next(reading)
    assert not [t for t in threading.enumerate() if t.name.startswith("read-ahead")]
