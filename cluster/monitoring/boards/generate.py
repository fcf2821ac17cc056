"""`python -m cluster.monitoring.boards.generate`: write the dashboards and the table of metrics.

The outputs, Grafana's JSON files and `docs/metrics.md`, are checked in, so that users need no
generator. A test fails if they differ from its output.
"""

import itertools
import json
from pathlib import Path
from typing import Any

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common as common_model
from grafana_foundation_sdk.models import dashboard as model

from cluster.monitoring.boards.panels import Board, Panel
from cluster.monitoring.boards.reliability import RELIABILITY
from cluster.monitoring.boards.system import SYSTEM
from cluster.monitoring.boards.training import TRAINING
from cluster.monitoring.metrics_table import as_markdown

BOARDS = (TRAINING, SYSTEM, RELIABILITY)
ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "cluster" / "monitoring" / "grafana" / "dashboards"
SOURCE = model.DataSourceRef(type_val="prometheus", uid="${datasource}")
# Links of each board: title → variable with the base URL, its default, and the path appended.
LINKS = {
    "Pictures and report": ("page", "http://127.0.0.1:9465", "/"),
    "Logs (Ray)": ("ray", "http://127.0.0.1:8265", "/#/logs"),
    "Alerts": ("prometheus", "http://127.0.0.1:9090", "/alerts"),
}
COLUMNS = 24  # of Grafana's grid


def generated() -> dict[Path, str]:
    """Path and text of every generated file."""
    boards = {FOLDER / f"{board.name}.json": _json(_dashboard(board)) for board in BOARDS}
    return {**boards, ROOT / "docs" / "metrics.md": as_markdown()}


def _json(board: model.Dashboard) -> str:
    """JSON without the keys that the SDK writes although Grafana's schema lacks them."""
    plain = json.loads(JSONEncoder().encode(board))
    del plain["style"]
    for variable in plain["templating"]["list"]:
        for key in ("auto", "auto_count", "auto_min", "id"):
            variable.pop(key, None)
    return json.dumps(plain, indent=1, sort_keys=True) + "\n"


def _dashboard(board: Board) -> model.Dashboard:
    builder = (
        dashboard.Dashboard(board.title)
        .uid(f"ganinv-{board.name}")
        .tags(["ganinv"])
        .refresh("10s")
        .time("now-1h", "now")
        .timezone("browser")
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
        .link(dashboard.DashboardLink("ganinv").type(model.DashboardLinkType.DASHBOARDS)
              .tags(["ganinv"]).include_vars(True).keep_time(True))
    )  # fmt: skip
    for title, (name, _, path) in LINKS.items():
        builder.link(
            dashboard.DashboardLink(title)
            .type(model.DashboardLinkType.LINK)
            .url(f"${{{name}}}{path}")
            .target_blank(True)
        )
    _add_variables(builder)
    numbers = itertools.count(1)
    for title, panels in board.rows.items():
        builder.with_row(dashboard.Row(title).id(next(numbers)))
        width = COLUMNS // (len(panels) if len(panels) in (1, 2, 4) else 3)
        for panel in panels:
            builder.with_panel(_panel(panel, width).id(next(numbers)))
    return builder.build()


def _add_variables(builder: dashboard.Dashboard) -> None:
    builder.with_variable(
        dashboard.DatasourceVariable("datasource").label("Source").type("prometheus")
    )
    queries = {
        "run": "label_values(ganinv_images_total, run)",
        "rank": 'label_values(ganinv_images_total{run=~"$run"}, rank)',
    }
    for name, query in queries.items():
        builder.with_variable(
            dashboard.QueryVariable(name)
            .label(name.capitalize())
            .datasource(SOURCE)
            .query(query)
            .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
            .sort(model.VariableSort.NUMERICAL_ASC)
            .multi(name == "rank")
            .include_all(name == "rank")
        )
    for name, default in {name: default for name, default, _ in LINKS.values()}.items():
        builder.with_variable(
            dashboard.TextBoxVariable(name).label(f"URL of {name}").default_value(default)
        )


def _panel(panel: Panel, width: int) -> Any:
    """The builder of a panel; the SDK's builders have no common type."""
    builder = _figure() if panel.kind == "figure" else _lines(panel)
    builder.title(panel.title).description(panel.help).unit(panel.unit).datasource(SOURCE)
    builder.span(width).height(4 if panel.kind == "figure" else 8)
    for index, (legend, expression) in enumerate(panel.queries.items()):
        query = prometheus.Dataquery().expr(expression).ref_id(chr(ord("A") + index))
        builder.with_target(query.legend_format(legend) if legend else query)
    return builder


def _figure() -> Any:
    newest = common.ReduceDataOptions().calcs(["lastNotNull"])
    return stat.Panel().graph_mode(common_model.BigValueGraphMode.AREA).reduce_options(newest)


def _lines(panel: Panel) -> Any:
    builder = timeseries.Panel().legend(
        common.VizLegendOptions()
        .show_legend(True)
        .display_mode(common_model.LegendDisplayMode.LIST)
        .placement(common_model.LegendPlacement.BOTTOM)
    )
    if panel.kind == "shares":
        stacking = common.StackingConfig().mode(common_model.StackingMode.NORMAL)
        builder.stacking(stacking).fill_opacity(60).min(0).max(1)
    elif panel.kind == "logarithmic":
        scale = common_model.ScaleDistribution.LOG
        builder.scale_distribution(common.ScaleDistributionConfig().type(scale).log(10))
    return builder


def main() -> None:
    for path, text in generated().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        print(path.relative_to(ROOT))


if __name__ == "__main__":
    main()
