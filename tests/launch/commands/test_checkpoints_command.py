"""`ganinv checkpoints`: lists, verifies and prunes, and deletes nothing that is needed."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from cluster.run_folder import lease as leases
from ganinv.errors import StorageError, StorageUnavailableError
from ganinv.saved.checkpoints import choose
from ganinv.saved.format import folder
from ganinv.saved.manifest import committed_names
from ganinv.training.config import lay_out_batch
from launch.commands.checkpoints import main
from tests.support.clocks import Clock
from tests.support.made_runs import MadeRun, make_run
from tests.support.runs import train


@pytest.fixture
def made(tmp_path: Path) -> MadeRun:
    """A run with checkpoints at 16, 32 and 48 images."""
    run = make_run(tmp_path, 48)
    for images in (16, 32, 48):
        train(run.session, run.config.train, lay_out_batch(run.config.train, 1), images)
        run.save()
    return run


def asked(made: MadeRun, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, Any]:
    status = main([f"storage.run={made.config.storage.run}", "--json", *words])
    return status, json.loads(capsys.readouterr().out)


def flip(made: MadeRun, name: str) -> None:
    part = next(e.name for e in made.store.list(folder(name)) if "part" in e.name)
    content = bytearray(made.store.read(part))
    content[-1] ^= 1
    made.store.write(part, bytes(content))


def test_verifying_tells_whole_from_corrupt(
    made: MadeRun, capsys: pytest.CaptureFixture[str]
) -> None:
    status, answer = asked(made, capsys)
    assert status == 0
    assert [row["whole"] for row in answer["checkpoints"]] == [None, None]  # keep_last=2 in tests
    flip(made, answer["checkpoints"][0]["name"])
    status, answer = asked(made, capsys, "--verify")
    assert status == 3
    assert [row["whole"] for row in answer["checkpoints"]] == [False, True]
    assert "SHA-256 differs" in answer["checkpoints"][0]["problem"]
    assert main([f"storage.run={made.config.storage.run}", "--verify"]) == 3
    said = capsys.readouterr().out
    assert "whole" in said
    assert "corrupt: " in said


def test_pruning_keeps_the_newest_whole_one_and_clears_leftovers(
    made: MadeRun, capsys: pytest.CaptureFixture[str]
) -> None:
    older, newer = committed_names(made.store)
    flip(made, newer)
    for images in (1, 99):
        made.store.write(f"checkpoints/{images:012d}-0123abcd/part", b"half")
    broken = [f"{images:012d}-ffffffff" for images in (900, 901)]
    for name in broken:
        made.store.write(folder(name) + "manifest.json", b"corrupt")
    status, answer = asked(made, capsys, "--prune", "checkpoint.keep_last=2")
    assert status == 3
    assert answer["deleted"] == [newer]
    assert len(answer["deleted_leftovers"]) == 2
    assert committed_names(made.store) == [older, *broken]
    assert len(made.store.list(folder(newer))) == 0


def test_pruning_never_takes_a_copy_for_the_original(
    made: MadeRun, capsys: pytest.CaptureFixture[str]
) -> None:
    """The bytes of a copy would be compared in the original's folder, so the copy seemed whole."""
    original, newest = committed_names(made.store)
    copy = f"{40:012d}-00000000"
    shutil.copytree(Path(made.store.url, folder(original)), Path(made.store.url, folder(copy)))
    flip(made, newest)
    status, answer = asked(made, capsys, "--prune", "checkpoint.keep_last=2")
    assert status == 3
    assert answer["deleted"] == [newest]  # it is damaged
    assert committed_names(made.store) == [original, copy]
    (told,) = (row for row in answer["checkpoints"] if row["name"] == copy)
    assert told["whole"] is False
    assert f"rename the folder to {original}, or delete it if that folder exists" in told["problem"]
    chosen = choose(made.store)
    assert chosen is not None
    assert chosen[0].name == original


def test_an_outage_makes_no_checkpoint_corrupt(
    made: MadeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = made.store.list("checkpoints/")

    def unavailable(*_: object) -> bytes:
        raise StorageUnavailableError("does not answer")

    monkeypatch.setattr("ganinv.saved.checkpoints.read_object", unavailable)
    for switch in ("--verify", "--prune"):
        with pytest.raises(StorageUnavailableError):
            main([f"storage.run={made.config.storage.run}", switch])
    assert made.store.list("checkpoints/") == before


def test_nothing_is_pruned_if_nothing_is_whole_or_the_run_is_being_written(
    made: MadeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr(leases, "time", clock)
    words = [f"storage.run={made.config.storage.run}", "--prune"]
    before = made.store.list("checkpoints/")
    with leases.lease(made.store, 60, str) as held:
        clock.on_sleep = held.renew
        with pytest.raises(StorageError, match="is being written by process"):
            main(words)
    for name in committed_names(made.store):
        flip(made, name)
    with pytest.raises(StorageError, match="none of the 2 checkpoints"):
        main(words)
    assert made.store.list("checkpoints/") == before
