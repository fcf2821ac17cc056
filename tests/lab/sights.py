"""Observations of the lab's cluster through storage, job server, Prometheus and SSH."""

import json
import re
import subprocess
from functools import cache, partial

from cluster.storage.opening import open_store
from ganinv.errors import ClusterError
from ganinv.saved.manifest import committed_names
from ganinv.seams.stores import Store
from tests.lab.hosts import Host
from tests.lab.user import BUCKET, User
from tests.support import commands
from tests.support.commands import ROOT
from tests.support.monitors import answer, queries_of_dashboards, read_url, series_of_rules

RUN = f"s3://{BUCKET}/runs/first"
SERVER = "http://127.0.0.1:8265"
# Polls once a second and makes clients once: the hosts share two cores with the observer.
wait_until = partial(commands.wait_until, every_s=1)
ask = partial(answer, 9090)


@cache
def run_folder() -> Store:
    return open_store(RUN)


def workers() -> dict[str, int]:
    """Address of each living worker node → its number of workers."""
    from cluster.jobs.server import (
        JobServer,  # imported late: Ray reads the settings that the fixture makes, once
    )

    try:
        nodes = JobServer(SERVER).overview()["nodes"]
    except ClusterError:
        return {}  # still starting
    alive = [node for node in nodes if node["state"] == "ALIVE" and not node["head"]]
    return {node["address"]: node["workers"] for node in alive}


def both_train() -> bool:
    """Whether each of two nodes has a worker."""
    return sorted(workers().values()) == [1, 1]


def newest() -> int:
    """`images_seen` of the newest checkpoint."""
    return max((int(name[:12]) for name in committed_names(run_folder())), default=0)


def await_checkpoint_after(since: int) -> None:
    wait_until(lambda: newest() > since, 180, f"a checkpoint after {since} images")


def lost_at(host: Host) -> float | None:
    """Unix time at which Ray declared the host's node dead. Ray's own record: polling is slow."""
    from ray.util.state import list_nodes

    nodes = list_nodes(address=SERVER, detail=True, timeout=30)
    lost = [n for n in nodes if n.node_ip == host.address and n.state == "DEAD"]
    return max((node.end_time_ms / 1000 for node in lost), default=None)


def firing() -> set[str]:
    return {alert["metric"]["alertname"] for alert in ask('ALERTS{alertstate="firing"}')}


def prometheus_sees_all_of(*hosts: Host) -> None:
    """Prometheus has found all workers and Ray nodes; every panel and rule has data."""
    wait_until(lambda: scraped("ganinv") == {h.address for h in hosts}, 60, "workers are scraped")
    wait_until(lambda: {h.address for h in hosts} < scraped("ray"), 60, "Ray nodes are scraped")
    for query in (*queries_of_dashboards(), *series_of_rules()):
        wait_until(partial(ask, query), 90, query)
    for rank in range(len(hosts)):
        wait_until(lambda r=rank: unexplained(r) < 0.01, 120, f"all time of rank {rank}")
    counted = ask('count by (rank) ({__name__=~"ganinv_.*"})')  # series of the run have no rank
    series = {row["metric"].get("rank", ""): int(row["value"][1]) for row in counted}
    assert series.pop("") <= 300
    assert series.keys() == {str(rank) for rank in range(len(hosts))}
    assert max(series.values()) <= 60


def unexplained(rank: int) -> float:
    """The share of the wall time between two scrapes that is in none of a worker's states.

    A value belongs to some moment within its scrape. On a busy machine a scrape lasts a second or
    more, and that much may be missing at either end.
    """
    states = ask(f'ganinv_time_seconds_total{{rank="{rank}"}}[10m]')
    scrapes = dict(ask(f'scrape_duration_seconds{{instance="rank {rank}"}}[10m]')[0]["values"])
    (began, _), (ended, _) = states[0]["values"][0], states[0]["values"][-1]
    gains = (float(row["values"][-1][1]) - float(row["values"][0][1]) for row in states)
    wall, tolerance = ended - began, float(scrapes[began]) + float(scrapes[ended])
    return max(0.0, abs(sum(gains) - wall) - tolerance) / wall if wall else 1.0


