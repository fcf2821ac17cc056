"""Files in the format of MNIST (IDX), plain or compressed by gzip.

    ganinv data build idx data.input=/usr/share/datasets/fashion-mnist data.url=runs/fashion32 \\
        data.resolution=32 data.resize=pad

`PREFIXimages-idx3-ubyte` holds greyscale images, `PREFIXlabels-idx1-ubyte` beside it their labels,
which become the attribute `label`; an idx may follow a dot instead of a hyphen, and `.gz` may
follow. `t10k` in a name says that the images are for tests, as do test, val and the like; see
`datasets.shards.splits`.

The format: http://yann.lecun.com/exdb/mnist/ (two zero bytes, type, number of dimensions, their
sizes as big-endian 32-bit integers, then the values).
"""

import gzip
import io
import math
import re
import struct
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple, TypeAlias

from datasets.inputs.left_out import LeftOut
from datasets.inputs.listing import other_files
from datasets.inputs.object_file import ObjectFile
from datasets.sources.base import BuildOptions, Inputs
from datasets.sources.containers import ContainerImage, ContainerSource
from datasets.sources.input_places import input_store
from ganinv.errors import ConfigError, DataError
from ganinv.places.walking import is_system_file
from ganinv.seams.stores import Entry, Store

_NAME = re.compile(r"(?P<prefix>.*)(?P<what>images|labels)[-.]idx(?P<dimensions>\d)-ubyte(\.gz)?")
_DIMENSIONS = {"images": 3, "labels": 1}
_BYTES = 0x08  # the type "unsigned byte"
_TEST = "t10k"
_BUFFER_BYTES = 2**20
_Readable: TypeAlias = "io.BufferedReader[ObjectFile] | gzip.GzipFile"
# What `gzip` raises for truncated and corrupt files.
_ERRORS = (gzip.BadGzipFile, zlib.error, EOFError)


class IdxFile(NamedTuple):
    """One file with a valid header and exactly as many values as that says."""

    store: Store
    entry: Entry
    sizes: tuple[int, ...]
    """Images, height and width; or the number of labels."""

    @property
    def header_bytes(self) -> int:
        return 4 + 4 * len(self.sizes)


class Pair:
    """A file of images and its file of labels, if there is one. Implements `Container`."""

    def __init__(self, name: str, images: IdxFile, labels: IdxFile | None) -> None:
        self.name = name
        files = [images] if labels is None else [images, labels]
        self.size_bytes = sum(file.entry.size_bytes for file in files)
        self.version = " ".join(file.entry.version for file in files)
        self.count = images.sizes[0]
        self._images = images
        self._labels = labels

    def images(self, wanted: Sequence[int]) -> Iterator[ContainerImage]:
        _, height, width = self._images.sizes
        head = f"P5 {width} {height} 255\n".encode()  # as PGM, which Pillow reads
        labels = self._labels and _values(self._labels)
        with _opened(self._images.store, self._images.entry) as file:
            for number in wanted:
                file.seek(self._images.header_bytes + number * height * width)
                attributes = {"label": labels[number]} if labels else {}
                yield ContainerImage(head + file.read(height * width), attributes)


def source(options: BuildOptions, inputs: Inputs) -> ContainerSource:
    """Reads all headers, and compressed files as a whole, so that nothing fails later.

    Raises `ConfigError` if there is no file of images, or two of one name; `DataError` for corrupt
    headers, truncated files, and labels that do not fit the images.
    """
    store = input_store(options, inputs, "the folder of IDX files")
    where = f"data.input={options.input}"
    found, left_out = _entries(store, where)
    advance = inputs.show_progress("reading IDX files")
    pairs = []
    for done, (prefix, entries) in enumerate(sorted(found.items()), start=1):
        if "images" in entries:
            pairs.append(_pair(store, prefix, entries))
            if "labels" not in entries:
                left_out.note("files of images without a file of labels", entries["images"].name)
        else:
            left_out.note("files of labels without a file of images", entries["labels"].name)
        advance(done, len(found), 0)
    if not pairs:
        others = f" but {left_out.line(names=True)}" if left_out else ""
        raise ConfigError(
            f"{where} holds no files such as train-images-idx3-ubyte or"
            f" t10k-images-idx3-ubyte.gz{others}; name another input"
        )
    return ContainerSource(
        pairs,
        options,
        where,
        facts={"source": "idx", "licence": "that of the images"},
        left_out=left_out,
    )


