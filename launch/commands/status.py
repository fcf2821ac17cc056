"""`ganinv status`: a run's progress, read from storage only; or a cluster's state."""

import json
import time
from typing import Any

from rich.table import Table

from cluster.config import ServerConfig
from cluster.jobs.server import JobServer
from cluster.run_folder.corrupt_samples import quarantined
from cluster.run_folder.group_history import as_json, summarise
from cluster.run_folder.group_log import read_groups
from cluster.run_folder.metrics_log import finite_or_null, read_rows
from cluster.storage.opening import open_store
from ganinv.saved.manifest import manifests_newest_first
from launch.clock import clock
from launch.options.arguments import parse
from launch.options.places import StorageConfig
from launch.options.sections import read_sections
from launch.progress import console

EXAMPLES = """\
examples:
  ganinv status storage.run=s3://bucket/runs/a
  ganinv status --cluster                        nodes, workers and jobs
  ganinv status --cluster server.address=http://127.0.0.1:8265 --json
"""
OF_RUNS: dict[str, type] = {"storage": StorageConfig}
OF_CLUSTERS: dict[str, type] = {"server": ServerConfig}
SECTIONS = OF_RUNS | OF_CLUSTERS
SWITCHES = {"--cluster": "nodes, workers and jobs of a cluster instead of a run"}
SHOWN = ("loss/", "latent/entropy_nats", "throughput/")  # beginnings of keys


def main(argv: list[str]) -> int:
    arguments = parse(
        argv,
        "status",
        "Show the progress of a run, or the state of a cluster.",
        EXAMPLES,
        switches=SWITCHES,
    )
    if "--cluster" in arguments.switches:
        sections = read_sections(arguments.options, OF_CLUSTERS)
        facts = JobServer(sections["server"].address).overview()
        if not arguments.as_json:
            _show_cluster(facts)
    else:
        facts = run_status(read_sections(arguments.options, OF_RUNS)["storage"])
        if not arguments.as_json:
            _show_run(facts)
    if arguments.as_json:
        print(json.dumps(facts))
    return 0


def run_status(storage: StorageConfig) -> dict[str, Any]:
    """The run's last metrics, newest checkpoint, cost of restarts, and corrupt samples."""
    store = open_store(storage.run, endpoint_url=storage.endpoint_url)
    rows = read_rows(store)
    manifests = manifests_newest_first(store)
    newest = manifests[0] if manifests else None
    now = time.time()
    groups = summarise(read_groups(store), now)
    return {
        "storage.run": storage.run,
        "metrics": finite_or_null(rows[-1]) if rows else None,
        "checkpoint": newest
        and {"name": newest.name, "created": newest.created, "age_s": now - newest.created},
        "checkpoints": len(manifests),
        "restarts": dict(groups.restarts),
        "lost_images": groups.lost_images,
        "gaps_s": list(groups.gaps_seconds),
        "goodput": groups.goodput,
        "group": groups.last and as_json(groups.last),
        "quarantined": [sample._asdict() for sample in quarantined(store)],
    }


def _show_run(facts: dict[str, Any]) -> None:
    row, newest = facts["metrics"], facts["checkpoint"]
    if row is None and newest is None:
        print(f"nothing has been trained in {facts['storage.run']} yet")
        return
    if row is not None:
        figures = "  ".join(
            f"{key} {value:.4g}"
            for key, value in row.items()
            if key.startswith(SHOWN) and value is not None
        )
        print(f"{int(row['images_seen']):,} images seen  {figures}")
    if newest is not None:
        minutes = newest["age_s"] / 60
        print(
            f"newest of {facts['checkpoints']} checkpoints: {newest['name']}, {minutes:.0f} min ago"
        )
    _show_groups(facts)
    for sample in facts["quarantined"]:
        print(f"corrupt and replaced: {sample['key']} in {sample['shard']} ({sample['reason']})")


def _show_groups(facts: dict[str, Any]) -> None:
    group = facts["group"]
    if group is None:
        return
    by_reason = ", ".join(f"{count} {reason}" for reason, count in facts["restarts"].items())
    goodput = f"{100 * facts['goodput']:.0f} %" if facts["goodput"] is not None else "unknown"
    print(
        f"restarts: {by_reason or 'none'}; {facts['lost_images']:,} images trained again; "
        f"goodput {goodput}"
    )
    if group["reason"] is not None:
        print(f"the last worker group ended: {group['reason']} {group['detail']}".rstrip())
    else:
        seen = f"; images seen: {group['images_seen']:,}" if group["images_seen"] else ""
        workers = f"{group['world_size']} worker" + ("s" if group["world_size"] > 1 else "")
        print(f"{workers} since {clock(group['launched'])}{seen}")


def _show_cluster(facts: dict[str, Any]) -> None:
    out = console()
    nodes = Table("node", "role", "state", "CPU", "GPU", "workers of runs", box=None)
    for node in facts["nodes"]:
        role = "head" if node["head"] else "worker"
        cells = (f"{node['cpus']:g}", f"{node['gpus']:g}", str(node["workers"]))
        nodes.add_row(node["address"], role, node["state"], *cells)
    out.print(nodes)
    jobs = Table("job", "state", "run", "started", box=None)
    for job in facts["jobs"]:
        started = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(job["started"]))
        jobs.add_row(job["id"], job["state"], job["run"] or "", started)
    out.print(jobs if facts["jobs"] else "no jobs")
