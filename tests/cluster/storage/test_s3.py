"""Faults that only S3 has: each is one `StorageError`, raised in time and without secrets."""

import os
import socket
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from s3fs import S3FileSystem

from cluster.seaweed.store import ObjectStore
from cluster.storage import s3_client as storage_s3_client
from cluster.storage import s3_parts as storage_s3_parts
from cluster.storage.opening import open_store, probe
from cluster.storage.retries import RetryPolicy
from ganinv.errors import (
    StorageError,
    StorageExistsError,
    StorageMissingError,
    StorageUnavailableError,
)
from ganinv.seams.stores import Range, Store
from tests.support.fault_proxy import fault_proxy

PLANTED = "wJalrXUtnFEMI-planted-secret"
DEADLINE_S = 20.0
QUICKER = 20  # shipped timeouts are divided by this
# aiohttp sends an idempotent request once more when the connection breaks during sending.
CONNECTIONS_OF_STUCK_UPLOAD = 2


@pytest.fixture
def planted_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, PLANTED)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAPLANTED")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")


def refusal(verb: Callable[[], object], secret: str, deadline_s: float | None = DEADLINE_S) -> str:
    """The message of the `StorageError` that `verb` must raise, without the secret.

    None for `deadline_s` leaves the time to the limit of every test.
    """
    begin = time.monotonic()
    with pytest.raises(StorageError) as caught:
        verb()
    assert deadline_s is None or time.monotonic() - begin < deadline_s
    assert not isinstance(caught.value, StorageMissingError)
    shown = "".join(traceback.format_exception(caught.value))
    error: BaseException | None = caught.value
    while error is not None:
        shown += str(error) + repr(error)
        error = error.__cause__ or error.__context__
    assert secret not in shown
    return str(caught.value)


def every_verb(store: Store) -> list[Callable[[], object]]:
    return [
        lambda: store.list(),
        lambda: store.read("x"),
        lambda: store.read_ranges([Range("x", 0, 1)]),
        lambda: store.write("x", b"1"),
        lambda: store.write_if_absent("x", b"1"),
        lambda: store.delete(["x"]),
        lambda: probe(store),
    ]


