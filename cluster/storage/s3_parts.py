"""Multipart uploads: the server checks every part, and only a failed part is sent again.

The client sends a CRC-32 with every part. Without encryption it also sends the part's SHA-256,
which the request's signature covers. The server refuses a part that does not match.
"""

import asyncio
import os
from collections.abc import Awaitable
from pathlib import Path
from typing import Any, Protocol

from ganinv.errors import StorageError

# Objects of at least twice this size are uploaded in parts; an upload copies at most 128 MiB.
PART_BYTES = 16 * 2**20
PARTS_AT_A_TIME = 8

Data = bytes | memoryview | Path


class Send(Protocol):
    """Sends one request, with retries, and returns the answer; raises `StorageError`."""

    def __call__(self, request: str, **arguments: Any) -> Awaitable[dict[str, Any]]: ...


def size_of(data: Data) -> int:
    """In bytes."""
    return data.stat().st_size if isinstance(data, Path) else len(data)


def cut(data: Data, start: int, end: int) -> bytes:
    """Bytes `start` up to, but not including, `end`."""
    if not isinstance(data, Path):
        return bytes(data[start:end])
    with data.open("rb", buffering=0) as file:
        return os.pread(file.fileno(), end - start, start)


async def upload_in_parts(send: Send, data: Data) -> None:
    """Upload `data` as one object, which becomes visible as a whole or not at all."""
    size = size_of(data)
    upload = (await send("create_multipart_upload"))["UploadId"]
    slots = asyncio.Semaphore(PARTS_AT_A_TIME)

    async def send_part(number: int, start: int) -> dict[str, Any]:
        async with slots:
            body = cut(data, start, min(start + PART_BYTES, size))
            answer = await send("upload_part", UploadId=upload, PartNumber=number, Body=body)
        return {"PartNumber": number, "ETag": answer["ETag"]}

    starts = enumerate(range(0, size, PART_BYTES), 1)
    tasks = [asyncio.ensure_future(send_part(number, start)) for number, start in starts]
    try:
        parts = await asyncio.gather(*tasks)
        await send("complete_multipart_upload", UploadId=upload, MultipartUpload={"Parts": parts})
    except BaseException:
        for task in tasks:
            task.cancel()  # after a failure, the other parts are not needed
        await asyncio.gather(*tasks, return_exceptions=True)
        await _abort(send, upload)
        raise


async def _abort(send: Send, upload: str) -> None:
    try:
        await send("abort_multipart_upload", UploadId=upload)
    except StorageError:
        return  # the first error says more; the bucket's life cycle rules remove the parts
