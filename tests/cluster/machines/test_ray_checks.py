"""What prevents Ray from starting or joining is said beforehand, in one sentence."""

import http.server
import os
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
from ray._private import services

from cluster.machines import ray_checks
from ganinv.errors import ClusterError


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RAY_ADDRESS", "RAY_TMPDIR", "TMPDIR", "RAY_USE_TLS"):
        monkeypatch.delenv(name, raising=False)


def refused(monkeypatch: pytest.MonkeyPatch, address: str) -> str:
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(ClusterError) as caught:
        ray_checks.check_ray()
    said = str(caught.value)
    assert "RAY_ADDRESS = " in said
    assert "\n" not in said
    assert caught.value.exit_status == 5
    return said


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("http://127.0.0.1:8265", "a dashboard's address; give HOST:6379"),
        ("https://me:planted@head", "a dashboard's address; give HOST:6379"),
        ("ray://head:10001", "Ray Client cannot train"),
        ("head", "write HOST:PORT"),
        ("head:x", "write HOST:PORT"),
        ("head:99999", "write HOST:PORT"),
        ("no-such-host.invalid:6379", "no Ray cluster answers at no-such-host.invalid:6379"),
    ],
)
def test_wrong_addresses(monkeypatch: pytest.MonkeyPatch, address: str, expected: str) -> None:
    said = refused(monkeypatch, address)
    assert expected in said
    assert "planted" not in said


def test_a_stale_address(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    assert f"answers at {address} (Connection refused)" in refused(monkeypatch, address)


def test_auto_without_and_with_a_stale_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(_: str) -> str:
        raise ConnectionError("Could not find any running Ray instance")

    monkeypatch.setattr(services, "canonicalize_bootstrap_address", none)
    assert "no Ray cluster runs on this machine" in refused(monkeypatch, "auto")
    monkeypatch.setattr(services, "canonicalize_bootstrap_address", lambda _: "127.0.0.1:1")
    said = refused(monkeypatch, "auto")
    assert said.startswith("RAY_ADDRESS = 'auto': no Ray cluster answers at 127.0.0.1:1")


def test_the_port_of_the_dashboard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_checks, "CONNECT_S", 0.3)
    with http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        said = refused(monkeypatch, f"127.0.0.1:{server.server_port}")
        server.shutdown()
        thread.join()
    assert "is not the head of a Ray cluster" in said


@pytest.fixture
def head() -> Iterator[str]:
    """The address of a server that speaks gRPC, as Ray's head does."""
    server = grpc.server(ThreadPoolExecutor(1))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(None).wait()


def test_a_head_is_reached_past_any_proxy(monkeypatch: pytest.MonkeyPatch, head: str) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("RAY_ADDRESS", head)
    assert ray_checks.check_ray() == f"joins the cluster at {head}"


@pytest.mark.parametrize("name", ["TMPDIR", "RAY_TMPDIR"])
def test_a_long_folder_for_temporary_files(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    monkeypatch.setenv("TMPDIR", "/")
    monkeypatch.setenv(name, "/x/" + "é" * 25)  # counted in bytes
    with pytest.raises(ClusterError, match=rf"{name} = '/x/é+': has 53 bytes.*RAY_TMPDIR=/tmp"):
        ray_checks.check_ray()
    path = f"{tmp_path}/ray/session_2026-01-01_00-00-00_000000_{os.getpid()}/sockets/plasma_store"
    monkeypatch.setattr(ray_checks, "SOCKET_PATH_BYTES", len(path))
    monkeypatch.setenv(name, str(tmp_path))
    assert str(tmp_path) in ray_checks.check_ray()
    monkeypatch.setattr(ray_checks, "SOCKET_PATH_BYTES", len(path) - 1)
    with pytest.raises(ClusterError, match=f"at most {len(str(tmp_path)) - 1} bytes"):
        ray_checks.check_ray()


def test_a_folder_that_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(ray_checks, "SOCKET_PATH_BYTES", 1000)
    monkeypatch.setenv("TMPDIR", str(tmp_path / "file" / "below"))
    with pytest.raises(ClusterError, match=r"may not write to .*/file; .*RAY_TMPDIR"):
        ray_checks.check_ray()
