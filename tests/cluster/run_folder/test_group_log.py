"""Group records in storage: complete when the driver has ended, and never blocking before."""

from dataclasses import replace
from pathlib import Path

import pytest

from cluster.run_folder.group_history import GroupRecord
from cluster.run_folder.group_log import FOLDER, GroupLog, read_groups
from cluster.storage.opening import open_store
from ganinv.errors import StorageError
from ganinv.seams.stores import Store
from tests.support.harassed import Harassed

FIRST = GroupRecord(number=0, launched=5.0, world_size=2)


def test_two_drivers_one_after_the_other(store: Store) -> None:
    log = GroupLog(store)
    assert log.first_number == 0
    ended = replace(FIRST, resumed_from=0, ended=9.0, reason="failure", detail="rank 1 died")
    second = replace(FIRST, number=1, launched=9.0)
    log.keep([FIRST])
    log.keep([ended, second])
    log.close([ended, second])
    assert read_groups(store) == [ended, second]
    other = GroupLog(store)
    assert other.first_number == 2
    third = replace(FIRST, number=2, launched=20.0)
    other.close([third])
    assert read_groups(store) == [ended, second, third]


def test_an_unchanged_record_is_not_written_again(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    log = GroupLog(store)
    log.close([FIRST])
    (entry,) = store.list(FOLDER)
    store.delete([entry.name])
    log = GroupLog(store)
    log.keep([FIRST])
    log.close([FIRST])
    (entry,) = store.list(FOLDER)
    store.delete([entry.name])
    log.close([FIRST])
    assert store.list(FOLDER) == []


def test_an_outage_blocks_nobody_and_loses_nothing(tmp_path: Path) -> None:
    """`keep` returns while the write of the record is still under way."""
    stored = Harassed(open_store(str(tmp_path)))
    stored.gate.clear()
    log = GroupLog(stored)  # type: ignore[arg-type]  # by __getattr__
    log.keep([FIRST])
    assert stored.reached.wait(60)
    assert read_groups(stored.store) == []
    failures = iter([StorageError("away")])
    stored.fault = lambda _: next(failures, None)
    stored.gate.set()
    second = replace(FIRST, number=1)
    log.close([FIRST, second])
    assert read_groups(stored.store) == [FIRST, second]


@pytest.mark.parametrize("text", ["{", "[]", '{"number": 7}', '{"number": "7"}', "copy"])
def test_a_record_that_cannot_be_read_is_named_and_left_out(
    tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    store = open_store(str(tmp_path))
    GroupLog(store).close([FIRST])
    (entry,) = store.list(FOLDER)
    content = store.read(entry.name) if text == "copy" else text.encode()
    store.write(f"{FOLDER}000007-aa.json", content)
    store.write(f"{FOLDER}._000007-aa.json", b"of a file manager")
    assert read_groups(store) == [FIRST]
    assert "groups/000007-aa.json cannot be read and is left out" in caplog.text
    assert GroupLog(store).first_number == 8  # its number is taken
