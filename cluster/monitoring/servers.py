"""Prometheus and Grafana as child processes, with the configuration in `cluster/monitoring`."""

import shutil
from pathlib import Path
from typing import Any

import yaml

from cluster.monitoring.targets import targets_folder
from cluster.processes import Server
from ganinv.errors import ClusterError

FOLDER = Path(__file__).parent


def prometheus_config(
    address: str, targets: Path, *, interval_s: int, ray: str | None, token: Path | None
) -> str:
    """The text of `cluster/monitoring/prometheus.yml` with its placeholders replaced.

    `address`: host and port of Prometheus itself. `targets`: folder of the runs' targets files.
    `ray`: URL of a Ray dashboard, if nodes are watched too. `token`: file that holds its token, if
    it requires one.
    """
    config: dict[str, Any] = yaml.safe_load((FOLDER / "prometheus.yml").read_text(encoding="utf-8"))
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
    """Path of Prometheus. Raises `ClusterError` if it is not installed."""
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
    """Start Prometheus; configuration, log and metrics go to `folder`, which must exist."""
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
    """The command that starts Grafana; None if it is not installed."""
    for name, words in (("grafana-server", []), ("grafana", ["server"])):
        found = shutil.which(name)
        if found is not None:
            packaged = Path("/usr/share/grafana")  # where Linux packages install the web pages
            home = packaged if packaged.exists() else Path(found).resolve().parents[1]
            return [found, *words, f"--homepath={home}"]
    return None


def start_grafana(
    command: list[str], folder: Path, host: str, port: int, variables: dict[str, str]
) -> Server:
    """Start Grafana with our dashboards. Everybody who reaches it may view them; nobody can log in.

    `variables`: those of `grafana_variables`. Data and log go to `folder`, which must exist.
    """
    environment = {
        **variables,
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


def grafana_variables(prometheus: str, interval_s: int) -> dict[str, str]:
    """The environment variables that `cluster/monitoring/grafana/provisioning` refers to."""
    return {
        "GANINV_PROMETHEUS": prometheus,
        "GANINV_INTERVAL": f"{interval_s}s",
        "GANINV_DASHBOARDS": str(FOLDER / "grafana" / "dashboards"),
    }
