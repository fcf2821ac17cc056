"""Images in a column of Parquet or Arrow files, as on the Hugging Face hub.

    ganinv data build parquet data.input=~/hub/data data.url=s3://bucket/faces64 \\
        data.resolution=64

The column holds encoded images: bytes, or a struct with the field `bytes`. All columns of numbers,
strings and booleans become attributes.
"""

import io
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet

from datasets.inputs.object_file import ObjectFile
from datasets.sources.base import BuildOptions, Inputs
from datasets.sources.containers import ContainerImage, ContainerSource
from datasets.sources.input_places import data_entries, input_store
from ganinv.errors import ConfigError, DataError
from ganinv.seams.stores import Entry, Store

_PARQUET, _ARROW = ".parquet", (".arrow", ".feather")
Opened: TypeAlias = (
    pyarrow.parquet.ParquetFile
    | pyarrow.ipc.RecordBatchFileReader
    | pyarrow.ipc.RecordBatchStreamReader
)
_ONLY_PATH = "the row holds only the path"
_BATCH_ROWS = 64
_BUFFER_BYTES = 2**20


def source(options: BuildOptions, inputs: Inputs) -> ContainerSource:
    """Raises `ConfigError` if files or image column are missing, `DataError` for corrupt files."""
    store = input_store(options, inputs, "the folder of tables")
    where = f"data.input={options.input}"
    found, left_out = data_entries(store, (_PARQUET, *_ARROW))
    if not found:
        others = f" but {left_out.line(names=True)}" if left_out else ""
        raise ConfigError(
            f"{where} holds no {_PARQUET}, {' or '.join(_ARROW)} files{others}; name another input"
        )
    advance = inputs.show_progress("reading file schemas")
    files = []
    for done, entry in enumerate(found, start=1):
        files.append(TableFile(store, entry, options.image_column))
        advance(done, len(found), 0)
    _refuse_paths(files, where)
    for column in files[0].ignored:
        left_out.note("columns that are neither images nor attributes", column)
    return ContainerSource(
        files,
        options,
        where,
        facts={
            "source": "parquet",
            "image_column": files[0].image_column,
            "licence": "that of the images",
        },
        left_out=left_out,
    )


def _refuse_paths(files: Sequence["TableFile"], where: str) -> None:
    """Raises `ConfigError` if the first image is only a path, as when images lie beside a table."""
    for file in files:
        for first in file.images([0] if file.count else []):
            if first.problem is not None and first.problem.startswith(_ONLY_PATH):
                raise ConfigError(
                    f"{where}: the column {file.image_column} of {file.name} does not hold images:"
                    f" {first.problem}; build the folder of these images by data build FOLDER, or"
                    " save the table with the images in it"
                )
            return


