"""`ganinv store`: what it prints, and what it must not print."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import botocore.session
import pytest
from botocore.utils import get_environ_proxies

from cluster.processes import Process
from cluster.seaweed import store as seaweed
from cluster.seaweed.private_files import write_private
from ganinv.errors import StorageError
from ganinv.places.names import find_endpoint
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

    variables = variables_after(output("env"), {})
    assert store.environment().items() <= variables.items()
    assert json.loads(output("env", "--json")) == store.environment()

    assert "stopped" in output("stop")
    assert json.loads(output("stop", "--json")) == {"stopped": False}
    assert json.loads(output("status", "--json")) == {"running": False, "directory": str(directory)}


@pytest.fixture
def recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> seaweed.ObjectStore:
    """A store that seems to run in `tmp_path`."""
    secret = {"AWS_ACCESS_KEY_ID": "KEY", "AWS_SECRET_ACCESS_KEY": 'a\'b $(c) "d"'}
    write_private(tmp_path / "credentials.json", secret)
    store = seaweed.ObjectStore(
        directory=tmp_path, process=Process.of(os.getpid()), ports={"s3": 8333}
    )
    monkeypatch.setattr(seaweed, "status", lambda _: store)
    return store


def variables_after(script: str, environment: dict[str, str]) -> dict[str, str]:
    """The environment of a shell that evaluates `script` first."""
    shell = subprocess.run(
        ["/bin/sh", "-c", f"{script}\n/usr/bin/env"],
        env=environment, check=True, capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    return dict(line.split("=", 1) for line in shell.stdout.splitlines())


def test_exports_survive_any_character(
    recorded: seaweed.ObjectStore, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["env"]) == 0
    found = variables_after(capsys.readouterr().out, {})
    assert recorded.environment().items() <= found.items()


INHERITED = dict.fromkeys(seaweed.OUTRANKING, "http://elsewhere") | {
    "AWS_PROFILE": "work",
    "AWS_CREDENTIAL_EXPIRATION": "2020-01-01T00:00:00Z",
    "AWS_USE_FIPS_ENDPOINT": "true",
    "AWS_ENDPOINT_URL": "http://elsewhere",
    "AWS_ACCESS_KEY_ID": "other",
    "https_proxy": "http://proxy:3128",
    "NO_PROXY": "corp.local",
}


def test_whatever_the_shell_inherited_s3_clients_find_the_store(
    recorded: seaweed.ObjectStore,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    monkeypatch.delenv("no_proxy", raising=False)
    for name, value in INHERITED.items():
        monkeypatch.setenv(name, value)
    assert main(["env"]) == 0
    shell = variables_after(capsys.readouterr().out, INHERITED)
    assert main(["env", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert {name for name, value in answer.items() if value is None} == {*seaweed.OUTRANKING}
    program = {**INHERITED, **answer}
    here = dict(INHERITED)
    recorded.enter(here)
    wanted = {name: value for name, value in program.items() if value is not None}
    assert here == wanted
    assert {name: shell[name] for name in wanted} == wanted
    for environment in (here, shell):
        monkeypatch.setattr(os, "environ", environment)
        session = botocore.session.Session()
        client = session.create_client("s3")
        assert client.meta.endpoint_url == recorded.endpoint_url
        credentials = session.get_credentials()
        assert (credentials.access_key, credentials.token) == ("KEY", None)
        assert find_endpoint(None).url == recorded.endpoint_url
        assert get_environ_proxies(recorded.endpoint_url) == {}


def test_an_ordinary_environment_gets_the_variables_of_the_store_alone(
    recorded: seaweed.ObjectStore,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in [*os.environ]:
        if name.startswith("AWS_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    assert main(["env", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == recorded.environment()


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
