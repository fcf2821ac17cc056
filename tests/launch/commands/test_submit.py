"""Jobs on a cluster: options, secrets and exit statuses; then a real head with a token."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import requests

from cluster.jobs.client import Log, translated_errors
from cluster.jobs.server import JobServer, exit_status
from ganinv.errors import ClusterError, ConfigError
from launch.commands.submit import SubmitConfig, _refuse_second, check, in_checkout
from launch.wiring.jobs import environment
from tests.support.commands import ROOT, launch, start, wait_until

PLANTED = "planted-secret-" + uuid4().hex


@pytest.mark.parametrize(
    "name",
    ["AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID", "AWS_SESSION_TOKEN", "db_password", "HF_TOKEN"],
)
def test_secrets_are_not_passed_on(name: str) -> None:
    with pytest.raises(ConfigError, match="give the secret to the nodes instead"):
        SubmitConfig(env=["AWS_REGION", name])


def test_only_named_variables_are_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", PLANTED)
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    assert environment(SubmitConfig().env) == {"AWS_REGION": "eu-central-1"}
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://user:{PLANTED}@host")
    with pytest.raises(ConfigError, match="must not carry credentials") as caught:
        environment(SubmitConfig().env)
    assert PLANTED not in str(caught.value)


def test_relative_paths_are_refused() -> None:
    good = ("storage.run=s3://bucket/run", "data.url=/mnt/shared/data")
    assert check("tiny-pvdgan", good).storage.run == "s3://bucket/run"
    with pytest.raises(ConfigError, match=r"storage.run = 'runs/a': a relative path"):
        check("tiny-pvdgan", ("storage.run=runs/a", good[1]))
    with pytest.raises(ConfigError, match=r"did you mean 'train.images'"):
        check("tiny-pvdgan", (*good, "train.imagse=3"))


def test_a_recipe_must_be_part_of_the_checkout(tmp_path: Path) -> None:
    assert in_checkout("tiny-pvdgan") == "tiny-pvdgan"
    shipped = "launch/recipes/tiny-dlsgan.yaml"
    assert in_checkout(str(ROOT / shipped)) == shipped
    outside = tmp_path / "my.yaml"
    outside.write_text("train: {}")
    with pytest.raises(ConfigError, match="not shipped to the nodes"):
        in_checkout(str(outside))


@dataclass
class Ended:
    """The fields of Ray's JobDetails that the code reads."""

    status: Any
    driver_exit_code: int | None = None
    message: str | None = "first line\nthe rest of the log"
    submission_id: str = "job"
    metadata: dict[str, str] | None = None


def test_the_exit_status_is_the_commands_own() -> None:
    from ray.job_submission import JobStatus

    assert exit_status(Ended(JobStatus.SUCCEEDED, 0)) == 0
    assert exit_status(Ended(JobStatus.STOPPED)) == 130
    for code in (1, 2, 3, 4, 5, 130):
        assert exit_status(Ended(JobStatus.FAILED, code)) == code
    for killed in (None, -9, 137):
        with pytest.raises(ClusterError, match=r"job job was lost \(first line\)"):
            exit_status(Ended(JobStatus.FAILED, killed))


async def lines(*texts: str) -> Any:
    for text in texts:
        yield text


def test_a_log_that_is_sent_again_is_shown_once() -> None:
    import asyncio

    said: list[str] = []
    log = Log(said.append)
    asyncio.run(log.read(lines("a", "bc")))
    asyncio.run(log.read(lines("abcd", "e")))
    asyncio.run(log.read(lines("ab")))
    asyncio.run(log.read(lines("abcdef")))
    assert "".join(said) == "abcdef"


class Server:
    """A job server with a job that trains s3://b/run, and an ended job of another run."""

    def jobs(self) -> list[Ended]:
        from ray.job_submission import JobStatus

        return [
            Ended(JobStatus.RUNNING, submission_id="first", metadata={"run": "s3://b/run"}),
            Ended(JobStatus.SUCCEEDED, submission_id="second", metadata={"run": "s3://b/old"}),
        ]


def test_two_jobs_do_not_train_the_same_run() -> None:
    for free in ("s3://b/old", "s3://b/new"):
        _refuse_second(Server(), free)
    with pytest.raises(ConfigError, match="job first trains it already"):
        _refuse_second(Server(), "s3://b/run")


def test_a_refused_token_comes_with_its_remedy() -> None:
    from ray.exceptions import AuthenticationError

    with pytest.raises(ClusterError, match=r"~/\.ray/auth_token"), translated_errors("http://head"):
        raise AuthenticationError("no")


def test_an_unreachable_server_comes_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{probe.getsockname()[1]}"
        with pytest.raises(ClusterError, match="open a tunnel to the head"):
            JobServer(address)


@dataclass(frozen=True)
class Head:
    """A cluster of one node. Clients with `environment` connect to it."""

    url: str
    session: Path
    environment: dict[str, str]


