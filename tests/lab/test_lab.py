"""What a user does with a cluster, and what happens to her. `make lab` runs it, in some minutes.

Three hosts on this machine, Ray's own launcher, S3. Needs root; enter.sh says what is missing.
"""

import os
import re
import subprocess
import time
from collections.abc import Iterator

import pytest

from cluster.storage import open_store
from ganinv.errors import ClusterError
from ganinv.manifest import committed_names
from tests.lab.hosts import Host, build, client
from tests.lab.user import BUCKET, User, s3
from tests.support.commands import ROOT, wait_until

pytestmark = [
    pytest.mark.skipif(not os.environ.get("GANINV_LAB"), reason="type make lab, as root"),
    pytest.mark.timeout(1500),
]
RUN = f"s3://{BUCKET}/runs/first"
SUBMIT = (
    "submit", "avatars32-pvdgan", f"storage.run={RUN}", f"data.url=s3://{BUCKET}/avatars32",
    "data.images=512", "train.images=400000", "train.checkpoint_every=800", "train.log_every=400",
    "evaluate.every=100000", "cluster.min_workers=1", "cluster.max_workers=2",
    "cluster.cpus_per_worker=2",  # all that a host has, so that there is one worker on each
    "cluster.start_timeout_s=90", "cluster.max_failures=10",
)  # fmt: skip


@pytest.fixture(scope="module")
def user() -> Iterator[User]:
    with s3() as store, pytest.MonkeyPatch.context() as patch:
        for name, value in store.environment().items():
            patch.setenv(name, value)
        user = User(build(["head", "one", "two"]), store)
        patch.setenv("RAY_AUTH_MODE", "token")
        patch.setenv("RAY_AUTH_TOKEN", user.token)
        yield user
        said = client() / "output"  # shown if the test failed
        print(said.read_text()[-8000:] if said.exists() else "no job was submitted")


def workers() -> dict[str, int]:
    """Living nodes that train, and how many workers each has."""
    from cluster.jobs import JobServer  # Ray reads its settings, which the fixture sets, once

    try:
        nodes = JobServer("http://127.0.0.1:8265").overview()["nodes"]
    except ClusterError:
        return {}  # still starting
    alive = [node for node in nodes if node["state"] == "ALIVE" and not node["head"]]
    return {node["address"]: node["workers"] for node in alive}


def newest() -> int:
    return max((int(name[:12]) for name in committed_names(open_store(RUN))), default=0)


def moves_on(since: int) -> None:
    wait_until(lambda: newest() > since, 300, f"a checkpoint after {since} images")


def both() -> bool:
    return sorted(workers().values()) == [1, 1]


def test_the_life_of_a_cluster(user: User) -> None:
    head, one, two = user.hosts
    user.ray("up")
    output = client() / "output"
    with user.tunnel():
        wait_until(lambda: len(workers()) == 2, 120, "both workers' nodes")
        strangers_are_refused(user, head)
        only_documented_ports_are_open(head, one)
        looked = user.launch("doctor", "--cluster", f"storage.run={RUN}-try")
        assert looked.returncode == 0, looked.stdout
        assert "gloo over 2 nodes" in looked.stdout

        client_process = user.follow(*SUBMIT, "submit.id=first", output=output)
        wait_until(newest, 300, "the first checkpoint")
        assert both()
        listed = user.launch("status", "--cluster")
        assert re.search(r"first +RUNNING +" + RUN, listed.stdout), listed.stdout

        two.crash()
        wait_until(lambda: workers() == {one.address: 1}, 90, "training on one host")
        moves_on(newest())
        two.start()
        wait_until(both, 300, "two workers again")
        moves_on(newest())

        one.cut()
        cut = time.monotonic()
        wait_until(lambda: one.address not in workers(), 30, "the cut is noticed")
        assert time.monotonic() - cut <= 10
        one.mend()
        wait_until(both, 300, "two workers after the cut")
        moves_on(newest())

        client_process.kill()  # the laptop is closed
        client_process.wait(10)
        stopped = user.launch("attach", "first", "--stop", timeout_s=180)
        assert stopped.returncode == 130, stopped.stdout
    reached = newest()
    logs = "".join(
        host.run("cat /tmp/ray/session_latest/logs/* 2>/dev/null") for host in user.hosts
    )

    user.ray("down")
    wait_until(lambda: not remains(user.hosts), 150, "nothing of Ray remains on any host")
    nothing_secret(user, output.read_text() + stopped.stdout + logs)

    for path in (client() / "tmp").rglob("*.state"):
        path.unlink()
    user.ray("up")
    with user.tunnel():
        wait_until(lambda: workers(), 120, "a worker's node of the new cluster")
        again = [word for word in SUBMIT if not word.startswith("train.images")]
        done = user.launch(*again, f"train.images={reached + 800}", timeout_s=240)
    assert done.returncode == 0, done.stdout
    assert f"going on from {reached} images" in done.stdout
    user.ray("down")
    wait_until(lambda: not remains(user.hosts), 150, "nothing of Ray remains on any host")


def strangers_are_refused(user: User, head: Host) -> None:
    stranger = {**user.environment, "RAY_AUTH_TOKEN": "0" * 64}
    words = ["python", "-m", "launch", "status", "--cluster"]
    refused = subprocess.run(
        words, cwd=ROOT, env=stranger, capture_output=True, text=True, timeout=60, check=False
    )
    assert refused.returncode == 5
    assert "does not admit" in refused.stderr
    for path in ("api/jobs/", "nodes?view=summary", "api/prometheus/sd"):
        asked = f"curl -s -o /dev/null -w '%{{http_code}}' http://127.0.0.1:8265/{path}"
        assert head.run(asked) == "401", path


def only_documented_ports_are_open(*hosts: Host) -> None:
    """What listens beyond loopback stands in the table of docs/cluster.md."""
    explained = (ROOT / "docs/cluster.md").read_text().partition("## Ports")[2]
    known = {int(port) for port in re.findall(r"\b\d{2,5}\b", explained)}
    unknown = []
    for host in hosts:
        for line in host.run("ss -Hltn").splitlines():
            address, _, port = line.split()[3].rpartition(":")
            if address not in ("127.0.0.1", "[::1]") and not 10002 <= int(port) <= 19999:
                unknown += [f"{host.name}: {line}"] if int(port) not in known else []
    assert not unknown


def remains(hosts: list[Host]) -> list[str]:
    return [line for host in hosts for line in host.processes() if "ray" in line.lower()]


def nothing_secret(user: User, said: str) -> None:
    """Neither the token nor the store's key stands in logs, output, configuration or metrics."""
    texts = {"what was said and logged": said}
    store = open_store(RUN)
    for entry in store.list():
        texts[entry.name] = store.read(entry.name).decode(errors="replace")
    for secret in (user.token, user.secret):
        assert not [name for name, text in texts.items() if secret in text]
