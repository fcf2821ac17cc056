"""`ganinv store`: what it prints, and what it must not print."""

import json
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.seaweed import store as seaweed
from ganinv.errors import StorageError
from launch.commands.store import main


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    """With a space, to test quoting."""
    yield tmp_path / "a store"
    seaweed.stop(tmp_path / "a store")


@pytest.mark.integration
def test_the_life_of_a_store(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = ["--directory", str(directory)]

    def output(*argv: str) -> str:
        assert main([*argv, *where]) == 0
        return capsys.readouterr().out

    started = output("start", "--bucket", "one", "--bucket", "two")
    store = seaweed.status(directory)
    assert store is not None
    secret = store.environment()["AWS_SECRET_ACCESS_KEY"]
    expected = {
        "running": True,
        "directory": str(directory),
        "endpoint": store.endpoint_url,
        "pid": store.process.pid,
    }
    for text in (started, output("status")):
        assert all(str(value) in text for key, value in expected.items() if key != "running")
        assert secret not in text
    assert json.loads(output("status", "--json")) == expected
    assert json.loads(output("start", "--json")) == expected

    script = output("env") + "env"
    shell = subprocess.run(
        ["sh", "-c", script], env={}, check=True, capture_output=True, text=True, timeout=30
    )
    variables = dict(line.split("=", 1) for line in shell.stdout.splitlines())
    assert store.environment().items() <= variables.items()
    assert json.loads(output("env", "--json")) == store.environment()

    assert "stopped" in output("stop")
    assert json.loads(output("stop", "--json")) == {"stopped": False}
    assert json.loads(output("status", "--json")) == {"running": False, "directory": str(directory)}


def test_exports_survive_any_character(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Odd:
        def environment(self) -> dict[str, str]:
            return {"AWS_SECRET_ACCESS_KEY": 'a\'b $(c) "d"'}

    monkeypatch.setattr(seaweed, "status", lambda _: Odd())
    assert main(["env", "--directory", str(tmp_path)]) == 0
    word = shlex.split(capsys.readouterr().out)[1]
    assert word == 'AWS_SECRET_ACCESS_KEY=a\'b $(c) "d"'


def test_no_environment_without_a_store(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"no object store runs.*ganinv store start"):
        main(["env", "--directory", str(tmp_path)])


@pytest.mark.parametrize("argv", [[], ["begin"], ["stop", "--bucket", "x"]])
def test_wrong_options_end_with_status_2(argv: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(argv)
    assert caught.value.code == 2


def test_help_shows_examples(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    assert 'eval "$(ganinv store env)"' in capsys.readouterr().out
