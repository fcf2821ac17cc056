"""`ganinv monitor`: Prometheus, and Grafana where it is installed, for all runs here."""

import json
import os
import socket
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from cluster.jobs.ray_environment import cluster_address
from cluster.monitoring.servers import (
    find_prometheus,
    grafana_command,
    grafana_variables,
    start_grafana,
    start_prometheus,
)
from cluster.monitoring.targets import remove_stale, targets_folder
from cluster.processes import Server
from ganinv.errors import ConfigError
from launch.options.arguments import parse
from launch.options.sections import read_sections
from launch.progress import console

POLL_S = 1.0
LOCAL_DASHBOARD = "http://127.0.0.1:8265"
READY_S = 60.0  # for Prometheus to load its stored metrics
EXAMPLES = """\
keys:
  monitor.port=N           of Prometheus (9090)
  monitor.grafana_port=N   of Grafana, where it is installed (3000)
  monitor.host=ADDRESS     address at which both listen (127.0.0.1)
  monitor.ray=URL          dashboard of a Ray cluster, to watch its nodes too; or none
                           (http://127.0.0.1:8265 if RAY_ADDRESS is set, else none)
  monitor.directory=DIR    configuration and stored metrics (.monitor)
  monitor.retention=TIME   how long to keep metrics (30d)
  monitor.interval_s=N     seconds between scrapes, and between checks of alerts (15)

examples:
  ganinv monitor
  ganinv monitor monitor.port=19090 monitor.directory=/data/monitor
  RAY_ADDRESS=auto ganinv monitor          on the head of a cluster

The monitor finds the runs that this user starts on this machine, or on a cluster of which this
machine is the head. Ctrl-C stops it; the next start continues with the stored metrics.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class MonitorConfig:
    """Where the servers listen and keep their data."""

    host: str = "127.0.0.1"
    port: int = 9090
    grafana_port: int = 3000
    ray: str = "auto"  # URL of a Ray dashboard, none, or auto: this machine's if RAY_ADDRESS is set
    directory: str = ".monitor"
    retention: str = "30d"  # in Prometheus' notation
    interval_s: int = 15  # between scrapes, and between evaluations of rules

    def __post_init__(self) -> None:
        for key in ("port", "grafana_port"):
            if not 0 < getattr(self, key) < 65536:
                raise ConfigError(f"{key} = {getattr(self, key)}: choose 1 to 65535")
        if self.interval_s < 1:
            raise ConfigError(f"interval_s = {self.interval_s}: must be at least 1")
        if self.ray not in ("auto", "none") and not self.ray.startswith(("http://", "https://")):
            raise ConfigError(
                f"ray = {self.ray!r}: give the URL of Ray's dashboard, for example "
                "monitor.ray=http://127.0.0.1:8265, or none"
            )


SECTIONS: dict[str, type] = {"monitor": MonitorConfig}


def main(argv: list[str]) -> int:
    does = "Watch all runs with Prometheus, and Grafana if installed."
    arguments = parse(argv, "monitor", does, EXAMPLES)
    config: MonitorConfig = read_sections(arguments.options, SECTIONS)["monitor"]
    out = console(arguments.as_json)
    with _servers(config) as servers:
        if arguments.as_json:
            print(json.dumps({server.name.lower(): server.url for server in servers}), flush=True)
        else:
            _announce(config, servers, out)
        while True:
            remove_stale(targets_folder())  # so that nobody scrapes runs that have ended
            for server in servers:
                server.check()
            time.sleep(POLL_S)


@contextmanager
def _servers(config: MonitorConfig) -> Iterator[list[Server]]:
    """Prometheus, ready to answer, and Grafana if it is installed. The context's end stops both."""
    find_prometheus()  # report a missing installation before an occupied port
    grafana = grafana_command()
    for key, port in (("port", config.port), ("grafana_port", config.grafana_port)):
        if key == "port" or grafana is not None:
            _check_free(key, config.host, port)
    folder = Path(config.directory).absolute()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    ray = _ray_dashboard(config)
    with ExitStack() as stack:
        prometheus = start_prometheus(
            folder,
            config.host,
            config.port,
            interval_s=config.interval_s,
            retention=config.retention,
            ray=ray,
            token=_token_file(folder) if ray is not None else None,
        )
        stack.enter_context(closing(prometheus))
        prometheus.await_ready(_is_ready, READY_S)
        servers = [prometheus]
        if grafana is not None:
            variables = grafana_variables(prometheus.url, config.interval_s)
            server = start_grafana(grafana, folder, config.host, config.grafana_port, variables)
            servers.append(stack.enter_context(closing(server)))
        yield servers


def _announce(config: MonitorConfig, servers: list[Server], out: Console) -> None:
    for server in servers:
        out.print(f"{server.name}: {server.url}", soft_wrap=True)
    out.print(f"alerts: {servers[0].url}/alerts", soft_wrap=True)
    if len(servers) == 1:
        variables = grafana_variables(servers[0].url, config.interval_s)
        words = " ".join(f"{name}={value}" for name, value in variables.items())
        out.print(
            "no Grafana on PATH; to see the dashboards in another one, start it with "
            f"{words} and its provisioning from cluster/monitoring/grafana/provisioning",
            soft_wrap=True,
        )
    cluster = _ray_dashboard(config)
    nodes = f" and the nodes of {cluster}" if cluster else ""
    out.print(f"watching the runs of this user{nodes}; Ctrl-C ends it", soft_wrap=True)


def _ray_dashboard(config: MonitorConfig) -> str | None:
    if config.ray == "auto":
        return LOCAL_DASHBOARD if cluster_address() is not None else None
    return None if config.ray == "none" else config.ray


def _token_file(folder: Path) -> Path | None:
    """The file with the cluster's token, found in the same order as Ray does; None without one."""
    if os.environ.get("RAY_AUTH_MODE") != "token":
        return None
    # Without RAY_ADDRESS, the token in the environment is for a Ray that is started later.
    if cluster_address() is not None and os.environ.get("RAY_AUTH_TOKEN"):
        path = folder / "ray_token"
        path.touch(mode=0o600)
        path.chmod(0o600)
        path.write_text(os.environ["RAY_AUTH_TOKEN"])
        return path
    named = os.environ.get("RAY_AUTH_TOKEN_PATH")
    path = Path(named) if named else Path.home() / ".ray" / "auth_token"
    return path.absolute() if path.exists() else None


def _check_free(key: str, host: str, port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise ConfigError(
                f"monitor.{key} = {port}: cannot listen at {host}:{port} ({error.strerror}); "
                f"another monitor may be running; stop it, or choose another monitor.{key}"
            ) from error


def _is_ready(url: str) -> bool:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # it is on this machine
    try:
        with direct.open(f"{url}/-/ready", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
