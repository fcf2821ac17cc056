"""The headers of a tar, of whoever made it: plain (v7, ustar), GNU and PAX.

Written for tars that nobody vouches for, which is why it is not the standard library's: that one
takes damage for the end, reads extended headers of any size, and follows them recursively. Here
every step is bounded, nothing outside of the object is asked for, and all that is odd is an error.
Format: POSIX.1-2017, `pax`, and the GNU tar manual, "Basic Tar Format".
"""

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from ganinv.errors import DataError

BLOCK_BYTES = 512  # tars consist of such
# Long names and attributes fit many times over; the zeros at the end are a tape record at most.
MAX_EXTENSION_BYTES = 2**20
MAX_TAIL_BYTES = 2**20
_MAX_NAME_CHARACTERS = 4096

_ZEROS = bytes(BLOCK_BYTES)
_OLD, _DIRECTORY = b"\0", b"5"
_REGULAR = (b"0", _OLD, b"7")
_GNU_NAME, _GNU_LINK, _PAX, _PAX_GLOBAL = b"L", b"K", b"x", b"g"
_MAGICS = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd"}

# Bytes `start` up to, not including, `end`, for ascending starts.
Read = Callable[[int, int], bytes]


class File(NamedTuple):
    """A regular file in a tar, and where its content lies."""

    name: str
    start: int
    size_bytes: int


class _Header(NamedTuple):
    name: str
    size_bytes: int
    kind: bytes


def files(read: Read, size_bytes: int, where: str) -> Iterator[File]:
    """The regular files of a tar of `size_bytes`, in order; `where` is for messages.

    Raises `DataError` for anything but a whole, uncompressed tar of regular files and folders with
    names that stay inside.
    """
    position = 0
    told: dict[str, str] | None = None  # by extended headers, for the next member
    while True:
        if position + BLOCK_BYTES > size_bytes:
            rest = read(position, size_bytes)
            raise _unusable(where, position, "it ends where a header should be", rest)
        block = read(position, position + BLOCK_BYTES)
        if block == _ZEROS and position:
            _check_tail(read, position, size_bytes, where)
            if told is not None:
                raise _unusable(where, position, "an extended header has no member", block)
            return
        try:
            header = _parse(block)
        except ValueError as problem:
            raise _unusable(where, position, str(problem), block) from problem
        start = position + BLOCK_BYTES
        if header.kind in (_GNU_NAME, _GNU_LINK, _PAX, _PAX_GLOBAL):
            told = (told or {}) | _extension(read, header, start, size_bytes, where)
            position = _after(start, header.size_bytes)
            continue
        name, length = header.name, header.size_bytes
        if told is not None:
            name, length, told = told.get("path", name), int(told.get("size", length)), None
        _refuse_hostile(name, header.kind, where)
        if header.kind == _DIRECTORY or (header.kind == _OLD and name.endswith("/")):
            position = start
            continue
        position = _after(start, length)
        if position > size_bytes:
            reason = f"{name!r} goes on after the end"
            raise _unusable(where, start, reason, b"")
        yield File(name, start, length)


def _parse(block: bytes) -> _Header:
    """One header block. Raises `ValueError` if it is none."""
    stored = _number(block[148:156])
    blanked = block[:148] + b" " * 8 + block[156:]
    # Some old programs summed signed characters.
    if stored not in (sum(blanked), sum(byte - 256 * (byte > 127) for byte in blanked)):
        raise ValueError("its checksum does not fit")
    name = _text(block[:100])
    prefix = _text(block[345:500]) if block[257:263] == b"ustar\0" else ""
    kind = block[156:157]
    return _Header(f"{prefix}/{name}" if prefix else name, _number(block[124:136]), kind)


