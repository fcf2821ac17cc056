"""A prefix in an S3 bucket as a store, built on s3fs."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import s3fs
from botocore.exceptions import ClientError
from fsspec.asyn import sync

from cluster.storage import s3_parts as storage_s3_parts
from cluster.storage.retries import RetryPolicy
from cluster.storage.s3_client import CONNECTIONS, connect_lazily
from cluster.storage.s3_errors import credentials_are_stale, http_status, storage_errors
from cluster.storage.s3_parts import cut, size_of, upload_in_parts
from ganinv.errors import StorageError, StorageExistsError, StorageMissingError
from ganinv.places.names import Endpoint, check_name
from ganinv.seams.stores import Blobs, Entries, Entry, Range

DELETE_BATCH = 1000  # the most that S3 accepts in one request
# User metadata: a token that identifies the conditional write which made an object.
_WRITER = "ganinv-writer"

T = TypeVar("T")


class S3Store:
    """Implements `seams.stores.Store` for the objects of `bucket` below the prefix `root`.

    An empty `root` means the whole bucket. Without `retries` every failure is final.
    """

    def __init__(
        self, bucket: str, root: str, endpoint: Endpoint, retries: RetryPolicy | None = None
    ) -> None:
        self._bucket = bucket
        self._root = root
        self._endpoint = endpoint
        self._retries = retries
        self._opened: tuple[int, s3fs.S3FileSystem] | None = None

    def __reduce__(self) -> tuple[type["S3Store"], tuple[Any, ...]]:
        return S3Store, (self._bucket, self._root, self._endpoint, self._retries)

    @property
    def url(self) -> str:
        return f"s3://{self._bucket}/{self._root}".rstrip("/")

    def list(self, prefix: str = "") -> Entries:
        root_length = len(self._key(""))
        found: Entries = []
        more: dict[str, str] = {}
        while True:
            page = self._call("list", prefix, "list_objects_v2", Prefix=self._key(prefix), **more)
            for item in page.get("Contents", []):
                # Consoles mark a folder by an object whose key ends with a slash.
                if not item["Key"].endswith("/"):
                    name, version = item["Key"][root_length:], item.get("ETag", "")
                    found.append(Entry(name, int(item["Size"]), version))
            if not page.get("IsTruncated"):
                return sorted(found)
            more = {"ContinuationToken": page["NextContinuationToken"]}

    def read(self, name: str) -> bytes:
        path = self._path(name)

        async def get() -> bytes:
            # A single request, so that a concurrent overwrite cannot mix old and new bytes.
            data: bytes = await self._filesystem._cat_file(path, max_concurrency=1)
            return data

        return self._run("read", name, get, hedge=True)

    def read_ranges(self, ranges: Sequence[Range]) -> Blobs:
        for wanted in ranges:
            check_name(self.url, wanted.name)
        found: Blobs = sync(self._filesystem.loop, self._read_ranges, ranges)
        return found

    async def _read_ranges(self, ranges: Sequence[Range]) -> Blobs:
        slots = asyncio.Semaphore(CONNECTIONS)

        async def one(wanted: Range) -> bytes:
            if wanted.start >= wanted.end:
                return b""
            async with slots:
                return await self._retried(
                    "read", wanted.name, lambda: self._read_range(wanted), hedge=True
                )

        tasks = [asyncio.ensure_future(one(wanted)) for wanted in ranges]
        try:
            return await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()  # after a failure, the other ranges are not needed

    async def _read_range(self, wanted: Range) -> bytes:
        path, start, end = self._path(wanted.name), wanted.start, wanted.end
        try:
            data: bytes = await self._filesystem._cat_file(path, start=start, end=end)
        except (OSError, ClientError) as error:
            if http_status(error) != 416:  # the range starts beyond the object's end
                raise
            data = b""
        if len(data) != end - start:
            raise StorageError(
                f"{self.url}: received {len(data)} of the {end - start} bytes from {start} to "
                f"{end} of {wanted.name!r}; restore or rebuild the object"
            )
        return data

    def write(self, name: str, data: bytes | memoryview | Path) -> None:
        check_name(self.url, name)
        sync(self._filesystem.loop, self._write, name, data)

    async def _write(self, name: str, data: bytes | memoryview | Path) -> None:
        def send(request: str, **arguments: Any) -> Awaitable[dict[str, Any]]:
            return self._request("write", name, request, Key=self._key(name), **arguments)

        try:
            if size_of(data) >= 2 * storage_s3_parts.PART_BYTES:
                await upload_in_parts(send, data)
            else:
                await send("put_object", Body=cut(data, 0, size_of(data)))
        except OSError as error:
            raise StorageError(
                f"{self.url}: cannot write {name!r}: its source {error.filename} cannot be read "
                f"({error.strerror}); correct the cause and try again"
            ) from error

    def write_if_absent(self, name: str, data: bytes) -> None:
        path, token = self._path(name), uuid4().hex

        async def create() -> bool:
            try:
                await self._filesystem._pipe_file(
                    path, data, mode="create", Metadata={_WRITER: token}
                )
            except OSError as error:
                # The code and text of this refusal differ between servers; its status does not.
                if http_status(error) in (409, 412):
                    return False
                raise
            return True

        # If only the answer of an earlier attempt was lost, the existing object is our own.
        if not self._run("write", name, create) and self._token(name) != token:
            raise StorageExistsError(
                f"{self.url}: {name!r} exists already; another writer was first"
            )

    def _token(self, name: str) -> str | None:
        """The token of the object because of which a conditional write was refused."""
        try:
            head = self._call("look up", name, "head_object", Key=self._key(name))
        except StorageMissingError as error:
            raise StorageError(
                f"{self.url}: the server refused {name!r} as existing, but it does not exist; "
                "another process writes or deletes it at the same time, so try again"
            ) from error
        token: str | None = head.get("Metadata", {}).get(_WRITER)
        return token

    def delete(self, names: Sequence[str]) -> None:
        for name in names:
            check_name(self.url, name)
        for first in range(0, len(names), DELETE_BATCH):
            batch = names[first : first + DELETE_BATCH]
            objects = [{"Key": self._key(name)} for name in batch]
            wanted = {"Objects": objects, "Quiet": True}
            answer = self._call("delete", batch[0], "delete_objects", Delete=wanted)
            if refused := answer.get("Errors"):
                raise StorageError(
                    f"{self.url}: {len(refused)} of {len(batch)} objects were not deleted, first "
                    f"{refused[0].get('Key')!r} ({refused[0].get('Code')}); "
                    "check that the credentials allow deleting, then try again"
                )

    def _key(self, name: str) -> str:
        return f"{self._root}/{name}" if self._root else name

    def _path(self, name: str) -> str:
        check_name(self.url, name)
        return f"{self._bucket}/{self._key(name)}"

    def _call(self, op: str, name: str, request: str, **arguments: Any) -> dict[str, Any]:
        answer: dict[str, Any] = sync(
            self._filesystem.loop, self._request, op, name, request, **arguments
        )
        return answer

    async def _request(self, op: str, name: str, request: str, **arguments: Any) -> dict[str, Any]:
        async def send() -> dict[str, Any]:
            answer: dict[str, Any] = await self._filesystem._call_s3(
                request, Bucket=self._bucket, **arguments
            )
            return answer

        return await self._retried(op, name, send, hedge=False)

    def _run(
        self, op: str, name: str, request: Callable[[], Awaitable[T]], *, hedge: bool = False
    ) -> T:
        """Run a request on the client's event loop, and wait for its result in this thread."""
        found: T = sync(self._filesystem.loop, self._retried, op, name, request, hedge=hedge)
        return found

    async def _retried(
        self, op: str, name: str, request: Callable[[], Awaitable[T]], *, hedge: bool
    ) -> T:
        async def send() -> T:
            with storage_errors(self.url, self._endpoint, op, name):
                return await request()

        async def attempt() -> T:
            try:
                return await send()
            except StorageError as error:
                if not credentials_are_stale(error):
                    raise
                self._opened = None  # a new client reads the credentials again
            return await send()

        retries = self._retries
        if retries is None:
            return await attempt()
        what = f"{self.url}/{name} (endpoint {self._endpoint.url or 'of AWS'})"
        if hedge:
            return await retries.call(op, what, lambda: retries.hedged(op, attempt))
        return await retries.call(op, what, attempt)

    @property
    def _filesystem(self) -> s3fs.S3FileSystem:
        # A forked child needs its own client: the event loop of the inherited one does not run.
        opened = self._opened
        if opened is None or opened[0] != os.getpid():
            once = self._retries is not None
            opened = self._opened = (os.getpid(), connect_lazily(self._endpoint.url, once=once))
        return opened[1]
