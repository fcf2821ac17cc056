"""NodeLost fires for a node that dies, and not for one that leaves as planned."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.commands import ROOT, wait_until
from tests.support.monitors import monitor
from tests.support.ray_nodes import ray_nodes

pytestmark = [
    pytest.mark.chaos,
    pytest.mark.skipif(
        shutil.which("prometheus") is None,
        reason="no prometheus on this machine (Debian package: prometheus)",
    ),
]
FIRING = 'ALERTS{alertstate="firing"}'
# A driver with the directory of a run. It prints how many nodes are alive for each line of input.
DRIVER = """
import sys
import ray
from cluster.workers.directory import start_directory
ray.init(logging_level="ERROR", log_to_driver=False)
directory = start_directory("s3://b/run", "127.0.0.1", 0, [])
ray.get(directory.discovery_url.remote())
for _ in sys.stdin:
    print(sum(node["Alive"] for node in ray.nodes()), flush=True)
"""


@contextmanager
def driver(environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", DRIVER],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait(30)


def test_a_cluster_that_is_scaled_down_raises_no_alert(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One node is stopped and the autoscaler takes back another; then a third one dies."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    with ray_nodes(head_cpus=1) as cluster:
        stopped, idle, dies = (cluster.add(1) for _ in range(3))
        with (
            driver({**os.environ, **cluster.environment}) as run,
            monitor(tmp_path, "monitor.ray=none") as ask,
        ):
            assert run.stdin is not None
            assert run.stdout is not None

            def alive() -> int:
                run.stdin.write("\n")
                run.stdin.flush()
                return int(run.stdout.readline())

            lost = "ganinv_nodes_lost_total"
            wait_until(lambda: ask(f"{lost} == 0"), 60, "the directory is scraped")
            stopped.stop()
            cluster.drain(idle, deadline_s=60, idle=True)
            wait_until(lambda: alive() == 2, 60, "two nodes have left")
            (row,) = ask(f"timestamp({lost})")
            since = float(row["value"][1])
            wait_until(lambda: ask(f"timestamp({lost}) > {since + 3}"), 30, "three more scrapes")
            assert ask(f"{lost} == 0")
            assert not ask(f"max_over_time({FIRING}[10m])")

            dies.kill_raylet()
            wait_until(lambda: ask(FIRING), 60, "an alert")
            assert [row["metric"]["alertname"] for row in ask(FIRING)] == ["NodeLost"]