def scraped(job: str) -> set[str]:
    """The addresses of the nodes that Prometheus scrapes with success."""
    active = json.loads(read_url("http://127.0.0.1:9090/api/v1/targets"))["data"]["activeTargets"]
    ours = [t for t in active if t["labels"]["job"] == job and t["health"] == "up"]
    return {re.split("[/:]+", target["scrapeUrl"])[1] for target in ours}


def has_packages_of_its_own(host: Host) -> None:
    """setup_node.sh has made the host's environment, with all that a recipe needs."""
    code = "import efficientnet_lite_pytorch, ray, torch; print(torch.__file__)"
    found = host.run(f"~/.ganinv/bin/python -c '{code}'; readlink ~/.ganinv/bin").splitlines()
    assert [line for line in found if line.endswith(".py")] == found[-1:], found
    assert found[-1].startswith("/root/.ganinv/lib/"), found


def strangers_are_refused(user: User, head: Host) -> None:
    stranger = {**user.environment, "RAY_AUTH_TOKEN": "0" * 64}
    words = ["python", "-m", "launch", "status", "--cluster"]
    refused = subprocess.run(
        words, cwd=ROOT, env=stranger, capture_output=True, text=True, timeout=60, check=False
    )
    assert refused.returncode == 5
    assert "refuses requests without" in refused.stderr
    for path in ("api/jobs/", "nodes?view=summary", "api/prometheus/sd"):
        asked = f"curl -s -o /dev/null -w '%{{http_code}}' http://127.0.0.1:8265/{path}"
        assert head.run(asked) == "401", path


def only_documented_ports_are_open(*hosts: Host) -> None:
    """The table of docs/cluster.md lists every port that is open beyond loopback."""
    explained = (ROOT / "docs/cluster.md").read_text().partition("## Ports")[2]
    known = {int(port) for port in re.findall(r"\b\d{2,5}\b", explained)}
    unknown = []
    for host in hosts:
        for line in host.run("ss -Hltn").splitlines():
            address, _, port = line.split()[3].rpartition(":")
            if address not in ("127.0.0.1", "[::1]") and not 10002 <= int(port) <= 20999:
                unknown += [f"{host.name}: {line}"] if int(port) not in known else []
    assert not unknown


def contain_no_secrets(user: User, output: str) -> None:
    """Neither the token nor the store's key is in `output` or in the run's folder."""
    texts = {"output and logs": output}
    for entry in run_folder().list():
        texts[entry.name] = run_folder().read(entry.name).decode(errors="replace")
    for secret in (user.token, user.secret):
        assert not [name for name, text in texts.items() if secret in text]


def public(*, watched: bool) -> str:
    """What the job server and Prometheus show to every user."""
    from cluster.jobs.server import JobServer

    metrics = ask('{job=~"ganinv|ray"}') if watched else []
    return f"{JobServer(SERVER).jobs()} {metrics}"


def logs(hosts: list[Host]) -> str:
    """All logs of Ray, the job and the monitor on the hosts."""
    files = "/tmp/ray/session_latest/logs/* ~/*.log ~/ganinv/.monitor/*.*"  # noqa: S108 (theirs)
    return "".join(host.run(f"cat {files} 2>/dev/null") for host in hosts)


def await_no_processes(hosts: list[Host]) -> None:
    """Wait until nothing of Ray runs. After `ray down`, its agents wait a minute for their head."""
    own = re.compile(r"bash \S+/host\.sh |\S*sshd: |bash -c for f in |\s*$")
    left: list[str] = []

    def none() -> bool:
        left[:] = [line for host in hosts for line in host.processes() if not own.match(line)]
        return not left

    try:
        wait_until(none, 150, "no processes", every_s=3)
    except AssertionError as late:
        raise AssertionError([line[:200] for line in left]) from late
