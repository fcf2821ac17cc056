"""`metrics.jsonl` in a run's folder: one JSON object per line, and no line twice after a restart.

Object stores cannot append, so the whole file is rewritten: at most every few seconds, and always
before a checkpoint is committed (`launch.wiring.worker`). A resumed run drops the lines after its
checkpoint, because it writes them again.
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
    """The rows of a run up to `images_seen`, and new rows. Only rank 0 has a log."""

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
    """Replace non-finite values by None, because JSON has no NaN."""
    return {key: value if math.isfinite(value) else None for key, value in row.items()}


def read_rows(store: Store) -> list[dict[str, float]]:
    """All rows, oldest first; non-finite values are NaN. Empty without a file.

    Raises `StorageError` for a corrupt file.
    """
    try:
        text = store.read(NAME).decode()
    except StorageMissingError:
        return []
    try:
        rows = [json.loads(line) for line in text.splitlines()]
        return [{k: math.nan if v is None else v for k, v in row.items()} for row in rows]
    except (ValueError, AttributeError) as error:
        raise StorageError(
            f"{store.url}/{NAME} is corrupt ({error}); repair or delete it, checkpoints do "
            "not need it"
        ) from error