@pytest.mark.integration
@pytest.mark.usefixtures("s3_environment")
def test_a_wrong_secret(s3_store_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", PLANTED)
    for verb in every_verb(open_store(s3_store_url)):
        message = refusal(verb, PLANTED)
        assert s3_store_url in message
        assert "SignatureDoesNotMatch" in message
        assert "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY" in message
    # The server may refuse and close the connection while the bytes are still being sent.
    message = refusal(lambda: open_store(s3_store_url).write("x", bytes(30 * 10**6)), PLANTED)
    assert "SignatureDoesNotMatch" in message


@pytest.mark.integration
def test_a_missing_bucket(s3_environment: dict[str, str]) -> None:
    for verb in every_verb(open_store("s3://no-such-bucket/run")):
        message = refusal(verb, s3_environment["AWS_SECRET_ACCESS_KEY"])
        assert "s3://no-such-bucket/run" in message
        assert "NoSuchBucket" in message
        assert "create the bucket" in message


@pytest.mark.usefixtures("planted_credentials")
def test_a_closed_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    endpoint = f"http://127.0.0.1:{port}"
    store = open_store("s3://bucket/run", endpoint_url=endpoint)
    for verb in [lambda: store.read("x"), lambda: probe(store)]:
        message = refusal(verb, PLANTED)
        assert "s3://bucket/run" in message
        assert endpoint in message
        assert "does not answer" in message
        assert "check storage.endpoint_url" in message


class BlackHole:
    """An endpoint where the kernel takes connections and nothing is ever read or answered."""

    def __init__(self, server: socket.socket) -> None:
        self._server = server
        self.url = f"http://127.0.0.1:{server.getsockname()[1]}"

    def connections(self) -> int:
        """How many there were, including those that the client has closed."""
        self._server.setblocking(False)
        count = 0
        with suppress(BlockingIOError):
            while True:
                self._server.accept()[0].close()
                count += 1
        return count


@pytest.fixture
def black_hole() -> Iterator[BlackHole]:
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        yield BlackHole(server)


def test_shipped_timeouts_bound_the_wait_for_a_silent_endpoint() -> None:
    """Every connection costs one timeout, and the pause between attempts is at most 1 s."""
    attempts = storage_s3_client.ATTEMPTS
    assert attempts * storage_s3_client.READ_TIMEOUT_S + 1 < DEADLINE_S
    connections = attempts * CONNECTIONS_OF_STUCK_UPLOAD
    assert connections * storage_s3_client.SEND_TIMEOUT_S + 1 < 1.5 * DEADLINE_S


@pytest.mark.integration
@pytest.mark.usefixtures("planted_credentials")
@pytest.mark.parametrize(("megabytes", "connections"), [(0, 1), (20, CONNECTIONS_OF_STUCK_UPLOAD)])
def test_a_black_hole(
    black_hole: BlackHole, megabytes: int, connections: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every connection ends by its timeout, and the client opens no more than it may.

    The larger object does not fit into the kernel's buffers, so that sending gets stuck. Without
    `SEND_TIMEOUT_S` the kernel would wait for 15 minutes, beyond the time limit of a test.
    """
    for name in ("READ_TIMEOUT_S", "SEND_TIMEOUT_S"):
        monkeypatch.setattr(storage_s3_client, name, getattr(storage_s3_client, name) / QUICKER)
    store = open_store("s3://bucket/run", endpoint_url=black_hole.url)
    message = refusal(lambda: store.write("x", bytes(megabytes * 10**6)), PLANTED, None)
    assert "does not answer" in message
    assert "check storage.endpoint_url" in message
    attempts = storage_s3_client.ATTEMPTS
    assert attempts <= black_hole.connections() <= attempts * connections


@pytest.mark.integration
@pytest.mark.usefixtures("planted_credentials")
def test_a_black_hole_whatever_the_verb(
    black_hole: BlackHole, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage_s3_client, "READ_TIMEOUT_S", 0.2)
    monkeypatch.setattr(storage_s3_client, "ATTEMPTS", 1)
    store = open_store("s3://bucket/run", endpoint_url=black_hole.url)
    for verb in every_verb(store):
        assert "does not answer" in refusal(verb, PLANTED, None)


class NotFound(BaseHTTPRequestHandler):
    """Answers 404 to everything, as proxies and web servers do for unknown paths."""

    def answer(self) -> None:
        self.send_error(404)

    do_GET = do_PUT = do_POST = answer

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.mark.integration
@pytest.mark.usefixtures("planted_credentials")
def test_another_server_is_not_mistaken_for_an_empty_store() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), NotFound) as server:
        threading.Thread(target=server.serve_forever).start()
        store = open_store("s3://bucket/run", endpoint_url=f"http://127.0.0.1:{server.server_port}")
        for verb in every_verb(store):
            assert "answered 404" in refusal(verb, PLANTED)
        server.shutdown()


@pytest.mark.usefixtures("planted_credentials")
def test_no_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    store = open_store("s3://bucket/run", endpoint_url="http://127.0.0.1:9")
    message = refusal(store.list, PLANTED)
    assert "no credentials were found" in message
    assert "set AWS_ACCESS_KEY_ID" in message


@pytest.mark.integration
def test_a_file_in_parts(s3_store_url: str, tmp_path: Path) -> None:
    store = open_store(s3_store_url)
    data = os.urandom(2 * storage_s3_parts.PART_BYTES + 12345)
    (tmp_path / "file").write_bytes(data)
    store.write("from file", tmp_path / "file")
    store.write("from memory", data)
    assert store.read("from file") == data
    assert store.read("from memory") == data


@pytest.mark.integration
def test_a_conditional_write_whose_answer_was_lost_has_succeeded(
    s3_store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The write succeeds, its answer is lost, and the second attempt finds the name taken."""
    store = open_store(s3_store_url)
    put = S3FileSystem._pipe_file

    async def put_twice(self: S3FileSystem, *args: object, **options: object) -> None:
        await put(self, *args, **options)
        await put(self, *args, **options)

    monkeypatch.setattr(S3FileSystem, "_pipe_file", put_twice)
    store.write_if_absent("manifest.json", b"mine")
    with pytest.raises(StorageExistsError):
        store.write_if_absent("manifest.json", b"mine")
    assert store.read("manifest.json") == b"mine"


@pytest.mark.integration
def test_a_server_that_ignores_conditions_fails_the_probe(
    s3_store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(s3_store_url)
    monkeypatch.setattr(type(store), "write_if_absent", type(store).write)
    with pytest.raises(StorageError, match=r"conditional writes.*overwrite an .*; use a store"):
        probe(store)
    assert store.list() == []


@pytest.mark.integration
@pytest.mark.parametrize("parts", [0, 3])
def test_bits_that_flip_during_an_upload_are_noticed_and_sent_again(
    object_store: ObjectStore, s3_store_url: str, monkeypatch: pytest.MonkeyPatch, parts: int
) -> None:
    """The server checks the checksum of each part; only the corrupt part is sent again."""
    monkeypatch.setattr(storage_s3_parts, "PART_BYTES", 5 * 2**20)  # the least that S3 takes
    data = os.urandom(parts * 5 * 2**20 or 2**16)
    with fault_proxy(object_store.endpoint_url) as proxy:
        once = open_store(s3_store_url, endpoint_url=proxy.url)
        proxy.flip = 2
        with pytest.raises(StorageUnavailableError, match="BadDigest"):
            once.write("x", data)
        assert once.list() == []
        repeated: list[str] = []
        retries = RetryPolicy(
            deadline_s=20, on_repeat=lambda kind, op: repeated.append(f"{kind} {op}")
        )
        patient = open_store(s3_store_url, endpoint_url=proxy.url, retries=retries)
        proxy.flip = 2
        patient.write("x", memoryview(data))
        assert repeated == ["retry write"] * 2
    assert open_store(s3_store_url).read("x") == data
