"""`metrics.jsonl` in a run's folder: one JSON object per line, and no line twice after a restart.

Object stores cannot append, so the whole file is rewritten: at most every few seconds, and always
before a checkpoint is committed (`launch.wiring.worker`). A resumed run drops the lines after its
checkpoint, because it writes them again.
"""

import json
import math
import time
from collections.abc import Mapping
from typing import NamedTuple

from cluster.run_folder.unreadable import leave_out
from ganinv.errors import StorageContentError, StorageMissingError
from ganinv.seams.stores import Reader, Store

NAME = "metrics.jsonl"
FLUSH_EVERY_S = 10.0


class MetricsLog:
    """The rows of a run up to `images_seen`, and new rows. Only rank 0 has a log."""

    def __init__(self, store: Store, images_seen: int) -> None:
        self._store = store
        self._lines = [
            json.dumps(finite_or_null(row))
            for row in rows_to_continue(store)
            if row["images_seen"] <= images_seen
        ]
        self._flushed = time.monotonic()
        self._dirty = False

    def append(self, row: Mapping[str, float]) -> None:
        self._lines.append(json.dumps(finite_or_null(row)))
        self._dirty = True
        if time.monotonic() - self._flushed >= FLUSH_EVERY_S:
            self.flush()

    def flush(self) -> None:
        if self._dirty:
            self._store.write(NAME, "".join(line + "\n" for line in self._lines).encode())
            self._dirty = False
            self._flushed = time.monotonic()


def finite_or_null(row: Mapping[str, float]) -> dict[str, float | None]:
    """Replace non-finite values by None, because JSON has no NaN."""
    return {key: value if math.isfinite(value) else None for key, value in row.items()}


class BadLine(NamedTuple):
    """A line that is no row: its place, which is the file and the line's number, and why."""

    place: str
    reason: str


def read_rows(store: Reader) -> list[dict[str, float]]:
    """All rows that can be read, oldest first; non-finite values are NaN. Empty without a file.

    The log names each line that cannot be read.
    """
    rows, bad, _ = _parse(store)
    for line in bad:
        leave_out(*line)
    return rows


def rows_to_continue(store: Reader) -> list[dict[str, float]]:
    """The rows of a run that will write further ones, and so writes the whole file anew.

    A torn last line is left out, because nothing can be lost with it that is still there. Raises
    `StorageContentError` for any other line that cannot be read: a person may be able to repair it.
    """
    rows, bad, last_is_bad = _parse(store)
    if last_is_bad:
        leave_out(*bad.pop())
    if bad:
        more = f", and {len(bad) - 1} more lines" if len(bad) > 1 else ""
        raise StorageContentError(
            f"{bad[0].place} cannot be read ({bad[0].reason}){more}; repair or delete these lines, "
            "or delete the file: checkpoints do not need it"
        )
    return rows


def _parse(store: Reader) -> tuple[list[dict[str, float]], list[BadLine], bool]:
    """The rows, the lines that are none, and whether the last line is such a line."""
    try:
        lines = store.read(NAME).split(b"\n")
    except StorageMissingError:
        return [], [], False
    rows, bad, last_is_bad = [], [], False
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            rows.append(_row(line))
        except ValueError as error:
            bad.append(BadLine(f"{store.url}/{NAME}, line {number}", str(error)))
            last_is_bad = True
        else:
            last_is_bad = False
    return rows, bad, last_is_bad


def _row(line: bytes) -> dict[str, float]:
    """Raises `ValueError` if the line is no row."""
    row = json.loads(line)
    if not isinstance(row, dict) or not isinstance(row.get("images_seen"), int | float):
        raise ValueError("it is no object with a number 'images_seen'")
    for key, value in row.items():
        if not isinstance(value, int | float | None):
            raise ValueError(f"{key!r} is not a number: {value!r}")
    return {key: math.nan if value is None else value for key, value in row.items()}
