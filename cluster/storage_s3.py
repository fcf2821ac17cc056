"""A prefix in an S3 bucket as a store, on s3fs."""

import os
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any
from uuid import uuid4

import s3fs

from cluster.storage_s3_client import CONNECTIONS, connect_lazily
from cluster.storage_s3_errors import http_status, storage_errors
from ganinv.errors import StorageError, StorageExistsError, StorageMissingError
from ganinv.seams import Blobs, Entries, Entry, Range
from ganinv.storage_names import check_name

# Files from twice this size on are uploaded in parts, so one upload holds at most 128 MiB.
PART_BYTES = 16 * 2**20
PARTS_AT_A_TIME = 8
DELETE_BATCH = 1000  # the most that S3 accepts in one request
# User metadata in which a conditional write signs its object.
_WRITER = "ganinv-writer"


class S3Store:
    """The objects of `bucket` whose keys start with `root`, or all if it is empty.

    `endpoint_url` is None for AWS. See `seams.Store`.
    """

    def __init__(self, bucket: str, root: str, endpoint_url: str | None) -> None:
        self._bucket = bucket
        self._root = root
        self._endpoint_url = endpoint_url
        self._opened: tuple[int, s3fs.S3FileSystem] | None = None

    def __reduce__(self) -> tuple[type["S3Store"], tuple[str, str, str | None]]:
        return S3Store, (self._bucket, self._root, self._endpoint_url)

    @property
    def url(self) -> str:
        return f"s3://{self._bucket}/{self._root}".rstrip("/")

    def list(self, prefix: str = "") -> Entries:
        cut = len(self._key(""))
        found: Entries = []
        more: dict[str, str] = {}
        while True:
            with self._errors("list", prefix):
                page = self._call("list_objects_v2", Prefix=self._key(prefix), **more)
            for item in page.get("Contents", []):
                # Keys that end with a slash are the folder marks that consoles leave behind.
                if not item["Key"].endswith("/"):
                    found.append(Entry(item["Key"][cut:], int(item["Size"])))
            if not page.get("IsTruncated"):
                return sorted(found)
            more = {"ContinuationToken": page["NextContinuationToken"]}

    def read(self, name: str) -> bytes:
        with self._errors("read", name):
            # One request, so that a concurrent overwrite cannot mix old bytes with new ones.
            data: bytes = self._filesystem.cat_file(self._path(name), max_concurrency=1)
        return data

    def read_ranges(self, ranges: Sequence[Range]) -> Blobs:
        wanted = [part for part in ranges if part.end > part.start]
        with self._errors("read", ", ".join(sorted({part.name for part in wanted})[:3])):
            answers = self._filesystem.cat_ranges(
                [self._path(part.name) for part in wanted],
                [part.start for part in wanted],
                [part.end for part in wanted],
                batch_size=CONNECTIONS,
                on_error="return",
            )
        found = iter([self._checked(*pair) for pair in zip(wanted, answers, strict=True)])
        return [next(found) if part.end > part.start else b"" for part in ranges]

    def _checked(self, part: Range, answer: bytes | Exception) -> bytes:
        beyond_the_end = isinstance(answer, Exception) and http_status(answer) == 416
        if isinstance(answer, Exception) and not beyond_the_end:
            with self._errors("read", part.name):
                raise answer
        if isinstance(answer, Exception) or len(answer) != part.end - part.start:
            came = "none" if isinstance(answer, Exception) else str(len(answer))
            raise StorageError(
                f"{self.url}: {came} of the {part.end - part.start} bytes from {part.start} to "
                f"{part.end} of {part.name!r} came; restore or rebuild the object"
            )
        return answer

    def write(self, name: str, data: bytes | Path) -> None:
        path = self._path(name)
        options = {"chunksize": PART_BYTES, "max_concurrency": PARTS_AT_A_TIME}
        with self._errors("write", name):
            if isinstance(data, Path):
                self._filesystem.put_file(str(data), path, **options)
            else:
                self._filesystem.pipe_file(path, data, **options)

    def write_if_absent(self, name: str, data: bytes) -> None:
        path, signature = self._path(name), uuid4().hex
        with self._errors("write", name):
            try:
                self._filesystem.pipe_file(path, data, mode="create", Metadata={_WRITER: signature})
                return
            except OSError as error:
                # Servers differ in how they say that the name is taken, and s3fs in how it
                # renders it; the status is what they share.
                if http_status(error) not in (409, 412):
                    raise
        # A first attempt whose answer got lost makes the second one find its own object.
        if self._signature(name) != signature:
            raise StorageExistsError(
                f"{self.url}: {name!r} exists already; somebody else was first"
            )

    def _signature(self, name: str) -> str | None:
        """Who wrote an object that a conditional write was refused for."""
        try:
            with self._errors("look up", name, head=True):
                head = self._call("head_object", Key=self._key(name))
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
            with self._errors("delete", batch[0]):
                answer = self._call("delete_objects", Delete={"Objects": objects, "Quiet": True})
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

    def _call(self, request: str, **arguments: Any) -> dict[str, Any]:
        answer: dict[str, Any] = self._filesystem.call_s3(request, Bucket=self._bucket, **arguments)
        return answer

    def _errors(self, verb: str, name: str, *, head: bool = False) -> AbstractContextManager[None]:
        return storage_errors(self.url, self._endpoint_url, verb, name, head=head)

    @property
    def _filesystem(self) -> s3fs.S3FileSystem:
        # In a forked child the inherited client's event loop stands still: it needs its own.
        if self._opened is None or self._opened[0] != os.getpid():
            self._opened = (os.getpid(), connect_lazily(self._endpoint_url))
        return self._opened[1]
