"""The doctor reports every problem, and its exit status is that of the first problem."""

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from ganinv.errors import ClusterError, StorageError
from launch.commands import doctor


def test_every_check_runs_and_the_first_problem_sets_the_status() -> None:
    def trouble(error: Exception) -> str:
        raise error

    text = io.StringIO()
    checks = [
        ("one", lambda: "fine [x]"),
        ("two", lambda: trouble(StorageError("gone; put it back"))),
        ("three", lambda: trouble(ClusterError("lost"))),
    ]
    findings = list(doctor.examine(checks, Console(file=text)))
    assert [finding.status for finding in findings] == [0, 3, 5]
    said = text.getvalue().splitlines()
    assert said == ["✓ one: fine [x]", "✗ two: gone; put it back", "✗ three: lost"]


def test_an_unexpected_error_keeps_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError):
        list(doctor.examine([("one", lambda: str(1 / 0))], Console(file=io.StringIO())))


def test_this_machine_with_storage_and_without_data(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cluster.machines.machine.OPEN_FILES", 1)
    monkeypatch.setattr("cluster.machines.machine.DISK_BYTES", 1)
    words = [f"storage.run={tmp_path}/run", f"data.url={tmp_path}/none", "--json"]
    assert doctor.main(words) == 3
    answer = json.loads(capsys.readouterr().out)
    states = {row["topic"]: row["status"] for row in answer["findings"]}
    assert states.pop("data") == 3
    assert {"this machine", "packages", "checkout", "Ray", "Prometheus", "storage"} == states.keys()
    assert not any(states.values())
