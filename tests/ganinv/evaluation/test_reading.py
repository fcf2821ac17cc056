"""Images are read ahead: in order, by other threads, and not too far."""

import threading
from contextlib import closing

import pytest
import torch

from ganinv.evaluation.reading import read_ahead


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


def test_the_next_range_is_read_while_one_is_in_use() -> None:
    begun = threading.Event()

    def read(numbers: range) -> int:
        if numbers.start == 1:
            begun.set()
        return numbers.start

    with closing(read_ahead(read, [range(n, n + 1) for n in range(3)])) as reading:
        assert next(reading) == 0
        assert begun.wait(60)


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
