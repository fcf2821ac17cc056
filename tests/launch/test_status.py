"""What `status` says of a run, from its storage alone."""

import json
from pathlib import Path

import pytest

from cluster.metrics_log import MetricsLog
from cluster.quarantine import RunQuarantine
from cluster.storage import open_store
from ganinv.seams import BadSample
from launch import status
from tests.support.made_runs import make_run


def said(run: str, capsys: pytest.CaptureFixture[str], *more: str) -> str:
    assert status.main([f"storage.run={run}", *more]) == 0
    return capsys.readouterr().out


def test_a_run_its_checkpoint_and_its_damaged_samples(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run(tmp_path, 160).save()
    store = open_store(run)
    log = MetricsLog(store, 0)
    log.append({"images_seen": 32.0, "wall_time": 1.0, "loss/d": 1.5, "loss/g": float("nan")})
    log.flush()
    sample = BadSample(url="s3://b/data", shard="train/00000.tar", key="0007", reason="CRC-32")
    RunQuarantine(store).record(sample)
    text = said(run, capsys)
    assert "32 images seen  loss/d 1.5" in text
    assert "newest of 1 checkpoints" in text
    assert "damaged and replaced: 0007 in train/00000.tar (CRC-32)" in text
    found = json.loads(said(run, capsys, "--json"))
    assert found["metrics"]["loss/g"] is None  # JSON has no NaN
    assert found["quarantined"] == [sample._asdict()]


def test_a_place_where_nothing_was_trained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "nothing was trained" in said(str(tmp_path / "run"), capsys)
