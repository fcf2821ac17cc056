"""Prometheus and Grafana as child processes, with the configuration of `cluster/monitoring`."""

import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from cluster.monitoring.targets import targets_folder
from ganinv.errors import ClusterError

FOLDER = Path(__file__).parent
END_S = 20.0  # for a server to write what it holds in memory
POLL_S = 0.1


class Server:
    """A server under way; its output goes to a log file. `close` ends it."""

    def __init__(
        self, name: str, url: str, command: list[str], log: Path, environment: dict[str, str]
    ) -> None:
        self.name = name
        self.url = url
        self._log = log
        with log.open("w") as output:
            self._process = subprocess.Popen(  # noqa: S603 (words of ours, no shell)
                command,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **environment},
                start_new_session=True,  # Ctrl-C is for the one who started it
            )

    def check(self) -> None:
        """Raises `ClusterError` if it has ended by itself."""
        if self._process.poll() is not None:
            lines = self._log.read_text(errors="replace").strip().splitlines()
            raise ClusterError(
                f"{self.name} has ended (status {self._process.returncode}): "
                f"{lines[-1] if lines else 'it said nothing'}; all of it is in {self._log}"
            )

    def await_ready(self, ready: Callable[[str], bool], deadline_s: float) -> None:
        """Wait until `ready(url)`. Raises `ClusterError` after the deadline, or if it ends."""
        end = time.monotonic() + deadline_s
        while not ready(self.url):
            self.check()
            if time.monotonic() > end:
                raise ClusterError(
                    f"{self.name} does not answer at {self.url} after {deadline_s:g} s; "
                    f"see {self._log}"
                )
            time.sleep(POLL_S)

    def close(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(END_S)


def prometheus_config(
    address: str, targets: Path, *, interval_s: int, ray: str | None, token: Path | None
) -> str:
    """`monitoring/prometheus.yml` with its places filled in.

    `address`: host and port of Prometheus itself; `ray`: URL of a cluster's dashboard, and the file
    with its `token` where it asks for one.
    """
    config: dict[str, Any] = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
    config["global"] = dict.fromkeys(config["global"], f"{interval_s}s")
    config["rule_files"] = [str(FOLDER / "rules.yml")]
    own, runs, nodes = config["scrape_configs"]
    own["static_configs"][0]["targets"] = [address]
    runs["file_sd_configs"][0]["files"] = [str(targets / "*.json")]
    discovery = nodes["http_sd_configs"][0]
    if ray is None:
        config["scrape_configs"].remove(nodes)
        return yaml.safe_dump(config, sort_keys=False)
    discovery["url"] = f"{ray.rstrip('/')}/api/prometheus/sd"
    if token is None:
        del discovery["authorization"]
    else:
        discovery["authorization"]["credentials_file"] = str(token)
    return yaml.safe_dump(config, sort_keys=False)


def find_prometheus() -> str:
    """Raises `ClusterError` if it is not installed."""
    found = shutil.which("prometheus")
    if found is None:
        raise ClusterError(
            "there is no 'prometheus' on PATH; install it (Debian and Ubuntu: apt-get install "
            "prometheus; elsewhere: https://prometheus.io/download), then start again"
        )
    return found


def start_prometheus(
    folder: Path,
    host: str,
    port: int,
    *,
    interval_s: int,
    retention: str,
    ray: str | None,
    token: Path | None,
) -> Server:
    """Configuration, log and stored metrics lie in `folder`, which exists."""
    binary = find_prometheus()
    targets = targets_folder()
    targets.mkdir(mode=0o700, parents=True, exist_ok=True)
    config = folder / "prometheus.yml"
    own = f"{host}:{port}"
    config.write_text(prometheus_config(own, targets, interval_s=interval_s, ray=ray, token=token))
    command = [
        binary,
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'prometheus'}",
        f"--storage.tsdb.retention.time={retention}",
        f"--web.listen-address={own}",
    ]
    return Server("Prometheus", f"http://{own}", command, folder / "prometheus.log", {})


def grafana_command() -> list[str] | None:
    """How Grafana is started here; None if it is not installed."""
    for name, words in (("grafana-server", []), ("grafana", ["server"])):
        found = shutil.which(name)
        if found is not None:
            packaged = Path("/usr/share/grafana")  # where its packages for Linux put the pages
            home = packaged if packaged.exists() else Path(found).resolve().parents[1]
            return [found, *words, f"--homepath={home}"]
    return None


def start_grafana(
    command: list[str], folder: Path, host: str, port: int, places: dict[str, str]
) -> Server:
    """Grafana with our dashboards, for everybody who reaches it to look at; nobody can log in."""
    environment = {
        **places,
        "GF_PATHS_PROVISIONING": str(FOLDER / "grafana" / "provisioning"),
        "GF_PATHS_DATA": str(folder / "grafana"),
        "GF_PATHS_LOGS": str(folder / "grafana" / "log"),
        "GF_PATHS_PLUGINS": str(folder / "grafana" / "plugins"),
        "GF_SERVER_HTTP_ADDR": host,
        "GF_SERVER_HTTP_PORT": str(port),
        "GF_AUTH_ANONYMOUS_ENABLED": "true",
        "GF_AUTH_ANONYMOUS_ORG_ROLE": "Viewer",
        "GF_AUTH_DISABLE_LOGIN_FORM": "true",
        "GF_SECURITY_DISABLE_INITIAL_ADMIN_CREATION": "true",
        "GF_ANALYTICS_REPORTING_ENABLED": "false",
        "GF_ANALYTICS_CHECK_FOR_UPDATES": "false",
        "GF_ANALYTICS_CHECK_FOR_PLUGIN_UPDATES": "false",
        "GF_NEWS_NEWS_FEED_ENABLED": "false",
        "GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH": str(
            FOLDER / "grafana" / "dashboards" / "training.json"
        ),
    }
    log = folder / "grafana.log"
    return Server("Grafana", f"http://{host}:{port}", command, log, environment)


def grafana_places(prometheus: str, interval_s: int) -> dict[str, str]:
    """The environment that `monitoring/grafana/provisioning` speaks of."""
    return {
        "GANINV_PROMETHEUS": prometheus,
        "GANINV_INTERVAL": f"{interval_s}s",
        "GANINV_DASHBOARDS": str(FOLDER / "grafana" / "dashboards"),
    }
