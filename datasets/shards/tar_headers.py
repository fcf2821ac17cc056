"""The headers of tars from any program: plain (v7, ustar), GNU and PAX.

This parser is written for untrusted tars. The standard library's is not: it takes a corrupt header
for the end of the tar, reads extended headers of any size, and follows them recursively. Here every
step is bounded, no byte outside the object is requested, and every irregularity is an error.
Format: POSIX.1-2017, `pax`, and the GNU tar manual, "Basic Tar Format".
"""

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from ganinv.errors import DataError

BLOCK_BYTES = 512  # tars consist of blocks of this size
# Far more than long names and attributes need, and than the zeros that end a tar (a tape record).
MAX_EXTENSION_BYTES = 2**20
MAX_TAIL_BYTES = 2**20
_EMPTY_BYTES = 10_240  # a tar without members: one tape record of zeros
_MAX_NAME_CHARACTERS = 4096

_ZEROS = bytes(BLOCK_BYTES)
_OLD, _DIRECTORY = b"\0", b"5"
_REGULAR = (b"0", _OLD, b"7")
# Hard and symbolic links, devices, pipes, and the label of a volume.
_NO_CONTENT = (b"1", b"2", b"3", b"4", b"6", b"V")
_GNU_NAME, _GNU_LINK, _PAX, _PAX_GLOBAL = b"L", b"K", b"x", b"g"
_MAGICS = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd"}

# Returns the bytes from `start` up to, not including, `end`. Starts must ascend.
Read = Callable[[int, int], bytes]


class File(NamedTuple):
    """A member of a tar that is not a folder, and the byte range of its content."""

    name: str
    start: int
    size_bytes: int
    is_regular: bool = True
    """False for links, devices and pipes, which have no content."""


class _Header(NamedTuple):
    name: str
    size_bytes: int
    kind: bytes


def files(read: Read, size_bytes: int, where: str) -> Iterator[File]:
    """The members of a tar of `size_bytes` but for folders, in order; `where` names the tar.

    Raises `DataError` unless the tar is complete and uncompressed, holds no sparse files, and no
    name in it leads outside.
    """
    position = 0
    extended: dict[str, str] | None = None  # what extended headers say of the next member
    while True:
        if position + BLOCK_BYTES > size_bytes:
            rest = read(position, size_bytes)
            raise _unusable(where, position, "it ends where a header should be", rest)
        block = read(position, position + BLOCK_BYTES)
        if block == _ZEROS and (position or size_bytes <= _EMPTY_BYTES):
            _check_tail(read, position, size_bytes, where)
            if extended is not None:
                raise _unusable(where, position, "an extended header has no member", block)
            return
        try:
            header = _parse(block)
        except ValueError as problem:
            raise _unusable(where, position, str(problem), block) from problem
        start = position + BLOCK_BYTES
        if header.kind in (_GNU_NAME, _GNU_LINK, _PAX, _PAX_GLOBAL):
            extended = (extended or {}) | _extension(read, header, start, size_bytes, where)
            position = _after(start, header.size_bytes)
            continue
        name, length = header.name, header.size_bytes
        if extended is not None:
            name, length = extended.get("path", name), int(extended.get("size", length))
            extended = None
        _refuse_hostile(name, header.kind, where)
        if header.kind == _DIRECTORY or (header.kind == _OLD and name.endswith("/")):
            position = start
            continue
        if header.kind in _NO_CONTENT:
            position = start
            yield File(name, start, 0, is_regular=False)
            continue
        position = _after(start, length)
        if position > size_bytes:
            raise _unusable(where, start, f"{name!r} extends beyond the end", b"")
        yield File(name, start, length)


def _parse(block: bytes) -> _Header:
    """Parse one header block. Raises `ValueError` if it is not a header."""
    stored = _number(block[148:156])
    blanked = block[:148] + b" " * 8 + block[156:]
    # Some old programs summed signed characters.
    if stored not in (sum(blanked), sum(byte - 256 * (byte > 127) for byte in blanked)):
        raise ValueError("its checksum does not match")
    name = _text(block[:100])
    prefix = _text(block[345:500]) if block[257:263] == b"ustar\0" else ""
    kind = block[156:157]
    return _Header(f"{prefix}/{name}" if prefix else name, _number(block[124:136]), kind)


