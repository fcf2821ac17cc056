"""`metrics.jsonl` beside a run: one JSON object a line, none twice, whatever happened in between.

Object stores cannot append, so the file is rewritten as a whole: at most every few seconds, and
always before a checkpoint is committed (`launch.wiring.worker`). A resumed run drops the lines
after its checkpoint, which it is about to write again.
"""

import json
import math
import time
from collections.abc import Mapping

from ganinv.errors import StorageError, StorageMissingError
from ganinv.seams.stores import Store

NAME = "metrics.jsonl"
FLUSH_EVERY_S = 10.0


class MetricsLog:
    """The rows of a run up to `images_seen`, and those to come. Rank 0 alone holds one."""

    def __init__(self, store: Store, images_seen: int) -> None:
        self._store = store
        self._lines = [
            json.dumps(finite_or_null(row))
            for row in read_rows(store)
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
    """JSON has no NaN: what is not finite becomes null."""
    return {key: value if math.isfinite(value) else None for key, value in row.items()}


def read_rows(store: Store) -> list[dict[str, float]]:
    """All rows, oldest first; values that were not finite are NaN. Empty if there is no file."""
    try:
        text = store.read(NAME).decode()
    except StorageMissingError:
        return []
    try:
        rows = [json.loads(line) for line in text.splitlines()]
        return [{k: math.nan if v is None else v for k, v in row.items()} for row in rows]
    except (ValueError, AttributeError) as error:
        raise StorageError(
            f"{store.url}/{NAME} is damaged ({error}); mend or delete it, it is no part of "
            "any checkpoint"
        ) from error
