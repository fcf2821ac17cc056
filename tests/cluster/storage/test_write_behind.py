"""Logs are written in the background: late if necessary, never lost, never old over new."""

import logging
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from cluster.run_folder.metrics_log import MetricsLog, read_rows
from cluster.storage import write_behind
from cluster.storage.opening import open_store
from cluster.storage.write_behind import WriteBehind
from ganinv.errors import StorageError
from ganinv.seams.stores import Store
from tests.support.commands import wait_until


class Failing:
    """A store that refuses writes while `away` is set."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.away = threading.Event()

    def __getattr__(self, verb: str) -> object:
        return getattr(self.store, verb)

    def write(self, name: str, data: bytes) -> None:
        if self.away.is_set():
            raise StorageError(f"cannot write {name}")
        self.store.write(name, data)


@pytest.fixture
def failing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Failing]:
    monkeypatch.setattr(write_behind, "RETRY_S", 0.01)
    return Failing(open_store(str(tmp_path)))


def test_rows_are_kept_while_storage_is_away(
    failing: Failing, caplog: pytest.LogCaptureFixture
) -> None:
    with closing(WriteBehind(failing)) as logs:  # type: ignore[arg-type]  # by __getattr__
        log = MetricsLog(logs, 0)
        failing.away.set()
        for images in (16, 32):
            log.append({"images_seen": images})
            log.flush()
            with pytest.raises(StorageError):
                logs.flush()  # raises, for callers who must know
        assert read_rows(failing.store) == []
        assert read_rows(logs) == [{"images_seen": 16}, {"images_seen": 32}]
        failing.away.clear()
        wait_until(lambda: read_rows(failing.store), 10, "the rows")
    assert read_rows(failing.store) == [{"images_seen": 16}, {"images_seen": 32}]
    warnings = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert len(warnings) == 2, warnings


def test_the_newest_content_wins_and_closing_writes_it(failing: Failing) -> None:
    with closing(WriteBehind(failing)) as logs:  # type: ignore[arg-type]  # by __getattr__
        for number in range(200):
            logs.write("x", b"%d" % number)
            logs.write(f"evaluations/{number}", b"")
    assert failing.store.read("x") == b"199"
    assert len(failing.store.list("evaluations/")) == 200


def test_pending_objects_are_bounded(failing: Failing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(write_behind, "MAX_PENDING", 3)
    failing.away.set()
    with closing(WriteBehind(failing)) as logs:  # type: ignore[arg-type]  # by __getattr__
        for number in range(9):
            logs.write(f"{number}", b"")
        failing.away.clear()
        logs.flush()
    assert [entry.name for entry in failing.store.list()] == ["6", "7", "8"]


def test_an_attempt_that_fails_while_it_closes_is_not_the_last(
    failing: Failing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The attempt begins before storage comes back and fails after `close` was called."""
    began, closing_began = threading.Event(), threading.Event()
    write = failing.write

    def late(name: str, data: bytes) -> None:
        if not began.is_set():
            began.set()
            assert closing_began.wait(10)
            raise StorageError(f"cannot write {name}")
        write(name, data)

    monkeypatch.setattr(failing, "write", late)
    logs = WriteBehind(failing)  # type: ignore[arg-type]  # by __getattr__
    logs.write("x", b"1")
    assert began.wait(10)
    join = logs._thread.join

    def joined(timeout: float | None = None) -> None:
        closing_began.set()
        join(timeout)

    monkeypatch.setattr(logs._thread, "join", joined)
    logs.close()
    assert failing.store.read("x") == b"1"
