"""A checkpoint is the folder that its manifest names: copies and renamed folders are not loaded."""

import shutil
from pathlib import Path

import pytest

from cluster.config import CheckpointConfig
from cluster.storage.local import LocalStore
from cluster.storage.opening import open_store
from ganinv.errors import StorageContentError, StorageError, StorageUnavailableError
from ganinv.saved import checkpoints
from ganinv.saved.checkpoints import choose, choose_named, everything
from ganinv.saved.format import folder, manifest_of
from ganinv.saved.manifest import committed_names, manifests_newest_first, read_manifest
from ganinv.saved.starting import newest_name
from ganinv.seams.stores import Store
from ganinv.training.config import lay_out_batch
from tests.support.runs import TRAIN, train, train_locally
from tests.support.saves import save

COPY = f"{64:012d}-00000000"
KEEP = CheckpointConfig(keep_last=9)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with checkpoints at 16 and 32 images."""
    place = tmp_path_factory.mktemp("saved")
    session = train_locally("dlsgan", 16)
    save(session, open_store(str(place)), KEEP)
    train(session, TRAIN, lay_out_batch(TRAIN, 1), 32)
    save(session, open_store(str(place)), KEEP)
    return place


@pytest.fixture
def run(saved: Path, tmp_path: Path) -> Store:
    """That run, with a copy of its older checkpoint under a newer name."""
    shutil.copytree(saved, tmp_path, dirs_exist_ok=True)
    store = open_store(str(tmp_path))
    shutil.copytree(tmp_path / folder(committed_names(store)[0]), tmp_path / folder(COPY))
    return store


def test_a_copy_under_another_name_is_never_the_newest(
    run: Store, caplog: pytest.LogCaptureFixture
) -> None:
    original, newest, _ = committed_names(run)
    chosen = choose(run)
    assert chosen is not None
    assert chosen[0].name == newest
    assert [manifest.name for manifest in manifests_newest_first(run)] == [newest, original]
    assert newest_name(run) == newest  # for `start.run`
    assert f"{COPY}/manifest.json is the manifest of checkpoint {original}" in caplog.text


def test_a_copy_cannot_be_named(run: Store) -> None:
    original = committed_names(run)[0]
    for read in (read_manifest, lambda store, name: choose_named(store, name, everything)):
        with pytest.raises(StorageContentError, match=f"{COPY}.* checkpoint {original}.* rename"):
            read(run, COPY)


def test_a_run_of_renamed_checkpoints_is_not_taken_for_a_new_one(run: Store) -> None:
    for name in committed_names(run)[:2]:
        shutil.rmtree(Path(run.url) / folder(name))
    with pytest.raises(StorageContentError, match="is the manifest of checkpoint"):
        choose(run)


def test_retention_neither_counts_nor_deletes_a_copy(run: Store) -> None:
    names = committed_names(run)
    session = train_locally("dlsgan", 48)
    newest = save(session, run, CheckpointConfig(keep_last=2))
    assert committed_names(run) == sorted([names[1], newest, COPY])


def test_an_outage_never_leads_to_an_older_checkpoint(
    saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Images would be lost although every checkpoint is whole."""
    store = open_store(str(saved))
    newest = committed_names(store)[-1]
    read, down = LocalStore.read, manifest_of(newest)

    def unavailable(self: LocalStore, name: str) -> bytes:
        if name == down:
            raise StorageUnavailableError("does not answer")
        return read(self, name)

    monkeypatch.setattr(LocalStore, "read", unavailable)
    with pytest.raises(StorageUnavailableError):
        choose(store)
    down = next(e.name for e in store.list(folder(newest)) if "part" in e.name)
    with pytest.raises(StorageUnavailableError):
        choose(store)


@pytest.mark.parametrize("refused", [False, True])
def test_only_content_makes_a_run_hopeless(
    saved: Path, monkeypatch: pytest.MonkeyPatch, refused: bool
) -> None:
    def fail(*_: object) -> bytes:
        raise StorageError("access denied") if refused else StorageContentError("corrupt")

    monkeypatch.setattr(checkpoints, "read_object", fail)
    with pytest.raises(StorageError, match="none of the 2 checkpoints") as raised:
        choose(open_store(str(saved)))
    assert isinstance(raised.value, StorageContentError) is not refused