def _number(field: bytes) -> int:
    """Octal digits, or a big-endian number behind a set high bit."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    digits = field.partition(b"\0")[0].strip()
    if not re.fullmatch(rb"[0-7]*", digits):
        raise ValueError(f"{field!r} is no number")
    return int(digits or b"0", 8)


def _text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode("utf-8", "replace")


def _extension(
    read: Read, header: _Header, start: int, size_bytes: int, where: str
) -> dict[str, str]:
    """What an extended header says of the next member: `path` and `size`, if anything."""
    if header.size_bytes > MAX_EXTENSION_BYTES:
        raise DataError(
            f"{where}: the extended header at byte {start} claims {header.size_bytes} bytes, more"
            f" than the {MAX_EXTENSION_BYTES} that are read; rewrite the tar"
        )
    if _after(start, header.size_bytes) > size_bytes:
        raise _unusable(where, start, "an extended header goes on after the end", b"")
    data = read(start, start + header.size_bytes)
    if header.kind == _GNU_LINK:
        return {}  # the member that follows is a link, and refused as such
    if header.kind == _GNU_NAME:
        return {"path": _text(data)}
    try:
        records = dict(_pax_records(data))
    except ValueError as problem:
        raise _unusable(where, start, str(problem), b"") from problem
    if any(key.startswith("GNU.sparse") for key in records):
        raise DataError(f"{where}: holds a sparse file; rewrite the tar with regular files alone")
    found = {key: value for key, value in records.items() if key in ("path", "size")}
    if found and header.kind == _PAX_GLOBAL:
        raise DataError(f"{where}: one {'/'.join(found)} is given for all members; rewrite the tar")
    if not re.fullmatch(r"\d{1,19}", found.get("size", "0")):
        raise _unusable(where, start, f"{found['size']!r} is no size", b"")
    return found


def _pax_records(data: bytes) -> Iterator[tuple[str, str]]:
    """Records `LENGTH KEY=VALUE\\n`. Raises `ValueError` for anything else."""
    position = 0
    while position < len(data):
        space = data.find(b" ", position, position + 8)
        digits = data[position:space] if space > 0 else b""
        end = position + int(digits) if digits.isdigit() else 0
        key, equals, value = data[space + 1 : end - 1].partition(b"=")
        if not space < end <= len(data) or not equals or data[end - 1 : end] != b"\n":
            raise ValueError("an extended header is damaged")
        yield key.decode("utf-8", "replace"), value.decode("utf-8", "replace")
        position = end


def _refuse_hostile(name: str, kind: bytes, where: str) -> None:
    outside = name.startswith("/") or ".." in name.split("/") or "\\" in name or "\0" in name
    if outside or not name or len(name) > _MAX_NAME_CHARACTERS:
        shown = name if len(name) <= 80 else f"{name[:80]}…"
        raise DataError(f"{where}: the member name {shown!r} is not allowed; rewrite the tar")
    if kind not in _REGULAR and kind != _DIRECTORY:
        raise DataError(
            f"{where}: the member {name!r} is a link, device or sparse file; rewrite the tar with"
            " regular files alone"
        )


def _check_tail(read: Read, start: int, size_bytes: int, where: str) -> None:
    """Zeros, up to a tape record of them. A damaged header is no end."""
    end = min(size_bytes, start + MAX_TAIL_BYTES)
    if end < size_bytes or read(start, end).count(0) != end - start:
        raise _unusable(where, start, "something follows its end", b"")


def _after(start: int, size_bytes: int) -> int:
    return start + -(-size_bytes // BLOCK_BYTES) * BLOCK_BYTES


def _unusable(where: str, position: int, reason: str, block: bytes) -> DataError:
    if position:
        return DataError(
            f"{where} is truncated or damaged after byte {position} ({reason}); write it again"
        )
    packed = next((kind for magic, kind in _MAGICS.items() if block.startswith(magic)), None)
    if packed:
        return DataError(
            f"{where} is no uncompressed, whole tar but packed by {packed}, and ranged reads need"
            " plain ones; unpack it"
        )
    return DataError(f"{where} is no uncompressed, whole tar ({reason}); rewrite it")
