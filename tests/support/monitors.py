"""`ganinv monitor` as a process, and all queries of its dashboards and rules."""

import json
import re
import signal
import socket
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from cluster.monitoring.boards.generate import BOARDS, ROOT
from tests.support.commands import start

Ask = Callable[[str], list[dict[str, Any]]]
RULES = ROOT / "cluster" / "monitoring" / "rules.yml"
# Series that a clean run does not have.
NOT_IN_A_CLEAN_RUN = {"ganinv:storage_errors:increase5m"}


@contextmanager
def monitor(folder: Path, *words: str) -> Iterator[Ask]:
    """Run a monitor with its files in `folder`; yields a function from query to result."""
    port = free_port()
    options = (f"monitor.port={port}", f"monitor.directory={folder / 'monitor'}", *words)
    with (folder / "monitor.log").open("w") as output:
        process = start("monitor", *options, "monitor.interval_s=1", output=output)

    def ask(query: str) -> list[dict[str, Any]]:
        try:
            return answer(port, query)
        except OSError:
            assert process.poll() is None, (folder / "monitor.log").read_text()
            return []  # still starting

    try:
        yield ask
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
        assert not listening(port), "Prometheus outlived its monitor"
    finally:
        if process.poll() is None:
            process.terminate()
            end(process)


def answer(port: int, query: str) -> list[dict[str, Any]]:
    """The result of an instant query to the Prometheus at a port of this machine."""
    asked = urllib.parse.urlencode({"query": query})
    text = read_url(f"http://127.0.0.1:{port}/api/v1/query?{asked}")
    found: list[dict[str, Any]] = json.loads(text)["data"]["result"]
    return found


def end(process: subprocess.Popen[str]) -> None:
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(30)


def queries_of_dashboards() -> list[str]:
    """The queries of all panels that need no special hardware, without Grafana's variables."""
    queries = [q for b in BOARDS for p in b.panels if not p.needs for q in p.queries.values()]
    values = {"$run": ".+", "$rank": ".+", "$__rate_interval": "1m"}
    for variable, value in values.items():
        queries = [query.replace(variable, value) for query in queries]
    return queries


def series_of_rules() -> list[str]:
    """All series that rules read or write. Without one of them, an alert could never fire."""
    groups = yaml.safe_load(RULES.read_text())["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    text = " ".join(rule["expr"] for rule in rules)
    names = set(re.findall(r"\b(?:ganinv[:_]|up)[a-z0-9_:]*", text))
    written = {rule["record"] for rule in rules if "record" in rule}
    return sorted((names | written) - NOT_IN_A_CLEAN_RUN)


def read_url(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 (http alone)
        return str(answer.read().decode())


def listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
