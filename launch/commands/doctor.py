"""`ganinv doctor`: find problems before a run, and say how to repair them."""

import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from rich.console import Console

from cluster.config import ClusterConfig, ServerConfig
from cluster.jobs.ray_environment import cluster_address
from cluster.jobs.server import JobServer
from cluster.machines import machine
from cluster.machines.ray_checks import check_ray
from cluster.storage.opening import open_store
from datasets.shards.index import Index, check_sizes
from ganinv.errors import GanInvError
from launch.environment import check_packages
from launch.options.arguments import parse
from launch.options.sections import read_sections
from launch.progress import console
from launch.wiring.jobs import FORWARDED, environment, follow

EXAMPLES = """\
examples:
  ganinv doctor                                     this machine
  ganinv doctor storage.run=s3://bucket/runs/try data.url=s3://bucket/avatars32
  ganinv doctor --cluster storage.run=s3://bucket/runs/try    from every node

--cluster runs as a job on the cluster (server.address, else RAY_API_SERVER_ADDRESS, else a tunnel
at http://127.0.0.1:8265). It uses one CPU of each node, or one GPU if all nodes have GPUs, for some
seconds. Exit status: 0 without problems, else that of the first problem (2 this machine, 3 storage
or data, 5 cluster).
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class PlaceConfig:
    """The storage of a run. Optional: without it only machines are checked."""

    run: str | None = None
    endpoint_url: str | None = None  # of an S3 server that is not AWS


@dataclass(frozen=True, kw_only=True, slots=True)
class DataPlaceConfig:
    """The data set to check."""

    url: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """The result of one check; `status` is 0, or the exit status of the problem."""

    topic: str
    says: str
    status: int = 0


SECTIONS: dict[str, type] = {
    "storage": PlaceConfig,
    "data": DataPlaceConfig,
    "server": ServerConfig,
}
SWITCHES = {"--cluster": "look from every node of the cluster"}


def main(argv: list[str]) -> int:
    arguments = parse(
        argv,
        "doctor",
        "Check this machine, storage and data, or every node of a cluster.",
        EXAMPLES,
        switches=SWITCHES,
    )
    sections = read_sections(arguments.options, SECTIONS)
    out = console(arguments.as_json)
    if "--cluster" in arguments.switches and cluster_address() is None:
        return _as_job(argv, sections["server"], out)
    if "--cluster" in arguments.switches:
        checks = _cluster(sections["storage"], sections["data"])
    else:
        checks = _here(sections["storage"], sections["data"])
    findings = list(examine(checks, out))
    status = next((finding.status for finding in findings if finding.status), 0)
    if arguments.as_json:
        rows = [{"topic": f.topic, "says": f.says, "status": f.status} for f in findings]
        print(json.dumps({"findings": rows, "status": status}))
    else:
        problems = sum(finding.status != 0 for finding in findings)
        out.print(
            f"{problems} of {len(findings)} checks failed" if problems else "no problems found"
        )
    return status


def examine(checks: Iterable[tuple[str, Callable[[], str]]], out: Console) -> Iterator[Finding]:
    """Run every check, even after failures, and show each result at once."""
    for topic, check in checks:
        try:
            finding = Finding(topic=topic, says=check())
        except GanInvError as error:
            finding = Finding(topic=topic, says=str(error), status=error.exit_status)
        mark = "[red]✗[/red]" if finding.status else "[green]✓[/green]"
        out.print(mark, end=" ")
        out.print(f"{finding.topic}: {finding.says}", markup=False, soft_wrap=True)
        yield finding


def _here(storage: PlaceConfig, data: DataPlaceConfig) -> Iterator[tuple[str, Callable[[], str]]]:
    facts = machine.inspect_machine()
    yield "this machine", partial(machine.check_room, facts)
    yield "packages", partial(machine.check_versions, facts)
    yield "checkout", _checkout
    yield "Ray", check_ray
    yield "Prometheus", _prometheus
    yield from _places(storage, data)


def _places(storage: PlaceConfig, data: DataPlaceConfig) -> Iterator[tuple[str, Callable[[], str]]]:
    run, url, endpoint = storage.run, data.url, storage.endpoint_url
    if run is not None:
        yield "storage", partial(_storage, run, endpoint)
    if url is not None:
        yield "data", partial(_data, url, endpoint)


def _cluster(
    storage: PlaceConfig, data: DataPlaceConfig
) -> Iterator[tuple[str, Callable[[], str]]]:
    # Imported late: these imports take seconds, and checks of this machine do not need them.
    from cluster.machines import survey
    from cluster.workers.starting import start_ray

    start_ray(ClusterConfig(use_gpu=True))  # joins the cluster; GPUs may be used
    yield from survey.checks(storage.run, storage.endpoint_url)
    yield from _places(PlaceConfig(endpoint_url=storage.endpoint_url), data)


def _as_job(argv: Sequence[str], server: ServerConfig, out: Console) -> int:
    jobs = JobServer(server.address)
    words = [word for word in argv if not word.startswith("server.")]
    job = jobs.submit(["doctor", *words], environment=environment(FORWARDED), metadata={})
    return follow(jobs, job, out)


def _checkout() -> str:
    check_packages()
    return "commands run from this checkout"


def _prometheus() -> str:
    found = shutil.which("prometheus")
    return found or "not installed; only monitoring needs it (Debian package: prometheus)"


def _storage(url: str, endpoint_url: str | None) -> str:
    return machine.check_store(open_store(url, endpoint_url=endpoint_url))


def _data(url: str, endpoint_url: str | None) -> str:
    store = open_store(url, endpoint_url=endpoint_url)
    index = Index.load(store)
    check_sizes(index, store)
    return (
        f"{url}: {index.samples('train')} images of {index.resolution} px in {len(index.shards)} "
        "shards, none missing or truncated (data verify reads every byte)"
    )
