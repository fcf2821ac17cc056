"""Uploads in parts: each is checked by the server, and sent again alone if it fails in passing.

The client sends a CRC-32 with every part, and where the connection is not encrypted its SHA-256 as
well, which the request's signature covers; a server that finds other bytes refuses the part.
"""

import asyncio
import os
from collections.abc import Awaitable
from pathlib import Path
from typing import Any, Protocol

from ganinv.errors import StorageError

# Objects from twice this size on are uploaded in parts, so one upload copies at most 128 MiB.
PART_BYTES = 16 * 2**20
PARTS_AT_A_TIME = 8

Data = bytes | memoryview | Path


class Ask(Protocol):
    """One request to the server, repeated as patience has it; raises `StorageError`."""

    def __call__(self, request: str, **arguments: Any) -> Awaitable[dict[str, Any]]: ...


def size_of(data: Data) -> int:
    """In bytes."""
    return data.stat().st_size if isinstance(data, Path) else len(data)


def cut(data: Data, start: int, end: int) -> bytes:
    """Bytes `start` up to, not including, `end`."""
    if not isinstance(data, Path):
        return bytes(data[start:end])
    with data.open("rb", buffering=0) as file:
        return os.pread(file.fileno(), end - start, start)


async def upload_in_parts(ask: Ask, data: Data) -> None:
    """Make an object of `data`; it is visible as a whole or not at all."""
    size = size_of(data)
    upload = (await ask("create_multipart_upload"))["UploadId"]
    places = asyncio.Semaphore(PARTS_AT_A_TIME)

    async def send(number: int, start: int) -> dict[str, Any]:
        async with places:
            body = cut(data, start, min(start + PART_BYTES, size))
            answer = await ask("upload_part", UploadId=upload, PartNumber=number, Body=body)
        return {"PartNumber": number, "ETag": answer["ETag"]}

    starts = enumerate(range(0, size, PART_BYTES), 1)
    tasks = [asyncio.ensure_future(send(number, start)) for number, start in starts]
    try:
        parts = await asyncio.gather(*tasks)
        await ask("complete_multipart_upload", UploadId=upload, MultipartUpload={"Parts": parts})
    except BaseException:
        for task in tasks:
            task.cancel()  # after a failure, nobody waits for the others
        await asyncio.gather(*tasks, return_exceptions=True)
        await _abort(ask, upload)
        raise


async def _abort(ask: Ask, upload: str) -> None:
    try:
        await ask("abort_multipart_upload", UploadId=upload)
    except StorageError:
        return  # what went wrong before says more; the bucket's life cycle rule clears the parts
