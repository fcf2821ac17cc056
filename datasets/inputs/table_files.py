"""Reading tables as people write them: CSV with a header, or JSONL with one object per line."""

import codecs
import csv
import io
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from datasets.shards.attributes import parse_json
from ganinv.errors import ConfigError, DataError

_DELIMITERS = ",;\t"  # the latter two are those of spreadsheets in many countries
# At most 18 digits: longer ones are identifiers, and many programs would round them.
_WHOLE = re.compile(r"-?(0|[1-9][0-9]{0,17})")
_FRACTION = re.compile(r"-?(?=.*[.eE])((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")
# Case is ignored. In a column of numbers, all of these mean that there is none.
_NOT_FINITE = frozenset(("nan", "-nan", "inf", "+inf", "-inf", "infinity", "-infinity"))
_MISSING = frozenset(("", "na", "n/a", "null", "none")) | _NOT_FINITE


class Row(NamedTuple):
    line: int
    """Number of its last line in the file, from 1 on."""
    values: dict[str, Any]


def read_rows(path: Path, where: str, name_columns: Sequence[str] = ()) -> list[Row]:
    """The rows of a table; `where` names it in messages.

    JSONL: blank lines are skipped, and NaN and infinite numbers become None. CSV: fields are
    separated by commas, semicolons or tabs, whichever the header has most of; blank rows and
    columns without a name are skipped. A column is of numbers only if all its fields are, so that
    00001 and 1_000 stay text; there, empty fields, `nan` and `inf` become None. `name_columns`: the
    first of these that there is, capitals ignored, is never of numbers.

    Raises `ConfigError` for a missing file or another file type, `DataError` for a corrupt file.
    """
    readers = {".csv": _read_csv, ".tsv": _read_csv, ".jsonl": _read_jsonl, ".ndjson": _read_jsonl}
    read = readers.get(path.suffix.lower())
    if read is None or not path.is_file():
        raise ConfigError(
            f"{where} is not an existing file ending in {', '.join(readers)}; name one"
        )
    rows = list(read(_text(path, where), where))
    if read is _read_csv:
        _convert_numbers(rows, name_columns)
    return rows


def _text(path: Path, where: str) -> str:
    data = path.read_bytes()
    spreadsheet = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = data.decode("utf-16" if spreadsheet else "utf-8-sig")
    except UnicodeDecodeError as problem:
        line = data.count(b"\n", 0, problem.start) + 1
        raise DataError(
            f"{where}: line {line} is not UTF-8 (byte 0x{data[problem.start]:02x}, perhaps Latin-1)"
            "; save the table as UTF-8, for example by iconv -f latin1 -t utf-8"
        ) from problem
    if "\0" in text:  # a spreadsheet, or UTF-16 without the mark that says so
        raise DataError(f"{where} is not a text; save the table as CSV in UTF-8")
    return text


def _read_csv(text: str, where: str) -> Iterator[Row]:
    header_line = text.lstrip("\r\n").partition("\n")[0]
    delimiter = max(_DELIMITERS, key=header_line.count)
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True, strict=True
    )
    columns: list[str] | None = None
    try:
        for fields in reader:
            if not any(field.strip() for field in fields):
                continue
            if columns is None:
                columns = _columns(fields, where)
                continue
            if len(fields) != len(columns):
                raise DataError(
                    f"{where}: line {reader.line_num} has {len(fields)} fields, the header has"
                    f" {len(columns)}; correct it (fields that hold {delimiter!r} need quotes)"
                )
            values = {name: field for name, field in zip(columns, fields, strict=True) if name}
            yield Row(reader.line_num, values)
    except csv.Error as problem:
        raise DataError(
            f"{where}: line {reader.line_num} is not CSV ({problem}); correct it"
        ) from problem


def _columns(fields: Sequence[str], where: str) -> list[str]:
    names = [field.strip() for field in fields]
    twice = next((name for name in names if name and names.count(name) > 1), None)
    if twice is not None:
        raise DataError(f"{where}: two columns are named {twice!r}; rename one")
    return names


def _read_jsonl(text: str, where: str) -> Iterator[Row]:
    # Only \n ends a line: `splitlines` would also split at U+2028 and others, inside of texts.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            values = parse_json(line)
        except ValueError as problem:
            raise DataError(
                f"{where}: line {number} is not JSON ({problem}); correct it"
            ) from problem
        if not isinstance(values, dict):
            raise DataError(f"{where}: line {number} is not a JSON object; correct it")
        yield Row(number, values)


def _convert_numbers(rows: Sequence[Row], name_columns: Sequence[str]) -> None:
    columns = list(rows[0].values) if rows else []
    name_column = find_column(columns, name_columns)
    for column in columns:
        fields = [row.values[column].strip() for row in rows]
        if column != name_column and _are_numbers(fields):
            for row, field in zip(rows, fields, strict=True):
                row.values[column] = _number(field)


def find_column(columns: Iterable[str], wanted: Sequence[str]) -> str | None:
    """The first of the columns `wanted`, in lower case, that there is; capitals are ignored."""
    found = {column.lower(): column for column in columns}
    return next((found[name] for name in wanted if name in found), None)


def _are_numbers(fields: Sequence[str]) -> bool:
    """Whether all fields are numbers or missing, and not all of them empty or the like."""
    filled = [field for field in fields if field.lower() not in _MISSING]
    if not filled:
        return any(field.lower() in _NOT_FINITE for field in fields)
    return all(_WHOLE.fullmatch(field) or _FRACTION.fullmatch(field) for field in filled)


def _number(field: str) -> int | float | None:
    if field.lower() in _MISSING:
        return None
    if _WHOLE.fullmatch(field):
        return int(field)
    number = float(field)
    return number if math.isfinite(number) else None
