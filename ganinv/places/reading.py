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
from ganinv.places.filesystems import open_filesystem
from ganinv.places.names import check_endpoint, check_name, parse_url
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
        except self.failures as error:
            raise StorageError(
                f"{what}: {type(error).__name__}: {error}; check the URL, the network and, for "
                "S3, the endpoint (endpoint_url or AWS_ENDPOINT_URL) and the credentials in the "
                "environment"
            ) from error


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
    filesystem = S3FileSystem(
        endpoint_url=check_endpoint(endpoint_url),
        use_listings_cache=False,
        skip_instance_cache=True,  # its key lacks the credentials, which are in the environment
        config_kwargs={
            "connect_timeout": CONNECT_TIMEOUT_S,
            "read_timeout": READ_TIMEOUT_S,
            "retries": {"mode": "standard", "total_max_attempts": ATTEMPTS},
        },
    )
    filesystem.retries = 1  # botocore retries already; retries of both would multiply
    return FsspecReader(
        f"s3://{address.bucket}/{address.root}".rstrip("/"),
        f"{address.bucket}/{address.root}".rstrip("/"),
        filesystem,
        (OSError, BotoCoreError, ClientError, TransferError),
    )
