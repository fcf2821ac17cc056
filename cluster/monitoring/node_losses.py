"""The metric of nodes that left the Ray cluster without notice, exported by a run's directory.

Ray counts all nodes that leave (`ray_node_failure_total`), also those that the autoscaler takes
back or somebody stops. Only its control store knows why a node has left.
"""

from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from cluster.monitoring.meters import MetricSpec

NODES_LOST = MetricSpec(
    name="ganinv_nodes_lost_total",
    kind="counter",
    help="Nodes that left the cluster without notice since the command was started",
    labels=("run",),
)


class NodeLosses(Collector):
    """Counts the nodes that are lost from now on; asks at each scrape."""

    def __init__(self, run: str, lost: Callable[[], set[str]]) -> None:
        """`lost`: the ids of all nodes that this Ray has lost, in `run`'s time and before."""
        self._run = run
        self._lost = lost
        self._before = lost()
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def collect(self) -> Iterable[Metric]:
        family = CounterMetricFamily(NODES_LOST.name, NODES_LOST.help, labels=NODES_LOST.labels)
        family.add_metric([self._run], len(self._lost() - self._before))
        yield family

    def page(self) -> bytes:
        """The metric in Prometheus' text format."""
        return generate_latest(self._registry)
