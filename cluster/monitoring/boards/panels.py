"""What the Grafana dashboards show: boards of rows of panels, and the queries behind them.

Plain values, so that tests can put every query to a live Prometheus. `$run` and `$rank` are the
boards' variables, `$__rate_interval` is Grafana's own. Names come from
`cluster.monitoring.metrics_table`, the recording rules (`monitoring/rules.yml`) and Ray.
"""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["lines", "shares", "logarithmic", "figure"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Panel:
    """One panel. `queries`: legend → PromQL; a legend may name labels, as `{{rank}}`."""

    title: str
    help: str
    queries: dict[str, str]
    unit: str = "short"  # Grafana's name of it
    kind: Kind = "lines"
    needs: str = ""  # what a machine must have for the panel to show anything


@dataclass(frozen=True, kw_only=True, slots=True)
class Board:
    """One dashboard; `rows`: title → panels."""

    name: str
    title: str
    rows: dict[str, tuple[Panel, ...]]

    @property
    def panels(self) -> list[Panel]:
        return [panel for row in self.rows.values() for panel in row]


def newest(metric: str) -> str:
    """One value per run, whichever worker had rank 0."""
    return f'max by (run) ({metric}{{run=~"$run"}})'


def quantile(share: float, metric: str) -> str:
    rates = f'rate({metric}_bucket{{run=~"$run"}}[$__rate_interval])'
    return f"histogram_quantile({share}, sum by (le) ({rates}))"