def _number(field: bytes) -> int:
    """Parse octal digits, or a big-endian number if the high bit is set."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    digits = field.partition(b"\0")[0].strip()
    if not re.fullmatch(rb"[0-7]*", digits):
        raise ValueError(f"{field!r} is not a number")
    return int(digits or b"0", 8)


def _text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode("utf-8", "replace")


def _extension(
    read: Read, header: _Header, start: int, size_bytes: int, where: str
) -> dict[str, str]:
    """The fields `path` and `size` that an extended header gives for the next member, if any."""
    if header.size_bytes > MAX_EXTENSION_BYTES:
        raise DataError(
            f"{where}: the extended header at byte {start} claims {header.size_bytes} bytes, more"
            f" than the {MAX_EXTENSION_BYTES} that are read; rewrite the tar"
        )
    if _after(start, header.size_bytes) > size_bytes:
        raise _unusable(where, start, "an extended header extends beyond the end", b"")
    data = read(start, start + header.size_bytes)
    if header.kind == _GNU_LINK:
        return {}  # the next member is a link, and links are not followed
    if header.kind == _GNU_NAME:
        return {"path": _text(data)}
    try:
        records = dict(_pax_records(data))
    except ValueError as problem:
        raise _unusable(where, start, str(problem), b"") from problem
    if any(key.startswith("GNU.sparse") for key in records):
        raise DataError(f"{where}: holds a sparse file; rewrite the tar with regular files only")
    found = {key: value for key, value in records.items() if key in ("path", "size")}
    if found and header.kind == _PAX_GLOBAL:
        raise DataError(
            f"{where}: a global header sets one {'/'.join(found)} for all members; rewrite the tar"
        )
    if not re.fullmatch(r"\d{1,19}", found.get("size", "0")):
        raise _unusable(where, start, f"{found['size']!r} is not a size", b"")
    return found


def _pax_records(data: bytes) -> Iterator[tuple[str, str]]:
    """Parse records `LENGTH KEY=VALUE\\n`. Raises `ValueError` for anything else."""
    position = 0
    while position < len(data):
        space = data.find(b" ", position, position + 8)
        digits = data[position:space] if space > 0 else b""
        end = position + int(digits) if digits.isdigit() else 0
        key, equals, value = data[space + 1 : end - 1].partition(b"=")
        if not space < end <= len(data) or not equals or data[end - 1 : end] != b"\n":
            raise ValueError("an extended header is corrupt")
        yield key.decode("utf-8", "replace"), value.decode("utf-8", "replace")
        position = end


def _refuse_hostile(name: str, kind: bytes, where: str) -> None:
    outside = name.startswith("/") or ".." in name.split("/") or "\\" in name or "\0" in name
    if outside or not name or len(name) > _MAX_NAME_CHARACTERS:
        shown = name if len(name) <= 80 else f"{name[:80]}…"
        raise DataError(f"{where}: the member name {shown!r} is not allowed; rewrite the tar")
    if kind not in (*_REGULAR, *_NO_CONTENT, _DIRECTORY):
        raise DataError(
            f"{where}: the member {name!r} is a sparse file or of an unknown type; rewrite the tar"
            " with regular files only"
        )


def _check_tail(read: Read, start: int, size_bytes: int, where: str) -> None:
    """Zeros must follow the end, at most a tape record. A zeroed header is not the end."""
    end = min(size_bytes, start + MAX_TAIL_BYTES)
    if end < size_bytes or read(start, end).count(0) != end - start:
        raise _unusable(where, start, "data follows its end", b"")


def _after(start: int, size_bytes: int) -> int:
    return start + -(-size_bytes // BLOCK_BYTES) * BLOCK_BYTES


def _unusable(where: str, position: int, reason: str, block: bytes) -> DataError:
    if position:
        return DataError(
            f"{where} is truncated or corrupt after byte {position} ({reason}); write it again"
        )
    packed = next((kind for magic, kind in _MAGICS.items() if block.startswith(magic)), None)
    if packed:
        return DataError(
            f"{where} is compressed by {packed}, and ranged reads need an uncompressed tar;"
            " decompress it"
        )
    return DataError(f"{where} is not a complete, uncompressed tar ({reason}); rewrite it")
