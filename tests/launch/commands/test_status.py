"""What `status` shows of a run, read from its storage only."""

import json
from pathlib import Path

import pytest

from cluster.run_folder.corrupt_samples import RunQuarantine
from cluster.run_folder.group_history import GroupRecord
from cluster.run_folder.group_log import GroupLog
from cluster.run_folder.metrics_log import MetricsLog
from cluster.storage.opening import open_store
from ganinv.seams.batches import BadSample
from launch.commands import status
from tests.support.made_runs import make_run


def said(run: str, capsys: pytest.CaptureFixture[str], *more: str) -> str:
    assert status.main([f"storage.run={run}", *more]) == 0
    return capsys.readouterr().out


def test_a_run_its_checkpoint_and_its_corrupt_samples(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run(tmp_path, 160).save()
    store = open_store(run)
    log = MetricsLog(store, 0)
    log.append({"images_seen": 32.0, "wall_time": 1.0, "loss/d": 1.5, "loss/g": float("nan")})
    log.flush()
    sample = BadSample(url="s3://b/data", shard="train/00000.tar", key="0007", reason="CRC-32")
    RunQuarantine(store).record(sample)
    lost = GroupRecord(
        number=0, launched=100.0, world_size=2, resumed_from=0, first_step=110.0, last_step=120.0,
        images_seen=96, steps_seconds=8.0, committed=80, ended=121.0, reason="hang",
    )  # fmt: skip
    present = GroupRecord(number=1, launched=121.0, world_size=1, resumed_from=80)
    groups = GroupLog(store)
    groups.close([lost, present])
    text = said(run, capsys)
    assert "restarts: 1 hang; 16 images trained again; goodput" in text
    assert "1 worker since " in text
    assert "32 images seen  loss/d 1.5" in text
    assert "newest of 1 checkpoints" in text
    assert "corrupt and replaced: 0007 in train/00000.tar (CRC-32)" in text
    found = json.loads(said(run, capsys, "--json"))
    assert found["metrics"]["loss/g"] is None  # JSON has no NaN
    assert (found["restarts"], found["lost_images"]) == ({"hang": 1}, 16)
    assert found["group"]["resumed_from"] == 80
    assert found["checkpoint"]["age_s"] > 0
    assert found["quarantined"] == [sample._asdict()]


def test_records_that_cannot_be_read_stop_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """A copy may have been interrupted, and a file manager may leave files of its own."""
    run = make_run(tmp_path, 64).save()
    store = open_store(run)
    store.write("metrics.jsonl", b'{"images_seen": 16, "loss/d": 1.5}\n{"images_seen": 3')
    for name in ("groups/000000-aa.json", "quarantine/00.json"):
        store.write(name, b"{")
    text = said(run, capsys)
    assert "16 images seen  loss/d 1.5" in text
    assert f"{run}/metrics.jsonl, line 2 cannot be read and is left out" in caplog.text
    for name in ("groups/000000-aa.json", "quarantine/00.json"):
        assert f"{run}/{name} cannot be read" in caplog.text


def test_a_folder_without_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "nothing has been trained" in said(str(tmp_path / "run"), capsys)
