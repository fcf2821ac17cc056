"""Attribute tables of image folders: CSV with a header, or JSONL with one object per line."""

import csv
import json
from pathlib import Path
from typing import Any

from ganinv.errors import ConfigError, DataError

_FILE_COLUMN = "file"

# Value of the column `file` → the other columns.
AttributeTable = dict[str, dict[str, Any]]


def read_attributes(path: Path) -> AttributeTable:
    """Read an attribute table. CSV fields that look like numbers become numbers.

    Raises `ConfigError` for a missing file or another file type, `DataError` for a corrupt file.
    """
    readers = {".csv": _read_csv, ".jsonl": _read_jsonl}
    read = readers.get(path.suffix.lower())
    if read is None or not path.is_file():
        raise ConfigError(
            f"data.attributes={path} is not an existing file ending in .csv or .jsonl; name one"
        )
    table: AttributeTable = {}
    for line, row in enumerate(read(path), start=1):
        name = row.pop(_FILE_COLUMN, None)
        if not isinstance(name, str) or not name or name in table:
            raise DataError(
                f"data.attributes={path}: row {line} has {name!r} in the column"
                f" {_FILE_COLUMN!r}; every row must name a different image file there"
            )
        table[name] = row
    return table


def _read_csv(path: Path) -> list[dict[str, Any]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file, strict=True))
    except (csv.Error, UnicodeDecodeError) as problem:
        raise DataError(f"data.attributes={path} is not CSV ({problem}); correct it") from problem
    for line, row in enumerate(rows, start=1):
        if None in row or None in row.values():
            raise DataError(
                f"data.attributes={path}: row {line} has another number of fields than the header;"
                " correct it"
            )
    return [
        {column: field if column == _FILE_COLUMN else _number(field) for column, field in r.items()}
        for r in rows
    ]


def _number(field: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(field)
        except ValueError:
            continue
    return field


def _read_jsonl(path: Path) -> list[dict[str, Any]]:
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            row = json.loads(line)
        except json.JSONDecodeError as problem:
            raise DataError(
                f"data.attributes={path}: line {number} is not JSON ({problem}); correct it"
            ) from problem
        if not isinstance(row, dict):
            raise DataError(
                f"data.attributes={path}: line {number} is not a JSON object; correct it"
            )
        rows.append(row)
    return rows
