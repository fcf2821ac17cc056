"""Attribute tables of image folders."""

from pathlib import Path
from typing import Any

from datasets.inputs.table_files import find_column, read_rows
from ganinv.errors import DataError

# Columns that name the image, in the order in which they are looked for; capitals are ignored. The
# others are those of Hugging Face's folders of images and of Kaggle's CelebA, and common ones.
NAME_COLUMNS = ("file", "file_name", "filename", "image_id", "image", "path")

# Name of the image → the other columns.
AttributeTable = dict[str, dict[str, Any]]


def read_attributes(path: Path) -> AttributeTable:
    """Read an attribute table, see `datasets.inputs.table_files`.

    Raises `ConfigError` for a missing file or another file type, `DataError` for a corrupt file.
    """
    where = f"data.attributes={path}"
    table: AttributeTable = {}
    for line, values in read_rows(path, where, NAME_COLUMNS):
        column = find_column(values, NAME_COLUMNS)
        if column is None:
            raise DataError(
                f"{where}: line {line} has the columns {', '.join(values)}, and none of"
                f" {', '.join(NAME_COLUMNS)}, which name the image file; rename one"
            )
        name = values.pop(column)
        if not isinstance(name, str) or not name.strip():
            raise DataError(
                f"{where}: line {line} has {name!r} in the column {column!r}; every row must name"
                " an image file there"
            )
        if name in table:
            raise DataError(f"{where}: line {line} names {name!r} a second time; remove one row")
        table[name] = values
    return table
