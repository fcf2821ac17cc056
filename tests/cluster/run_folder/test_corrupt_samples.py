"""The corrupt samples of a run: each is stored once, and every rank and every reader sees it."""

from pathlib import Path

import pytest

from cluster.run_folder.corrupt_samples import FOLDER, RunQuarantine, quarantined
from cluster.storage.local import LocalStore
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


def test_samples_of_a_data_set_that_moved_count_once(tmp_path: Path) -> None:
    """They are found again at the new place."""
    store = LocalStore(str(tmp_path))
    RunQuarantine(store).record(FIRST)
    moved = FIRST._replace(url="/mnt/data")
    assert RunQuarantine(store, {moved.url}).record(moved) == [moved]
    assert quarantined(store) == [moved, FIRST]


def test_an_object_that_cannot_be_read_is_named_and_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = LocalStore(str(tmp_path))
    RunQuarantine(store).record(FIRST)
    (entry,) = store.list(FOLDER)
    for name, text in {"x": b"{", "y": b"[1]", "copy": store.read(entry.name)}.items():
        store.write(f"{FOLDER}{name}.json", text)
    store.write(f"{FOLDER}._x", b"of a file manager")
    for _ in range(2):
        assert quarantined(store) == [FIRST]
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 3  # each once
    assert any("copy.json cannot be read and is left out (it is the record of" in s for s in said)
