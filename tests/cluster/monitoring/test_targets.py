"""Targets files exist as long as their runs, however the runs end."""

import json
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from cluster.monitoring.targets import TargetsFile, remove_stale, targets_folder
from tests.support.commands import ROOT

GROUPS = [{"targets": ["127.0.0.1:1"], "labels": {"job": "ganinv"}}]


def listed(folder: Path) -> list[object]:
    return [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]


def test_files_of_live_runs_stay_and_those_of_ended_runs_go(tmp_path: Path) -> None:
    folder = tmp_path / "targets"
    with closing(TargetsFile(folder)) as one, closing(TargetsFile(folder)) as two:
        one.write(GROUPS)
        two.write([])
        two.write(GROUPS)
        remove_stale(folder)
        assert listed(folder) == [GROUPS, GROUPS]
        one.close()
        assert listed(folder) == [GROUPS]
    assert not list(folder.iterdir())
    assert folder.stat().st_mode & 0o077 == 0


def test_the_next_run_removes_the_file_of_a_killed_one(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys, pathlib\n"
        "from cluster.monitoring.targets import TargetsFile\n"
        f"TargetsFile(pathlib.Path({str(tmp_path)!r})).write({GROUPS!r})\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False)
    assert killed.returncode == -9
    assert listed(tmp_path) == [GROUPS]
    with closing(TargetsFile(tmp_path)):
        assert listed(tmp_path) == []


def test_the_folder_is_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert targets_folder() == tmp_path / "ganinv" / "targets"
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert targets_folder() == tmp_path / ".local" / "state" / "ganinv" / "targets"
