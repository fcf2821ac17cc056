"""Attribute tables of image folders: CSV with a header, or JSONL with one object a line."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ganinv.errors import ConfigError, DataError

_FILE_COLUMN = "file"

Rows = dict[str, dict[str, Any]]


def read_attributes(path: Path) -> Rows:
    """Attributes by what the column `file` names. CSV fields that read as numbers become such.

    Raises `ConfigError` for a missing or foreign file, `DataError` for a damaged one.
    """
    readers = {".csv": _read_csv, ".jsonl": _read_jsonl}
    read = readers.get(path.suffix.lower())
    if read is None or not path.is_file():
        raise ConfigError(
            f"data.attributes={path} is not an existing file ending in .csv or .jsonl; name one"
        )
    rows: Rows = {}
    for line, row in enumerate(read(path), start=1):
        name = row.pop(_FILE_COLUMN, None)
        if not isinstance(name, str) or not name or name in rows:
            raise DataError(
                f"data.attributes={path}: row {line} has {name!r} in the column"
                f" {_FILE_COLUMN!r}; every row must name another image file there"
            )
        rows[name] = row
    return rows


def match_attributes(rows: Rows, names: Sequence[str], path: Path) -> Rows:
    """Attributes by image path: a row names the whole path, or just the file's own name.

    Rows of other images are left aside; `DataError` if not a single one fits.
    """
    matched: Rows = {}
    for name in names:
        row = rows.get(name, rows.get(name.rpartition("/")[2]))
        if row is not None:
            matched[name] = row
    if not matched:
        example = next(iter(rows), "nothing")
        raise DataError(
            f"data.attributes={path}: no row fits an image; it names {example!r}, the folder"
            f" holds {names[0]!r}; write paths relative to the folder in {_FILE_COLUMN!r}"
        )
    return matched


def _read_csv(path: Path) -> list[dict[str, Any]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file, strict=True))
    except (csv.Error, UnicodeDecodeError) as problem:
        raise DataError(f"data.attributes={path} is no CSV ({problem}); mend it") from problem
    for line, row in enumerate(rows, start=1):
        if None in row or None in row.values():
            raise DataError(
                f"data.attributes={path}: row {line} has not as many fields as the header; mend it"
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
                f"data.attributes={path}: line {number} is no JSON ({problem}); mend it"
            ) from problem
        if not isinstance(row, dict):
            raise DataError(f"data.attributes={path}: line {number} is no JSON object; mend it")
        rows.append(row)
    return rows
