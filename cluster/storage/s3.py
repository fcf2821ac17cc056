"""A prefix in an S3 bucket as a store, on s3fs."""

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
from cluster.storage.patience import Patience
from cluster.storage.s3_client import CONNECTIONS, connect_lazily
from cluster.storage.s3_errors import credentials_are_stale, http_status, storage_errors
from cluster.storage.s3_parts import cut, size_of, upload_in_parts
from ganinv.errors import StorageError, StorageExistsError, StorageMissingError
from ganinv.places.names import check_name
from ganinv.seams.stores import Blobs, Entries, Entry, Range

DELETE_BATCH = 1000  # the most that S3 accepts in one request
# User metadata in which a conditional write signs its object.
_WRITER = "ganinv-writer"


T = TypeVar("T")


class S3Store:
    """The objects of `bucket` whose keys start with `root`, or all if it is empty.

    `endpoint_url` is None for AWS. Without `patience` a failure is final. See `seams.Store`.
    """

    def __init__(
        self, bucket: str, root: str, endpoint_url: str | None, patience: Patience | None = None
    ) -> None:
        self._bucket = bucket
        self._root = root
        self._endpoint_url = endpoint_url
        self._patience = patience
        self._opened: tuple[int, s3fs.S3FileSystem] | None = None

    def __reduce__(self) -> tuple[type["S3Store"], tuple[Any, ...]]:
        return S3Store, (self._bucket, self._root, self._endpoint_url, self._patience)

    @property
    def url(self) -> str:
        return f"s3://{self._bucket}/{self._root}".rstrip("/")

    def list(self, prefix: str = "") -> Entries:
        cut = len(self._key(""))
        found: Entries = []
        more: dict[str, str] = {}
        while True:
            page = self._ask("list", prefix, "list_objects_v2", Prefix=self._key(prefix), **more)
            for item in page.get("Contents", []):
                # Keys that end with a slash are the folder marks that consoles leave behind.
                if not item["Key"].endswith("/"):
                    found.append(Entry(item["Key"][cut:], int(item["Size"])))
            if not page.get("IsTruncated"):
                return sorted(found)
            more = {"ContinuationToken": page["NextContinuationToken"]}

    def read(self, name: str) -> bytes:
        path = self._path(name)

        async def get() -> bytes:
            # One request, so that a concurrent overwrite cannot mix old bytes with new ones.
            data: bytes = await self._filesystem._cat_file(path, max_concurrency=1)
            return data

        return self._do("read", name, get, hedge=True)

    def read_ranges(self, ranges: Sequence[Range]) -> Blobs:
        for part in ranges:
            check_name(self.url, part.name)
        found: Blobs = sync(self._filesystem.loop, self._read_ranges, ranges)
        return found

    async def _read_ranges(self, ranges: Sequence[Range]) -> Blobs:
        places = asyncio.Semaphore(CONNECTIONS)

        async def one(part: Range) -> bytes:
            if part.start >= part.end:
                return b""
            async with places:
                return await self._with_patience(
                    "read", part.name, lambda: self._read_range(part), hedge=True
                )

        tasks = [asyncio.ensure_future(one(part)) for part in ranges]
        try:
            return await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()  # after a failure, nobody waits for the others

    async def _read_range(self, part: Range) -> bytes:
        path = self._path(part.name)
        try:
            data: bytes = await self._filesystem._cat_file(path, start=part.start, end=part.end)
        except (OSError, ClientError) as error:
            if http_status(error) != 416:  # it starts beyond the object's end
                raise
            data = b""
        if len(data) != part.end - part.start:
            raise StorageError(
                f"{self.url}: {len(data) or 'none'} of the {part.end - part.start} bytes from "
                f"{part.start} to {part.end} of {part.name!r} came; restore or rebuild the object"
            )
        return data

    def write(self, name: str, data: bytes | memoryview | Path) -> None:
        check_name(self.url, name)
        sync(self._filesystem.loop, self._write, name, data)

    async def _write(self, name: str, data: bytes | memoryview | Path) -> None:
        def ask(request: str, **arguments: Any) -> Awaitable[dict[str, Any]]:
            return self._request("write", name, request, Key=self._key(name), **arguments)

        try:
            if size_of(data) >= 2 * storage_s3_parts.PART_BYTES:
                await upload_in_parts(ask, data)
            else:
                await ask("put_object", Body=cut(data, 0, size_of(data)))
        except OSError as error:
            raise StorageError(
                f"{self.url}: cannot write {name!r}: its file {error.filename} cannot be read "
                f"({error.strerror}); mend the cause and try again"
            ) from error

    def write_if_absent(self, name: str, data: bytes) -> None:
        path, signature = self._path(name), uuid4().hex

        async def create() -> bool:
            try:
                await self._filesystem._pipe_file(
                    path, data, mode="create", Metadata={_WRITER: signature}
                )
            except OSError as error:
                # Servers differ in how they say that the name is taken, and s3fs in how it
                # renders it; the status is what they share.
                if http_status(error) in (409, 412):
                    return False
                raise
            return True

        # A first attempt whose answer got lost makes the second one find its own object.
        if not self._do("write", name, create) and self._signature(name) != signature:
            raise StorageExistsError(
                f"{self.url}: {name!r} exists already; somebody else was first"
            )

    def _signature(self, name: str) -> str | None:
        """Who wrote an object that a conditional write was refused for."""
        try:
            head = self._ask("look up", name, "head_object", Key=self._key(name))
        except StorageMissingError as error:
            raise StorageError(
                f"{self.url}: {name!r} was refused as existing but is not there; "
                "another writer or deleter is at work on it, so try again"
            ) from error
        signature: str | None = head.get("Metadata", {}).get(_WRITER)
        return signature

    def delete(self, names: Sequence[str]) -> None:
        for name in names:
            check_name(self.url, name)
        for first in range(0, len(names), DELETE_BATCH):
            batch = names[first : first + DELETE_BATCH]
            objects = [{"Key": self._key(name)} for name in batch]
            wanted = {"Objects": objects, "Quiet": True}
            answer = self._ask("delete", batch[0], "delete_objects", Delete=wanted)
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

    def _ask(self, op: str, name: str, request: str, **arguments: Any) -> dict[str, Any]:
        answer: dict[str, Any] = sync(
            self._filesystem.loop, self._request, op, name, request, **arguments
        )
        return answer

    async def _request(self, op: str, name: str, request: str, **arguments: Any) -> dict[str, Any]:
        async def ask() -> dict[str, Any]:
            answer: dict[str, Any] = await self._filesystem._call_s3(
                request, Bucket=self._bucket, **arguments
            )
            return answer

        return await self._with_patience(op, name, ask, hedge=False)

    def _do(
        self, op: str, name: str, request: Callable[[], Awaitable[T]], *, hedge: bool = False
    ) -> T:
        """Run a request on the client's loop, and wait for it here."""
        found: T = sync(self._filesystem.loop, self._with_patience, op, name, request, hedge=hedge)
        return found

    async def _with_patience(
        self, op: str, name: str, request: Callable[[], Awaitable[T]], *, hedge: bool
    ) -> T:
        async def ask() -> T:
            with storage_errors(self.url, self._endpoint_url, op, name):
                return await request()

        async def attempt() -> T:
            try:
                return await ask()
            except StorageError as error:
                if not credentials_are_stale(error):
                    raise
                self._opened = None  # a new client looks for them again
            return await ask()

        patience = self._patience
        if patience is None:
            return await attempt()
        what = f"{self.url}/{name} (endpoint {self._endpoint_url or 'of AWS'})"
        if hedge:
            return await patience.call(op, what, lambda: patience.hedged(op, attempt))
        return await patience.call(op, what, attempt)

    @property
    def _filesystem(self) -> s3fs.S3FileSystem:
        # In a forked child the inherited client's event loop stands still: it needs its own.
        opened = self._opened
        if opened is None or opened[0] != os.getpid():
            once = self._patience is not None
            opened = self._opened = (os.getpid(), connect_lazily(self._endpoint_url, once=once))
        return opened[1]
