"""What `ganinv monitor` refuses, which token it finds, and how it starts Grafana.

test_train.py shows on a live run that its Prometheus finds everything.
"""

import shutil
import socket
from contextlib import closing
from pathlib import Path

import pytest

from cluster.monitoring.servers import grafana_command, grafana_variables, start_grafana
from cluster.processes import Server
from ganinv.errors import ClusterError, ConfigError
from launch.commands import monitor
from launch.commands.monitor import MonitorConfig
from tests.support.commands import wait_until

needs_prometheus = pytest.mark.skipif(
    shutil.which("prometheus") is None, reason="no prometheus on this machine"
)


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that is the whole PATH, and a home with nothing in it."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("RAY_ADDRESS", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    return tmp_path


def test_it_says_how_to_get_prometheus(bare: Path) -> None:
    with pytest.raises(ClusterError, match="apt-get install prometheus"):
        monitor.main([f"monitor.directory={bare / 'monitor'}"])
    assert not (bare / "monitor").exists()


@needs_prometheus
def test_it_names_a_port_that_is_taken(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"monitor.port = {port}: cannot listen"):
            monitor.main([f"monitor.port={port}", f"monitor.directory={tmp_path / 'monitor'}"])


@pytest.mark.parametrize(
    "word", ["monitor.port=0", "monitor.ray=head:8265", "monitor.interval_s=0"]
)
def test_it_refuses_impossible_options(word: str) -> None:
    with pytest.raises(ConfigError, match=word.partition("=")[0]):
        monitor.main([word])


def test_ray_is_watched_where_the_environment_names_a_cluster(
    bare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert monitor._ray_dashboard(MonitorConfig()) is None
    monkeypatch.setenv("RAY_ADDRESS", "auto")
    assert monitor._ray_dashboard(MonitorConfig()) == "http://127.0.0.1:8265"
    assert monitor._ray_dashboard(MonitorConfig(ray="none")) is None
    assert monitor._ray_dashboard(MonitorConfig(ray="http://h:1")) == "http://h:1"


def test_the_token_is_found_where_ray_finds_it(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert monitor._token_file(bare) is None
    (bare / ".ray").mkdir()
    (bare / ".ray" / "auth_token").write_text("at home")
    assert monitor._token_file(bare) == bare / ".ray" / "auth_token"
    (bare / "named").write_text("named")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(bare / "named"))
    assert monitor._token_file(bare) == bare / "named"
    monkeypatch.setenv("RAY_AUTH_TOKEN", "in the environment")
    assert monitor._token_file(bare) == bare / "named"  # that token is for a Ray started later
    monkeypatch.setenv("RAY_ADDRESS", "auto")
    private = monitor._token_file(bare)
    assert private is not None
    assert private.read_text() == "in the environment"
    assert private.stat().st_mode & 0o077 == 0
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    assert monitor._token_file(bare) is None


def test_a_server_that_ends_is_reported_with_the_end_of_its_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with (
        closing(Server("It", "http://x", ["/bin/sh", "-c", "echo why; exit 3"], log, {})) as server,
        pytest.raises(ClusterError, match=r"It has ended \(status 3\): why"),
    ):
        server.await_ready(lambda _: False, 20)


def test_grafana_is_started_for_viewing_only(bare: Path) -> None:
    assert grafana_command() is None
    fake = bare / "bin" / "grafana"
    script = [
        "#!/bin/sh",
        f'echo "$@" > {bare}/words',
        f"/usr/bin/env > {bare}/new && /bin/mv {bare}/new {bare}/seen",
        "exec /bin/sleep 60",
    ]
    fake.write_text("\n".join(script) + "\n")
    fake.chmod(0o755)
    command = grafana_command()
    assert command is not None
    variables = grafana_variables("http://127.0.0.1:9090", 15)
    with closing(start_grafana(command, bare, "127.0.0.1", 3000, variables)):
        wait_until((bare / "seen").exists, 20, "it has started")
    lines = (bare / "seen").read_text().splitlines()
    seen = dict(line.split("=", 1) for line in lines)
    assert (bare / "words").read_text().startswith("server --homepath=")
    assert variables.items() <= seen.items()
    assert seen["GF_SERVER_HTTP_ADDR"] == "127.0.0.1"
    assert seen["GF_AUTH_ANONYMOUS_ORG_ROLE"] == "Viewer"
    provisioning = Path(seen["GF_PATHS_PROVISIONING"])
    for file in ("datasources/prometheus.yaml", "dashboards/ganinv.yaml"):
        used = {name for name in variables if f"${name}" in (provisioning / file).read_text()}
        assert used
    assert (Path(variables["GANINV_DASHBOARDS"]) / "training.json").exists()
