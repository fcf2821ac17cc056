"""Real failures of storage, of every kind: training continues, and no whole checkpoint is lost."""

import logging
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import botocore.auth
import pytest

from cluster.checkpoints import saving
from cluster.config import CheckpointConfig
from cluster.seaweed.store import ObjectStore
from cluster.storage.opening import open_store
from ganinv.saved.checkpoints import choose
from ganinv.saved.manifest import committed_names
from ganinv.seams.stores import Store
from ganinv.training.config import lay_out_batch
from ganinv.training.session import Session
from tests.conftest import BUCKET
from tests.support.commands import wait_until
from tests.support.runs import TRAIN, train, train_locally
from tests.support.saves import Counts, save, saver_of
from tests.support.storage_owner import Bucket, Keys, small_disk

DEADLINE_S = 20.0
KEEP = CheckpointConfig(keep_last=3, trouble_limit_s=DEADLINE_S)  # keeps all checkpoints of a test


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """A failure of storage, from `begin` to `end`; the log names `says`: reason and remedy."""

    store: Store
    begin: Callable[[], object]
    end: Callable[[], object]
    says: tuple[str, str]
    takes_all: bool = False  # committed checkpoints are lost, too


@pytest.fixture
def bucket(object_store: ObjectStore, s3_environment: dict[str, str]) -> Bucket:
    bucket = Bucket(object_store, f"troubled-{uuid4().hex}")
    bucket.make()
    return bucket


@pytest.fixture
def bucket_gone(bucket: Bucket) -> Trouble:
    return Trouble(
        store=open_store(f"s3://{bucket.name}/run"),
        begin=bucket.remove,
        end=bucket.make,
        says=("NoSuchBucket", "create the bucket"),
        takes_all=True,
    )


@pytest.fixture
def read_only_bucket(bucket: Bucket) -> Trouble:
    return Trouble(
        store=open_store(f"s3://{bucket.name}/run"),
        begin=bucket.deny_writes,
        end=bucket.allow_writes,
        says=("AccessDenied", "credentials that may read, write"),
    )


@pytest.fixture
def wrong_clock(s3_store_url: str, monkeypatch: pytest.MonkeyPatch) -> Trouble:
    """Signatures as from a machine whose clock is 40 minutes fast."""
    right = botocore.auth.get_current_datetime

    def fast(*arguments: Any, **options: Any) -> Any:
        return right(*arguments, **options) + timedelta(minutes=40)

    return Trouble(
        store=open_store(s3_store_url),
        begin=lambda: monkeypatch.setattr(botocore.auth, "get_current_datetime", fast),
        end=lambda: monkeypatch.setattr(botocore.auth, "get_current_datetime", right),
        says=("RequestTimeTooSkewed", "set this machine's clock"),
    )


@pytest.fixture
def keys(
    object_store: ObjectStore, s3_store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Keys:
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    keys = Keys(object_store, BUCKET, tmp_path / "credentials")
    keys.issue()
    return keys


@pytest.fixture
def revoked_keys(keys: Keys, s3_store_url: str) -> Trouble:
    return Trouble(
        store=open_store(s3_store_url),
        begin=keys.revoke,
        end=keys.issue,
        says=("InvalidAccessKeyId", "set AWS_ACCESS_KEY_ID"),
    )


@pytest.fixture
def read_only_disk(tmp_path: Path) -> Iterator[Trouble]:
    with small_disk(tmp_path / "disk") as disk:

        def remount(how: str) -> None:
            subprocess.run(["mount", "-o", f"remount,{how}", disk], check=True)

        yield Trouble(
            store=open_store(str(disk / "run")),
            begin=lambda: remount("ro"),
            end=lambda: remount("rw"),
            says=("Read-only file system", "make the directory writable"),
        )


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Trouble]:
    with small_disk(tmp_path / "disk") as disk:
        filler = disk / "filler"

        def fill() -> None:
            filler.write_bytes(bytes(shutil.disk_usage(disk).free))

        yield Trouble(
            store=open_store(str(disk / "run")),
            begin=fill,
            end=filler.unlink,
            says=("No space left", "free space"),
        )


def train_on(session: Session, images: int) -> None:
    train(session, TRAIN, lay_out_batch(TRAIN, 1), images)


@pytest.mark.integration
@pytest.mark.parametrize(
    "kind",
    [
        "bucket_gone", "read_only_bucket", "wrong_clock", "revoked_keys",
        "read_only_disk", "full_disk",
    ],
)  # fmt: skip
def test_training_continues_and_whole_checkpoints_stay(
    kind: str,
    request: pytest.FixtureRequest,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(saving, "FIRST_PAUSE_S", 0.05)
    monkeypatch.setattr(saving, "MAX_PAUSE_S", 0.1)
    caplog.set_level(logging.INFO)
    trouble: Trouble = request.getfixturevalue(kind)
    session, counts = train_locally("dlsgan", 16), Counts()
    good = save(session, trouble.store)
    with saver_of(trouble.store, KEEP, counts) as saver:
        trouble.begin()
        for images in (32, 48, 64):
            train_on(session, images)
            saver.save(session)
        wait_until(lambda: counts.failures >= 3, DEADLINE_S, "three attempts")
        assert not counts.images
        trouble.end()
        saver.finish(session)
    assert not counts.given_up
    assert counts.images[-1] == 64
    said = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
    assert len(said) == 2, said
    assert all(words in said[0] for words in ("training continues", *trouble.says)), said[0]
    assert "again, after" in said[1]
    assert trouble.takes_all or good in committed_names(trouble.store)
    chosen = choose(trouble.store)  # compares every byte with its hash
    assert chosen is not None
    assert chosen[0].images_seen == 64


@pytest.mark.integration
def test_keys_that_are_replaced_in_time_cause_no_failure(keys: Keys, s3_store_url: str) -> None:
    store = open_store(s3_store_url)
    store.write("x", b"1")
    keys.issue()
    keys.revoke()
    assert store.read("x") == b"1"
    keys.issue()
    keys.revoke()
    store.write("x", bytes(40 * 10**6))  # in parts
    keys.issue()
    keys.revoke()
    store.write_if_absent("y", b"2")
    assert len(store.list()) == 2
