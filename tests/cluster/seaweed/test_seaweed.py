"""The development object store: it survives crashes, and signals no other process."""

import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.processes import Process
from cluster.seaweed import store as seaweed
from cluster.seaweed.private_files import exclusively, read_private, write_private
from cluster.seaweed.server import all_free, choose_ports
from cluster.storage.opening import open_store
from ganinv.errors import StorageError


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "store"
    seaweed.stop(tmp_path / "store")


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """A process that belongs to no store."""
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(100)"]) as process:
        yield process
        process.kill()


@pytest.mark.integration
def test_a_killed_store_restarts_with_everything(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = seaweed.start(directory, ["ganinv"])
    for name, value in first.environment().items():
        monkeypatch.setenv(name, value)
    open_store("s3://ganinv/run").write("x", b"kept")
    os.kill(first.process.pid, signal.SIGKILL)
    os.waitpid(first.process.pid, 0)
    assert seaweed.status(directory) is None

    second = seaweed.start(directory, ["ganinv", "more"])
    assert second.process != first.process
    assert second.environment() == first.environment()
    assert open_store("s3://ganinv/run").read("x") == b"kept"
    assert open_store("s3://more").list() == []
    assert seaweed.start(directory) == second == seaweed.status(directory)

    assert seaweed.stop(directory)
    assert not seaweed.stop(directory)
    assert not second.process.alive()
    assert seaweed.status(directory) is None
    numbers = [number for port in second.ports.values() for number in (port, port + 10_000)]
    assert not [p for n in numbers for p in Path("/tmp").glob(f"seaweedfs-*-{n}.sock")]  # noqa: S108


@pytest.mark.integration
def test_ports_that_are_taken_are_replaced(directory: Path) -> None:
    seaweed.start(directory, ["ganinv"])
    seaweed.stop(directory)
    state = json.loads((directory / "state.json").read_text())
    state["ports"]["filer"] = state["ports"]["s3"]  # two services cannot share one
    (directory / "state.json").write_text(json.dumps(state))
    store = seaweed.start(directory, ["ganinv"])
    assert len(set(store.ports.values())) == len(store.ports)


@pytest.mark.integration
def test_nothing_about_it_is_public(object_store: seaweed.ObjectStore) -> None:
    secret = object_store.environment()["AWS_SECRET_ACCESS_KEY"]
    assert stat.S_IMODE(object_store.directory.stat().st_mode) == 0o700
    for name in ("credentials.json", "state.json"):
        assert stat.S_IMODE((object_store.directory / name).stat().st_mode) == 0o600
    assert secret not in repr(object_store)
    assert secret not in (object_store.directory / "weed.log").read_text()
    command = Path(f"/proc/{object_store.process.pid}/cmdline").read_text()
    assert secret not in command
    assert "-ip.bind=127.0.0.1" in command


@pytest.mark.integration
def test_a_failed_start_gives_the_reason(directory: Path) -> None:
    directory.mkdir()
    (directory / "data").write_bytes(b"not a directory")
    with pytest.raises(StorageError, match=r"(?s)does not serve.*weed\.log.*data"):
        seaweed.start(directory)
    assert seaweed.status(directory) is None


@pytest.mark.integration
def test_an_impossible_bucket(object_store: seaweed.ObjectStore) -> None:
    with pytest.raises(StorageError, match=r"No_Bucket.*3 to 63"):
        seaweed.start(object_store.directory, ["No_Bucket"])


def test_a_recycled_number_is_neither_running_nor_signalled(
    tmp_path: Path, sleeper: subprocess.Popen[bytes]
) -> None:
    own = Process.of(sleeper.pid)
    former = Process(pid=sleeper.pid, started=own.started + "1")
    state = {"process": {"pid": former.pid, "started": former.started}, "ports": {"s3": 20_000}}
    write_private(tmp_path / "state.json", state)
    assert seaweed.status(tmp_path) is None
    assert not seaweed.stop(tmp_path)
    assert sleeper.poll() is None


def test_stopping_a_store_that_never_ran(tmp_path: Path) -> None:
    assert not seaweed.stop(tmp_path / "never")
    assert seaweed.status(tmp_path / "never") is None
    assert not (tmp_path / "never").exists()


def test_only_one_command_at_a_time(tmp_path: Path) -> None:
    with (
        exclusively(tmp_path, 1),
        pytest.raises(StorageError, match="another command"),
        exclusively(tmp_path, 0.2),
    ):
        pytest.fail("two commands hold the lock")
    with exclusively(tmp_path, 1):
        pass


def test_a_corrupt_file_is_named_but_not_shown(tmp_path: Path) -> None:
    path = tmp_path / "credentials.json"
    assert read_private(path) is None
    write_private(path, {"a": 1})
    assert read_private(path) == {"a": 1}
    path.write_text('{"secret": "planted')
    with pytest.raises(StorageError, match="corrupt; remove it") as caught:
        read_private(path)
    assert caught.value.__cause__ is None
    assert "planted" not in str(caught.value)


def test_chosen_ports_are_free_different_and_leave_room_for_grpc() -> None:
    ports = choose_ports(5)
    assert len(set(ports)) == 5
    assert max(ports) < 55_536
    assert all_free(ports)
