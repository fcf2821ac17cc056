"""A command stops only the object store that it, or a command beside it, has started.

The server is a process that serves nothing: what starts and stops it is real.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from cluster.seaweed import sharing
from cluster.seaweed import store as seaweed
from ganinv.errors import StorageError
from launch.commands import demo
from launch.options.schema import RunConfig


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    def create_buckets(store: seaweed.ObjectStore, names: Sequence[str]) -> None:
        assert store.process.alive()

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(seaweed, "command", lambda *_: ["sleep", "100"])
    monkeypatch.setattr(seaweed, "_await_serving", lambda *_: None)
    monkeypatch.setattr(seaweed, "_create_buckets", create_buckets)
    yield demo.DIRECTORY / "store"
    seaweed.stop(demo.DIRECTORY / "store")


def test_a_user_stops_the_store_that_it_has_started(directory: Path) -> None:
    with sharing.running(directory) as store:
        assert store == seaweed.status(directory)
    assert not store.process.alive()


def test_a_store_that_runs_already_goes_on(directory: Path) -> None:
    before = seaweed.start(directory)
    with sharing.running(directory) as store:
        assert store == before
    assert before.process.alive()


def test_the_last_user_stops_the_store(directory: Path) -> None:
    first = sharing.running(directory)
    store = first.__enter__()
    with sharing.running(directory) as same:
        assert same == store
        first.__exit__(None, None, None)
        assert store.process.alive()
    assert not store.process.alive()


def test_an_interrupted_start_leaves_no_server(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[seaweed.ObjectStore] = []

    def interrupt(_: object, store: seaweed.ObjectStore) -> None:
        started.append(store)
        raise KeyboardInterrupt

    monkeypatch.setattr(seaweed, "_await_serving", interrupt)
    with pytest.raises(KeyboardInterrupt):
        seaweed.start(directory)
    assert not started[0].process.alive()


def test_a_second_demo_and_clean_leave_the_first_demo_alone(
    directory: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def train(config: RunConfig, out: object) -> int:
        raise StorageError(f"{config.storage.run} is written by process 1")

    monkeypatch.setattr(demo, "train", train)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"):
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "")
    with sharing.running(directory) as store:  # as the first demo does
        with pytest.raises(StorageError, match="is written by"):
            demo.main([])
        with pytest.raises(StorageError, match="another command uses the object store"):
            demo.main(["clean"])
        assert store.process.alive()
        assert directory.is_dir()
    assert demo.main(["clean"]) == 0
    assert not demo.DIRECTORY.exists()
