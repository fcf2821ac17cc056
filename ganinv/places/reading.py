"""Readers of runs and exports in directories, S3 and other filesystems, built on fsspec.

The library uses these readers. Training and the commands use the stores of `cluster/storage/`,
which also write and retry. s3fs is imported only for s3 URLs. All waits are bounded: an endpoint
that does not answer costs less than a minute.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ganinv.errors import ConfigError, StorageError, StorageMissingError
from ganinv.places.explaining import (
    credentials_remedy,
    other_remedy,
    raised_by_provider,
    tls_failure,
)
from ganinv.places.filesystems import open_filesystem
from ganinv.places.loopback import proxies_for
from ganinv.places.names import Endpoint, check_name, find_endpoint, parse_url
from ganinv.seams.stores import Entries, Entry

CONNECT_TIMEOUT_S = 5
READ_TIMEOUT_S = 20  # of silence, not of the whole answer
ATTEMPTS = 2


@dataclass(frozen=True)
class FsspecReader:
    """Implements `seams.stores.Reader` for a folder of an fsspec filesystem."""

    url: str
    root: str  # the folder's path in `filesystem`
    filesystem: Any
    failures: tuple[type[Exception], ...]  # the exceptions of `filesystem`
    endpoint: Endpoint | None = None  # of S3

    def list(self, prefix: str = "") -> Entries:
        folder = f"{self.root}/{prefix}".rpartition("/")[0]
        with self._errors("list", prefix):
            found = self.filesystem.find(folder, detail=True, withdirs=False)
        named = [Entry(at.removeprefix(f"{self.root}/"), f["size"]) for at, f in found.items()]
        return sorted(entry for entry in named if entry.name.startswith(prefix))

    def read(self, name: str) -> bytes:
        check_name(self.url, name)
        with self._errors("read", name):
            data: bytes = self.filesystem.cat_file(f"{self.root}/{name}")
        return data

    @contextmanager
    def _errors(self, verb: str, name: str) -> Iterator[None]:
        what = f"{self.url}: cannot {verb} {name!r}"
        try:
            yield
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
            raise StorageMissingError(
                f"{what}: there is no such object ({error}); check the URL"
            ) from error
        except Exception as error:
            if not (isinstance(error, self.failures) or raised_by_provider(error)):
                raise
            raise StorageError(f"{what}: {self._explained(error)}") from error

    def _explained(self, error: Exception) -> str:
        said, endpoint = f"{type(error).__name__}: {error}", self.endpoint
        if endpoint is None:
            return f"{said}; {other_remedy(error)}"
        if found := tls_failure(error, endpoint.url or "AWS", endpoint.named_by):
            return "; ".join(found)
        check = f"check the URL, the network and {endpoint.named_by}"
        return f"{said}; {check}, and {credentials_remedy()}"


def open_reader(url: str, endpoint_url: str | None) -> FsspecReader:
    """The reader of a directory, a `file:///` or `s3://` URL, or another URL of fsspec.

    Raises `ConfigError` for an invalid URL or endpoint, or a missing driver.
    """
    from fsspec.implementations.local import LocalFileSystem

    address = parse_url(url)
    if address.scheme == "file":
        return FsspecReader(address.root, address.root, LocalFileSystem(), (OSError,))
    if address.scheme != "s3":
        filesystem, root = open_filesystem(url)
        # Drivers raise the exceptions of their own libraries.
        return FsspecReader(url.rstrip("/"), root, filesystem, (Exception,))
    try:
        from aiohttp import ClientError as TransferError
        from botocore.exceptions import BotoCoreError, ClientError
        from s3fs import S3FileSystem
    except ImportError as error:
        raise ConfigError(
            f"{url}: s3:// needs the package {error.name!r}, which is not installed; type pip "
            "install 'ganinv[s3]', or copy the run to a directory"
        ) from error
    endpoint = find_endpoint(endpoint_url, "endpoint_url")
    filesystem = S3FileSystem(
        endpoint_url=endpoint.url,
        use_listings_cache=False,
        skip_instance_cache=True,  # its key lacks the credentials, which are in the environment
        config_kwargs={
            "connect_timeout": CONNECT_TIMEOUT_S,
            "read_timeout": READ_TIMEOUT_S,
            "retries": {"mode": "standard", "total_max_attempts": ATTEMPTS},
            **proxies_for(endpoint.url),
        },
    )
    filesystem.retries = 1  # botocore retries already; retries of both would multiply
    return FsspecReader(
        f"s3://{address.bucket}/{address.root}".rstrip("/"),
        f"{address.bucket}/{address.root}".rstrip("/"),
        filesystem,
        (OSError, BotoCoreError, ClientError, TransferError),
        endpoint,
    )
