"""`evaluations/` beside a run: one JSON object per evaluation, with all that its figures depend on.

An object each, so that a training run and an evaluation of its checkpoints can both write, and an
evaluation that is taken again under the same conditions replaces what it said before:

    IMAGES_SEEN-training-KEY.json   taken while training
    CHECKPOINT-KEY.json             taken of a checkpoint

KEY is a hash of the conditions: data, split, numbers of images, seed, feature networks.
"""

import hashlib
import json
import re
import time
from collections.abc import Mapping
from typing import Any

from cluster.run_folder.metrics_log import finite_or_null
from ganinv.errors import StorageError
from ganinv.seams.stores import Store

FOLDER = "evaluations/"
_IN_TRAINING = re.compile(rf"{FOLDER}(\d{{12}})-training-\w+\.json")


def write_record(store: Store, conditions: Mapping[str, Any], figures: Mapping[str, float]) -> str:
    """Keep an evaluation; returns the object's name.

    `conditions`: all that the figures depend on; `images_seen` and `checkpoint` (None while
    training) name the model.
    """
    key = hashlib.sha256(json.dumps(conditions, sort_keys=True).encode()).hexdigest()[:8]
    model = conditions["checkpoint"] or f"{conditions['images_seen']:012d}-training"
    name = f"{FOLDER}{model}-{key}.json"
    record = {**conditions, "recorded": time.time(), "figures": finite_or_null(figures)}
    store.write(name, (json.dumps(record, indent=1) + "\n").encode())
    return name


def read_records(store: Store) -> list[dict[str, Any]]:
    """All evaluations of a run, oldest model first. Raises `StorageError` for a damaged one."""
    records = []
    for entry in store.list(FOLDER):
        try:
            records.append(json.loads(store.read(entry.name)))
        except ValueError as error:
            raise StorageError(
                f"{store.url}/{entry.name} is damaged ({error}); delete it, and evaluate again"
            ) from error
    return records


def forget_after(store: Store, images_seen: int) -> None:
    """Drop what training recorded beyond the checkpoint that it goes on from."""
    names = [entry.name for entry in store.list(FOLDER)]
    matches = [match for name in names if (match := _IN_TRAINING.fullmatch(name))]
    store.delete([match[0] for match in matches if int(match[1]) > images_seen])
