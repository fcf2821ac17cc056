"""`evaluations/` in a run's folder: one JSON object per evaluation, with figures and conditions.

A training run and an evaluation of its checkpoints can write at the same time, because each
evaluation is an object of its own. A repeated evaluation under equal conditions replaces the first:

    IMAGES_SEEN-training-KEY.json   an evaluation during training
    CHECKPOINT-KEY.json             an evaluation of a checkpoint

KEY is a hash of the conditions: data, split, numbers of images, seed, feature networks.
"""

import hashlib
import json
import re
import time
from collections.abc import Mapping
from typing import Any

from cluster.run_folder.metrics_log import finite_or_null
from cluster.run_folder.unreadable import leave_out
from ganinv.errors import StorageMissingError
from ganinv.seams.stores import Store

FOLDER = "evaluations/"
KEYS = {"checkpoint", "images_seen", "recorded", "figures"}  # of every record
_IN_TRAINING = re.compile(rf"{FOLDER}(\d{{12}})-training-\w+\.json")


def write_record(store: Store, conditions: Mapping[str, Any], figures: Mapping[str, float]) -> str:
    """Store an evaluation; returns the object's name.

    `conditions`: everything that the figures depend on. `images_seen` and `checkpoint` (None during
    training) name the model.
    """
    key = hashlib.sha256(json.dumps(conditions, sort_keys=True).encode()).hexdigest()[:8]
    name = f"{FOLDER}{_model(conditions)}-{key}.json"
    record = {**conditions, "recorded": time.time(), "figures": finite_or_null(figures)}
    store.write(name, (json.dumps(record, indent=1) + "\n").encode())
    return name


def read_records(store: Store) -> list[dict[str, Any]]:
    """All evaluations of a run, oldest model first. The log names records that cannot be read."""
    records = []
    for entry in store.list(FOLDER):
        if not entry.name.endswith(".json"):
            continue
        try:
            records.append(_record_of(entry.name, store.read(entry.name)))
        except StorageMissingError:
            continue  # deleted since it was listed
        except ValueError as error:
            leave_out(f"{store.url}/{entry.name}", error)
    return records


def _record_of(name: str, text: bytes) -> dict[str, Any]:
    """Raises `ValueError` if the object is not the record of an evaluation, or of another model."""
    record = json.loads(text)
    if not isinstance(record, dict) or not record.keys() >= KEYS:
        raise ValueError("it is not the record of an evaluation")
    if not name.startswith(f"{FOLDER}{_model(record)}-"):
        raise ValueError(f"it is an evaluation of {_model(record)}")
    return record


def _model(record: Mapping[str, Any]) -> str:
    """The model in an object's name: a checkpoint, or the images seen in training."""
    return record["checkpoint"] or f"{record['images_seen']:012d}-training"


def forget_after(store: Store, images_seen: int) -> None:
    """Delete evaluations that training took after `images_seen`, where the run resumes."""
    names = [entry.name for entry in store.list(FOLDER)]
    matches = [match for name in names if (match := _IN_TRAINING.fullmatch(name))]
    store.delete([match[0] for match in matches if int(match[1]) > images_seen])