def _entries(store: Store, where: str) -> tuple[dict[str, dict[str, Entry]], LeftOut]:
    """Prefix → "images" and "labels"; everything else is noted."""
    found: dict[str, dict[str, Entry]] = {}
    left_out = LeftOut()
    for entry in store.list():
        if is_system_file(entry.name.rpartition("/")[2]):
            continue
        match = _NAME.fullmatch(entry.name)
        if match is None or int(match["dimensions"]) != _DIMENSIONS[match["what"]]:
            left_out.note(other_files(entry.name), entry.name)
            continue
        of_prefix = found.setdefault(match["prefix"], {})
        if other := of_prefix.get(match["what"]):
            raise ConfigError(
                f"{where}: {other.name} and {entry.name} are both the {match['what']} of"
                f" {match['prefix'] or 'one set'!r}; remove one of them"
            )
        of_prefix[match["what"]] = entry
    return found, left_out


def _pair(store: Store, prefix: str, entries: dict[str, Entry]) -> Pair:
    images = _checked(store, entries["images"], "images")
    labels = _checked(store, entries["labels"], "labels") if "labels" in entries else None
    if labels is not None and labels.sizes[0] != images.sizes[0]:
        raise DataError(
            f"{store.url}: {labels.entry.name} holds {labels.sizes[0]} labels, and"
            f" {images.entry.name} {images.sizes[0]} images; fetch both again"
        )
    name = prefix.rstrip("-._/") or "images"
    return Pair(f"test/{name}" if _TEST in name else name, images, labels)


def _checked(store: Store, entry: Entry, what: str) -> IdxFile:
    dimensions = _DIMENSIONS[what]
    with _opened(store, entry) as file:
        head = file.read(4 + 4 * dimensions)
        if len(head) < 4 + 4 * dimensions or head[:4] != bytes((0, 0, _BYTES, dimensions)):
            raise DataError(
                f"{store.url}: {entry.name} begins with {head[:4].hex(' ') or 'nothing'}, and a"
                f" file of {what} with 00 00 08 {dimensions:02x} and {dimensions} sizes; fetch it"
                " again, or take it out of the input"
            )
        sizes = struct.unpack(f">{dimensions}I", head[4:])
        if min(sizes) == 0:
            raise DataError(
                f"{store.url}: the header of {entry.name} has the sizes"
                f" {' × '.join(map(str, sizes))}; fetch it again, or take it out of the input"
            )
        length = _length(file) if entry.name.endswith(".gz") else entry.size_bytes
    expected = len(head) + math.prod(sizes)
    if length != expected:
        raise DataError(
            f"{store.url}: {entry.name} has {length} bytes, but its header says"
            f" {' × '.join(map(str, sizes))} values, which take {expected}; fetch it again"
        )
    return IdxFile(store, entry, sizes)


def _values(file: IdxFile) -> bytes:
    with _opened(file.store, file.entry) as opened:
        opened.seek(file.header_bytes)
        return opened.read()


def _length(file: _Readable) -> int:
    """Reads everything: a compressed file's own note of its length may be wrong."""
    while file.read(_BUFFER_BYTES):
        pass
    return file.tell()


@contextmanager
def _opened(store: Store, entry: Entry) -> Iterator[_Readable]:
    """The values behind the header begin at `IdxFile.header_bytes`, compressed or not."""
    with io.BufferedReader(ObjectFile(store, entry.name, entry.size_bytes), _BUFFER_BYTES) as raw:
        if not entry.name.endswith(".gz"):
            yield raw
            return
        with gzip.GzipFile(fileobj=raw, mode="rb") as file:
            try:
                yield file
            except _ERRORS as problem:
                raise DataError(
                    f"{store.url}: {entry.name} is no complete gzip file ({problem}); fetch it"
                    " again"
                ) from problem