@pytest.fixture(scope="module")
def head(object_store: Any) -> Iterator[Head]:
    """A Ray with job server and token. Its nodes have the storage's secret, its clients do not."""
    # Short, for the paths of Ray's sockets are long.
    home = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))
    token = home / "auth_token"
    token.write_text(uuid4().hex)
    bare = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "RAY_"))}
    access = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token)}
    storage = object_store.environment()
    path = f"{Path(sys.executable).parent}:{bare['PATH']}"
    # All ports are our own: others on this machine may run Ray, too.
    gcs, dashboard, agent, client = free_ports(4)
    process = subprocess.Popen(
        [
            "ray", "start", "--head", "--block", "--num-cpus=3", "--object-store-memory=100000000",
            f"--port={gcs}", f"--dashboard-port={dashboard}", "--dashboard-host=127.0.0.1",
            f"--dashboard-agent-listen-port={agent}", f"--ray-client-server-port={client}",
            f"--temp-dir={home}", "--disable-usage-stats",
        ],
        env={**bare, **access, **storage, "PATH": path, "PLANTED": PLANTED},
        stdout=(home / "said").open("w"),
        stderr=subprocess.STDOUT,
        start_new_session=True,  # Ray ends its whole process group, which must not be ours
    )  # fmt: skip
    url = f"http://127.0.0.1:{dashboard}"
    endpoint = {k: v for k, v in storage.items() if "ENDPOINT" in k or "REGION" in k}
    environment = {**access, "RAY_API_SERVER_ADDRESS": url, **endpoint}
    try:
        wait_until(lambda: started(process, home / "said"), 120, "the head")
        yield Head(url, home / "session_latest", environment)
    finally:
        os.killpg(process.pid, signal.SIGKILL)  # asked politely, a head drains for half a minute
        process.wait(30)
        shutil.rmtree(home, ignore_errors=True)


def free_ports(count: int) -> list[int]:
    with ExitStack() as held:
        probes = [held.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


def started(process: subprocess.Popen[bytes], said: Path) -> bool:
    """Whether `ray start` has succeeded."""
    text = said.read_text()
    assert process.poll() is None, text
    return "Ray runtime started" in text


@pytest.mark.integration
@pytest.mark.timeout(400)
def test_a_job_from_submission_to_end(head: Head, object_store: Any, tmp_path: Path) -> None:
    run, data = f"s3://tests/{uuid4().hex}", f"s3://tests/{uuid4().hex}"
    places = (f"storage.run={run}", f"data.url={data}", "data.images=128", "cluster.workers=1")
    tiny = ("submit", "tiny-pvdgan", *places, "train.images=64", "train.checkpoint_every=64")

    for path in ("/api/jobs/", "/api/version", "/nodes?view=summary", "/api/prometheus/sd"):
        assert requests.get(head.url + path, timeout=10).status_code == 401, path

    with (tmp_path / "output").open("w+") as output:  # a client that is lost
        client = start(*tiny, "submit.id=first", output=output, environment=head.environment)
        try:
            wait_until(lambda: has_shown_log(output.name, client), 120, "the log")
        finally:
            client.kill()
            client.wait(10)

    followed = launch("attach", "first", environment=head.environment)
    assert followed.returncode == 0, followed.stdout + followed.stderr
    assert followed.stdout.index("Running entrypoint") < followed.stdout.index("trained 64 images")

    assert "INFO" not in followed.stderr  # of Ray's own
    wrong = (*tiny, "data.build=false", f"data.url={data}/none", f"storage.run={run}-b", "--json")
    failed = launch(*wrong, environment=head.environment)
    assert failed.returncode == 3, failed.stdout + failed.stderr
    job = json.loads(failed.stdout)["job"]
    assert "holds no data set" in failed.stderr

    listed = launch("status", "--cluster", "--json", environment=head.environment)
    facts = json.loads(listed.stdout)
    assert [(node["head"], node["cpus"]) for node in facts["nodes"]] == [(True, 3)]
    states = {entry["id"]: (entry["state"], entry["run"]) for entry in facts["jobs"]}
    assert states == {"first": ("SUCCEEDED", run), job: ("FAILED", f"{run}-b")}

    token = Path(head.environment["RAY_AUTH_TOKEN_PATH"]).read_text()
    secrets = {PLANTED, token, object_store.environment()["AWS_SECRET_ACCESS_KEY"]}
    assert not found_in(secrets, head, followed.stdout + failed.stderr)


def has_shown_log(name: str, client: subprocess.Popen[str]) -> bool:
    """Whether the client has shown the start of the log."""
    text = Path(name).read_text()
    assert client.poll() is None, text
    return "Running entrypoint" in text


def found_in(secrets: set[str], head: Head, said: str) -> list[str]:
    """The places that contain a secret but must not: logs, job information, output."""
    token = Path(head.environment["RAY_AUTH_TOKEN_PATH"]).read_text()
    answer = requests.get(
        f"{head.url}/api/jobs/", headers={"Authorization": f"Bearer {token}"}, timeout=10
    )
    texts = {"job information": answer.text, "output": said}
    for path in (head.session / "logs").rglob("*"):
        if path.is_file():
            texts[str(path)] = path.read_text(errors="replace")
    return [name for name, text in texts.items() for secret in secrets if secret in text]
