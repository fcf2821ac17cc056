"""The types of the Grafana dashboards: boards, their rows of panels, and the panels' queries.

Plain values, so that tests can run every query on a live Prometheus. `$run` and `$rank` are
variables of the boards, `$__rate_interval` is Grafana's. Series are named in
`cluster.monitoring.metrics_table`, in the recording rules (`rules.yml`), or by Ray.
"""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["lines", "shares", "logarithmic", "figure"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Panel:
    """One panel. `queries`: legend → PromQL; a legend may contain labels, such as `{{rank}}`."""

    title: str
    help: str
    queries: dict[str, str]
    unit: str = "short"  # Grafana's name of the unit
    kind: Kind = "lines"
    needs: str = ""  # hardware without which the panel is empty


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
    """The metric's value per run, whichever worker had rank 0."""
    return f'max by (run) ({metric}{{run=~"$run"}})'


def quantile(share: float, metric: str) -> str:
    rates = f'rate({metric}_bucket{{run=~"$run"}}[$__rate_interval])'
    return f"histogram_quantile({share}, sum by (le) ({rates}))"
