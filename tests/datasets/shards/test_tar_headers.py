"""Headers of tars: same results as the standard library for good tars, safe for all other bytes."""

import io
import tarfile
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets.shards.scan import scan_tar
from datasets.shards.tar_headers import MAX_EXTENSION_BYTES, MAX_TAIL_BYTES, File, files
from datasets.shards.tars import TarBuilder
from ganinv.errors import DataError

FORMATS = [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]
NAME = st.text(st.characters(codec="utf-8", exclude_characters="/\\\0"), min_size=1, max_size=60)
PATH = (
    st.lists(NAME.filter(lambda part: part not in ("..", ".")), min_size=1, max_size=5)
    .map("/".join)
    .filter(lambda path: len(path.encode()) < 250)
)


class Guarded:
    """Bytes that allow reads only in ascending order and never beyond their end."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._start = 0

    def read(self, start: int, end: int) -> bytes:
        assert self._start <= start <= end <= len(self._data)
        assert end - start <= max(MAX_EXTENSION_BYTES, MAX_TAIL_BYTES)
        self._start = start
        return self._data[start:end]


def _read(data: bytes) -> list[File]:
    return list(files(Guarded(data).read, len(data), "x.tar"))


def _write(members: list[tuple[str, int]], tar_format: int) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tar_format) as tar:
        for name, size_bytes in members:
            info = tarfile.TarInfo(name)
            if size_bytes < 0:
                info.type = tarfile.DIRTYPE
            else:
                info.size = size_bytes
            info.mtime = 1.5 if tar_format == tarfile.PAX_FORMAT else 1
            tar.addfile(info, io.BytesIO(b"x" * max(0, size_bytes)))
    return file.getvalue()


@settings(max_examples=40)
@given(
    members=st.lists(st.tuples(PATH, st.integers(-1, 2000)), min_size=1, max_size=6),
    tar_format=st.sampled_from(FORMATS),
)
def test_good_tars_are_read_as_the_standard_library_does(
    members: list[tuple[str, int]], tar_format: int
) -> None:
    try:
        data = _write(members, tar_format)
    except ValueError:
        return  # a name that ustar cannot hold
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        theirs = [File(i.name, i.offset_data, i.size) for i in tar if i.isreg()]
    assert [file._replace(name=file.name.rstrip("/")) for file in _read(data)] == theirs


def test_large_sizes_are_base_256_numbers() -> None:
    info = tarfile.TarInfo("a.png")
    info.size = 2**40
    header = info.tobuf(tarfile.GNU_FORMAT)
    with pytest.raises(DataError, match=r"'a\.png' extends beyond the end"):
        _read(header + bytes(1024))


@settings(max_examples=200)
@given(data=st.binary(max_size=3000).filter(any))
def test_random_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(
        DataError, match=r"x\.tar is (not a complete, uncompressed tar|compressed by)"
    ):
        _read(data)


WHOLE = {
    tar_format: _write([("a/" * 60 + "1.png", 700), ("2", 0)], tar_format) for tar_format in FORMATS
}


@settings(max_examples=300)
@given(data=st.data(), tar_format=st.sampled_from(FORMATS))
def test_corrupt_headers_raise_our_error_or_keep_all_files_inside(
    data: st.DataObject, tar_format: int
) -> None:
    changed = bytearray(WHOLE[tar_format])
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, 4095))
        changed[place] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        # Repair the checksum of the first header, so that the other changes in it take effect.
        changed[148:156] = b" " * 8
        changed[148:156] = b"%06o\0 " % sum(changed[:512])
    cut = data.draw(st.integers(0, len(changed)) | st.just(len(changed)))
    try:
        found = _read(bytes(changed[:cut]))
    except DataError:
        return
    assert all(f.start >= 512 and f.start + f.size_bytes <= cut for f in found)
    assert not any(".." in f.name.split("/") or f.name.startswith("/") for f in found)


def _header(name: str, size: int, kind: bytes) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.type = size, kind
    return info.tobuf(tarfile.GNU_FORMAT)


def _extended(kind: bytes, content: bytes) -> bytes:
    return _header("x", len(content), kind) + content + bytes(-len(content) % 512)


END = bytes(1024)
HOSTILE = {
    "giant extended header": (_header("x", 2**33, b"x") + END, r"claims 8589934592 bytes"),
    "extended header beyond the end": (_header("x", 5000, b"x") + END, "beyond the end"),
    "extended header without member": (_extended(b"x", b"") + END, "has no member"),
    "record of no length": (_extended(b"x", b"0 path=a\n"), "header is corrupt"),
    "record without end": (_extended(b"x", b"99 path=a\n"), "header is corrupt"),
    "digits alone": (_extended(b"x", b"9" * 2**19), "header is corrupt"),
    "negative size": (_extended(b"x", b"11 size=-5\n"), "is not a size"),
    "size beyond the end": (
        _extended(b"x", b"17 size=99999999\n") + _header("a", 0, b"0") + END,
        "extends beyond the end",
    ),
    "escape by PAX": (_extended(b"x", b"16 path=../../a\n") + _header("a", 0, b"0"), "not allowed"),
    "escape by GNU": (_extended(b"L", b"/etc/passwd\0") + _header("a", 0, b"0"), "not allowed"),
    "one path for all": (_extended(b"g", b"10 path=a\n"), "for all members"),
    "sparse by PAX": (_extended(b"x", b"22 GNU.sparse.major=1\n"), "sparse"),
    "long name": (_extended(b"L", b"a" * 5000) + _header("a", 0, b"0"), "not allowed"),
    "tail": (_header("a", 0, b"0") + END + b"x", "data follows its end"),
    "long tail": (_header("a", 0, b"0") + bytes(2**21), "data follows its end"),
    "bad number": (_header("a", 0, b"0")[:124] + b"zzz" + bytes(600), "checksum"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_headers_are_refused(case: str) -> None:
    data, reason = HOSTILE[case]
    with pytest.raises(DataError, match=rf"x\.tar.*{reason}"):
        _read(data)


def test_a_chain_of_extended_headers_needs_no_stack_and_no_memory() -> None:
    data = _extended(b"L", b"b\0") * 3_000 + _header("a", 0, b"0") + END
    read = Guarded(data).read
    tracemalloc.start()
    try:
        assert list(files(read, len(data), "x.tar")) == [File("b", 1024 * 3_000 + 512, 0)]
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def _plain_tar() -> bytes:
    builder = TarBuilder()
    for key in ("a", "b", "c"):
        builder.add(key, b"image" * 50, {"n": key})
    return builder.finish()


PLAIN_TAR = _plain_tar()


@settings(max_examples=150)
@given(
    cut=st.integers(0, len(PLAIN_TAR)),
    place=st.integers(0, len(PLAIN_TAR) - 1),
    byte=st.integers(0, 255),
)
def test_corrupt_tars_are_refused_or_keep_all_samples(cut: int, place: int, byte: int) -> None:
    changed = bytearray(PLAIN_TAR)
    changed[place] = byte
    for data in (bytes(changed), PLAIN_TAR[:cut]):
        try:
            members = scan_tar(data, "x")
        except DataError:
            continue
        # A changed byte may change a name or an image, but no sample may be missing.
        assert len(members) == 3
        assert all(m.image_start + m.image_bytes <= len(data) for m in members)
