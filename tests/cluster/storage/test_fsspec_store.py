"""Stores on fsspec: missing drivers and weak filesystems are reported; data sets work there."""

import json
import ssl
from pathlib import Path
from uuid import uuid4

import fsspec
import pytest
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem
from fsspec.registry import known_implementations

from cluster.storage.opening import open_store, probe
from ganinv.errors import ConfigError, StorageError
from ganinv.places.reading import open_reader
from ganinv.seams.stores import Entry
from launch.commands import data


@pytest.fixture
def url() -> str:
    return f"memory://{uuid4().hex}/prefix"


def test_a_missing_driver_is_named_with_what_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = {"class": "no_such_driver.FileSystem", "err": "Please install no-such-driver"}
    monkeypatch.setitem(known_implementations, "nosuch", driver)
    for opening in (open_store, lambda url: open_reader(url, None)):
        with pytest.raises(ConfigError, match=r"nosuch://.*pip install no_such_driver, here"):
            opening("nosuch://bucket/prefix")


def test_a_filesystem_that_cannot_create_exclusively_fails_the_probe(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    overwriting = MemoryFileSystem.open

    def careless(self: MemoryFileSystem, path: str, mode: str = "rb", **options: object) -> object:
        return overwriting(self, path, mode.replace("x", "w"), **options)

    store = open_store(url)
    probe(store)
    monkeypatch.setattr(MemoryFileSystem, "open", careless)
    with pytest.raises(StorageError, match=r"memory://.*cannot hold a run .*overwrite an .*; use"):
        probe(store)
    assert store.list() == []


def test_whatever_a_driver_raises_is_one_of_our_errors(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("quota exceeded")

    for verb in ("cat_file", "pipe_file", "find", "open", "rm_file"):
        monkeypatch.setattr(MemoryFileSystem, verb, refuse)
    store = open_store(url)
    verbs = {
        "read": lambda: store.read("x"),
        "write": lambda: store.write("x", b""),
        "list": lambda: store.list(),
        "create": lambda: store.write_if_absent("x", b""),
        "delete": lambda: store.delete(["x"]),
    }
    for verb, work in verbs.items():
        with pytest.raises(StorageError, match=rf"cannot {verb} .*RuntimeError: quota exceeded"):
            work()


def test_a_driver_that_refuses_to_start_is_one_of_our_errors(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some drivers look for credentials, or connect, when they are created: az://, sftp://."""

    def refuse(*_: object, **__: object) -> None:
        raise ValueError("needs a connection_string for ftp://user:planted@host")

    monkeypatch.setattr(MemoryFileSystem, "__init__", refuse)
    for opening in (open_store, lambda url: open_reader(url, None)):
        with pytest.raises(
            StorageError, match=r"cannot be opened: ValueError: .*; check"
        ) as caught:
            opening(url)
        assert "planted" not in str(caught.value)


def test_a_certificate_that_a_driver_does_not_accept_is_named(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("cannot connect") from ssl.SSLCertVerificationError("unable to get issuer")

    monkeypatch.setattr(MemoryFileSystem, "cat_file", refuse)
    for store in (open_store(url), open_reader(url, None)):
        with pytest.raises(StorageError, match=r"cannot connect; .*signed the certificate \(SSL_"):
            store.read("x")


def test_data_sets_are_built_verified_and_listed_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"local://{tmp_path}/data"
    words = [f"data.url={url}", "data.images=24", "data.resolution=16", "--json"]
    assert data.main(["build", "avatars", *words]) == 0
    built = json.loads(capsys.readouterr().out)
    assert built["url"] == url
    assert data.main(["verify", f"data.url={url}"]) == 0
    assert data.main(["ls", f"data.url={tmp_path}/data", "--json"]) == 0
    assert (
        json.loads(capsys.readouterr().out.splitlines()[-1])["fingerprint"] == built["fingerprint"]
    )


def test_notebooks_read_there_too(url: str) -> None:
    open_store(url).write("folder/object", b"12")
    reader = open_reader(url, None)
    assert reader.list("folder/") == [Entry("folder/object", 2)]
    assert reader.read("folder/object") == b"12"


def test_a_filesystem_that_is_registered_as_a_class_is_a_store(tmp_path: Path) -> None:
    """As fsspec documents it; no file of ours is touched for another filesystem."""

    class OwnFileSystem(LocalFileSystem):
        protocol = "own"

    fsspec.register_implementation("own", OwnFileSystem, clobber=True)
    store = open_store(f"own://{tmp_path}/store")
    probe(store)
    assert store.list() == []
