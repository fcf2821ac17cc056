"""Reading runs and exports where they lie, with fsspec; s3fs only where something lies in S3.

For notebooks: training and the commands have stores of their own (`cluster/storage/`), which
write and know more of S3's ways. Waits are bounded: a silent endpoint costs less than a minute.
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
READ_TIMEOUT_S = 20  # silence, not duration
ATTEMPTS = 2


@dataclass(frozen=True)
class FsspecReader:
    """A directory or a prefix in a bucket. Member of `seams.Reader`."""

    url: str
    root: str  # as the filesystem names it
    filesystem: Any
    failures: tuple[type[Exception], ...]  # what it raises

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
                f"{what}: there is none ({error}); check the place"
            ) from error
        except self.failures as error:
            raise StorageError(
                f"{what}: {type(error).__name__}: {error}; check the place, the network and, for "
                "S3, the endpoint (endpoint_url or AWS_ENDPOINT_URL) and the credentials in the "
                "environment"
            ) from error


def open_reader(url: str, endpoint_url: str | None) -> FsspecReader:
    """The place at a directory, a `file:///` or `s3://` URL, or any other one of fsspec's.

    Raises `ConfigError` for a URL or an endpoint that cannot be right, or a missing driver.
    """
    from fsspec.implementations.local import LocalFileSystem

    address = parse_url(url)
    if address.scheme == "file":
        return FsspecReader(address.root, address.root, LocalFileSystem(), (OSError,))
    if address.scheme != "s3":
        filesystem, root = open_filesystem(url)
        return FsspecReader(
            url.rstrip("/"), root, filesystem, (Exception,)
        )  # drivers raise what they like
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
        skip_instance_cache=True,  # its key lacks the credentials, which the environment holds
        config_kwargs={
            "connect_timeout": CONNECT_TIMEOUT_S,
            "read_timeout": READ_TIMEOUT_S,
            "retries": {"mode": "standard", "total_max_attempts": ATTEMPTS},
        },
    )
    filesystem.retries = 1  # botocore's are enough, and both together would multiply
    return FsspecReader(
        f"s3://{address.bucket}/{address.root}".rstrip("/"),
        f"{address.bucket}/{address.root}".rstrip("/"),
        filesystem,
        (OSError, BotoCoreError, ClientError, TransferError),
    )