class TableFile:
    """A Parquet or Arrow file in a store. Implements `Container`."""

    def __init__(self, store: Store, entry: Entry, image_column: str | None) -> None:
        """`image_column`: None for the only column that can hold images."""
        self.name = name = entry.name
        self.size_bytes = entry.size_bytes
        self.version = entry.version
        self._store = store
        with _reading(store, name, entry.size_bytes) as file:
            opened = _open(file, name)
            schema = opened.schema_arrow if _is_parquet(opened) else opened.schema
            if _is_parquet(opened):
                self.count = int(opened.metadata.num_rows)
            else:
                self.count = sum(batch.num_rows for batch in _record_batches(opened))
        self.image_column = _choose(schema, image_column, name)
        self._attributes = [field.name for field in schema if _is_plain(field.type)]
        self.ignored = sorted({*schema.names} - {self.image_column, *self._attributes})

    def images(self, wanted: Sequence[int]) -> Iterator[ContainerImage]:
        if not wanted:
            return
        with _reading(self._store, self.name, self.size_bytes) as file:
            rest = iter(wanted)
            number = next(rest)
            for start, batch in self._batches(_open(file, self.name), number):
                while number < start + batch.num_rows:
                    yield self._image(batch, number - start)
                    following = next(rest, None)
                    if following is None:
                        return
                    number = following

    def _image(self, batch: pa.RecordBatch, row: int) -> ContainerImage:
        found = batch.column(self.image_column)[row].as_py()
        attributes = {name: self._attribute(batch, name, row) for name in self._attributes}
        image = found.get("bytes") if isinstance(found, dict) else found
        if image:
            return ContainerImage(image, attributes)
        path = found.get("path") if isinstance(found, dict) else None
        problem = f"{_ONLY_PATH} {path!r}" if path else "the row holds no image"
        return ContainerImage(b"", attributes, problem)

    def _attribute(self, batch: pa.RecordBatch, column: str, row: int) -> Any:
        try:
            return _json(batch.column(column)[row].as_py())
        except UnicodeDecodeError as problem:
            raise DataError(
                f"{self.name}: the column {column!r} holds {problem.object!r}, which is not UTF-8;"
                " write the file again with UTF-8, or without that column"
            ) from problem

    def _batches(self, opened: Opened, first: int) -> Iterator[tuple[int, pa.RecordBatch]]:
        """Number of the first row, and rows, of each batch; begins with the batch of `first`."""
        start = 0
        if not _is_parquet(opened):
            for batch in _record_batches(opened):
                yield start, batch
                start += batch.num_rows
            return
        columns = [self.image_column, *self._attributes]
        for group in range(opened.num_row_groups):
            rows = opened.metadata.row_group(group).num_rows
            if first < start + rows:
                row = start
                for batch in opened.iter_batches(_BATCH_ROWS, row_groups=[group], columns=columns):
                    yield row, batch
                    row += batch.num_rows
            start += rows


def _open(file: io.BufferedIOBase, name: str) -> Opened:
    """Open a file by its ending. Arrow files exist with a footer (file) and without (stream)."""
    if name.lower().endswith(_PARQUET):
        return pyarrow.parquet.ParquetFile(file)
    try:
        return pyarrow.ipc.open_file(file)
    except pa.ArrowInvalid:
        file.seek(0)
        return pyarrow.ipc.open_stream(file)


def _is_parquet(opened: Opened) -> bool:
    return isinstance(opened, pyarrow.parquet.ParquetFile)


def _record_batches(opened: Opened) -> Iterator[pa.RecordBatch]:
    if isinstance(opened, pyarrow.ipc.RecordBatchFileReader):
        return (opened.get_batch(i) for i in range(opened.num_record_batches))
    return iter(opened)


def _choose(schema: pa.Schema, wanted: str | None, name: str) -> str:
    """The image column: `wanted`, or the only column that can hold images.

    Raises `ConfigError` if there is no such column, or more than one.
    """
    possible: list[str] = [field.name for field in schema if _is_images(field.type)]
    if wanted is not None and wanted in possible:
        return wanted
    if wanted is None and len(possible) == 1:
        return possible[0]
    paths = (
        "; if a column holds paths of images, build their folder by data build FOLDER"
        if not possible and any(pa.types.is_string(field.type) for field in schema)
        else ""
    )
    raise ConfigError(
        f"data.image_column={wanted}: {name} has the columns {', '.join(schema.names)}, of which"
        f" {', '.join(possible) or 'none'} can hold images (bytes, or a struct with bytes);"
        f" name one{paths}"
    )


def _is_images(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        return any(f.name == "bytes" and _is_images(f.type) for f in kind)
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _is_plain(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    tests = (pa.types.is_boolean, pa.types.is_integer, pa.types.is_floating)
    texts = (pa.types.is_string, pa.types.is_large_string)
    return any(test(kind) for test in (*tests, *texts))


def _json(value: Any) -> Any:
    """A value for JSON, where NaN and infinities become null."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


@contextmanager
def _reading(store: Store, name: str, size_bytes: int) -> Iterator[io.BufferedIOBase]:
    """The object as a Python file. Arrow's errors become `DataError`."""
    try:
        with io.BufferedReader(ObjectFile(store, name, size_bytes), _BUFFER_BYTES) as file:
            yield file
    except pa.ArrowException as problem:
        reason = (str(problem).splitlines() or [type(problem).__name__])[0]
        raise DataError(
            f"{store.url}: {name} cannot be read ({reason}); fetch it again"
        ) from problem
