"""Dashboards and rules match the exported metrics, each other, and the schema of Grafana's SDK."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.models.dashboard import Dashboard

from cluster.monitoring.boards.generate import BOARDS, FOLDER, LINKS, ROOT, generated
from cluster.monitoring.metrics_table import metrics_table
from cluster.monitoring.servers import prometheus_config

MONITORING = ROOT / "cluster" / "monitoring"
RULES = yaml.safe_load((MONITORING / "rules.yml").read_text())
ALL_RULES = [rule for group in RULES["groups"] for rule in group["rules"]]
ALERTS = [rule for rule in ALL_RULES if "alert" in rule]
RECORDED = {rule["record"] for rule in ALL_RULES if "record" in rule}
EXPRESSIONS = [rule["expr"] for rule in ALL_RULES] + [
    expression
    for board in BOARDS
    for panel in board.panels
    for expression in panel.queries.values()
]
needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="no promtool on this machine (package: prometheus)"
)


def promtool(*words: str) -> str:
    done = subprocess.run(["promtool", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_generated_files_are_up_to_date() -> None:
    for path, text in generated().items():
        assert path.read_text() == text, f"{path}: run python -m cluster.monitoring.boards.generate"
    assert {path.name for path in FOLDER.iterdir()} == {f"{board.name}.json" for board in BOARDS}


def test_every_queried_metric_is_exported() -> None:
    table = [row for rows in metrics_table().values() for row in rows]
    labels_of = {series: set(row.labels) for row in table for series in row.series}
    for expression in EXPRESSIONS:
        assert set(re.findall(r"ganinv:[a-z0-9_:]+", expression)) <= RECORDED
        names = re.findall(r"\bganinv_[a-z_]+\b(?![.])", expression)
        for name in names:
            assert name in labels_of, expression
        for name, matchers in re.findall(r"\b(ganinv_[a-z_]+)\{([^}]*)\}", expression):
            asked = set(re.findall(r"(\w+)[=!]", matchers))
            assert asked <= labels_of[name] | {"le"}, expression


def test_the_table_names_every_metric_once_with_unit_and_meaning() -> None:
    table = [row for rows in metrics_table().values() for row in rows]
    assert len({row.name for row in table}) == len(table)
    assert all(row.help and row.labels[0] == "run" for row in table)
    units = {row.name: row.unit for row in table}
    assert units["ganinv_step_seconds"] == "seconds"
    assert units["ganinv_images_per_second"] == "images/s"
    assert units["ganinv_storage_bytes_total"] == "bytes"
    assert units["ganinv_world_size"] == ""


@pytest.mark.parametrize("board", [board.name for board in BOARDS])
def test_grafanas_own_sdk_reads_a_dashboard_without_loss(board: str) -> None:
    stored = json.loads((FOLDER / f"{board}.json").read_text())
    assert lost(stored, json.loads(json.dumps(Dashboard.from_json(stored), default=as_json))) == []
    panels = stored["panels"]
    ids = [panel["id"] for panel in panels]
    assert len(set(ids)) == len(ids)
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in panels)
    variables = {variable["name"] for variable in stored["templating"]["list"]}
    assert variables == {"datasource", "run", "rank", *(name for name, _, _ in LINKS.values())}
    used = set(re.findall(r"\$\{?(\w+)", json.dumps(stored)))
    assert used <= variables | {"__rate_interval"}


def as_json(value: Any) -> Any:
    return value.to_json()


def lost(before: Any, after: Any, path: str = "") -> list[str]:
    """Paths of the values that a round trip has lost or changed."""
    if isinstance(before, dict) and isinstance(after, dict):
        return [
            found
            for key, value in before.items()
            for found in lost(value, after.get(key), f"{path}.{key}")
        ]
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        pairs = enumerate(zip(before, after, strict=True))
        return [found for i, (a, b) in pairs for found in lost(a, b, f"{path}[{i}]")]
    return [] if before == after else [path]


def test_a_misspelt_key_would_be_lost() -> None:
    stored = json.loads((FOLDER / "training.json").read_text())
    stored["panels"][1]["gridpos"] = stored["panels"][1].pop("gridPos")
    again = json.loads(json.dumps(Dashboard.from_json(stored), default=as_json))
    assert lost(stored, again) == [".panels[1].gridpos"]


def test_every_alert_is_explained_and_tested() -> None:
    page = (ROOT / "docs" / "monitoring.md").read_text()
    tested = (MONITORING / "rules_test.yml").read_text()
    assert len(ALERTS) >= 10
    for rule in ALERTS:
        assert f"\n### {rule['alert']}\n" in page
        assert rule["annotations"]["runbook"] == f"docs/monitoring.md#{rule['alert'].lower()}"
        assert f'alertname="{rule["alert"]}"' in tested


@pytest.mark.integration
@needs_promtool
def test_faults_raise_their_alerts_and_a_clean_run_none() -> None:
    promtool("check", "rules", str(MONITORING / "rules.yml"))
    assert "SUCCESS" in promtool("test", "rules", str(MONITORING / "rules_test.yml"))


@needs_promtool
@pytest.mark.parametrize("ray", [None, "http://127.0.0.1:8265"])
@pytest.mark.parametrize("with_token", [False, True])
def test_prometheus_accepts_its_configuration(
    tmp_path: Path, ray: str | None, with_token: bool
) -> None:
    token = tmp_path / "token"
    token.write_text("planted")
    given = token if with_token else None
    text = prometheus_config("127.0.0.1:9090", tmp_path, interval_s=7, ray=ray, token=given)
    (tmp_path / "prometheus.yml").write_text(text)
    promtool("check", "config", str(tmp_path / "prometheus.yml"))
    assert yaml.safe_load(text)["global"] == {"scrape_interval": "7s", "evaluation_interval": "7s"}
    assert "planted" not in text
    assert text.count("type: Bearer") == text.count(str(token))
    assert (str(token) in text) == (with_token and ray is not None)
    assert ("/api/prometheus/sd" in text) == (ray is not None)
    assert not re.search(r"\b[A-Z]{3,}\b", text), "a placeholder of the template was not replaced"
