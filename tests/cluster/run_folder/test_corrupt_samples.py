"""The corrupt samples of a run: each is stored once, and every rank and every reader sees it."""

from pathlib import Path

import pytest

from cluster.run_folder.corrupt_samples import FOLDER, RunQuarantine, quarantined
from cluster.storage.local import LocalStore
from ganinv.errors import StorageError
from ganinv.seams.batches import BadSample

FIRST = BadSample("s3://b/data", "train/00000.tar", "face/1", "cannot be decoded")
SECOND = BadSample("s3://b/data", "train/00001.tar", "ünï\0", "other bytes")


def test_every_rank_sees_the_samples_that_any_rank_found(tmp_path: Path) -> None:
    store = LocalStore(str(tmp_path))
    one, other = RunQuarantine(store), RunQuarantine(store)
    assert quarantined(store) == []
    assert one.record(FIRST) == [FIRST]
    assert other.record(SECOND) == [FIRST, SECOND]
    assert one.record(FIRST._replace(reason="found again")) == [FIRST, SECOND]
    assert quarantined(store) == [FIRST, SECOND]
    store.delete([entry.name for entry in store.list(FOLDER)])
    assert one.record(SECOND) == [SECOND]


def test_a_corrupt_object_is_named(tmp_path: Path) -> None:
    store = LocalStore(str(tmp_path))
    store.write(f"{FOLDER}x.json", b"{")
    with pytest.raises(StorageError, match=r"quarantine/x\.json is corrupt"):
        quarantined(store)
