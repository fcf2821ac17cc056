"""Checks a cluster from every node, so that problems appear before a run."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import ray

from cluster.machines.machine import Machine, check_name, check_room, check_versions
from cluster.machines.nodes import on_node
from cluster.machines.probes import LINK_BYTES, REDUCED_ELEMENTS, TIMEOUT_S, Probe, Reducer
from ganinv.errors import ClusterError

CLOCK_S = 2.0  # S3 signatures tolerate minutes, but logs and checkpoint ages should agree
# The topic, and a function that returns a sentence or raises a `GanInvError`.
Check = tuple[str, Callable[[], str]]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Node:
    address: str
    cpus: float
    gpus: float
    probe: Any
    node_id: str


def checks(run: str | None, endpoint_url: str | None) -> Iterator[Check]:
    """The checks of the cluster that this process has joined, in the order to run them.

    `run`: the URL of a run's folder, whose storage is checked from every node. Each check raises a
    `GanInvError` for a problem.
    """
    nodes = _nodes()
    yield "nodes", partial(_check_nodes, nodes)
    machines: list[Machine] = ask([node.probe.inspect.remote() for node in nodes], "an inspection")
    for node, machine in zip(nodes, machines, strict=True):
        at = node.address
        yield f"{at}: packages", partial(check_versions, machine)
        yield f"{at}: room", partial(check_room, machine)
        yield f"{at}: GPUs", partial(_check_gpus, node, machine)
        yield f"{at}: clock", partial(_check_clock, node)
        if len(nodes) > 1:
            yield f"{at}: name", partial(check_name, machine)
        if run is not None:
            yield f"{at}: storage", partial(_check_store, node, run, endpoint_url)
    for sender, receiver in zip(nodes, nodes[1:] + nodes[:1], strict=True):
        if sender is not receiver:
            pair = f"{sender.address} → {receiver.address}"
            yield pair, partial(_check_link, sender, receiver)
    yield "all-reduce", partial(_check_reduction, [node for node in nodes if node.cpus >= 1])


def ask(answers: Sequence[Any], what: str) -> list[Any]:
    """The nodes' answers. Raises `ClusterError` if one does not answer; passes on `GanInvError`."""
    try:
        return list(ray.get(list(answers), timeout=TIMEOUT_S))
    except ray.exceptions.GetTimeoutError as error:
        raise ClusterError(
            f"{what} got no answer for {TIMEOUT_S:.0f} s; check ganinv status --cluster, and the "
            "security group or firewall between the nodes"
        ) from error
    except ray.exceptions.RayTaskError as error:
        raise error.cause from error
    except ray.exceptions.RayError as error:
        raise ClusterError(f"a node was lost during {what} ({error}); try again") from error


def _nodes() -> list[_Node]:
    found = []
    for node in ray.nodes():
        if node["Alive"]:
            there = on_node(node["NodeID"])
            probe = ray.remote(Probe).options(num_cpus=0, scheduling_strategy=there).remote()
            resources = node["Resources"]
            found.append(
                _Node(
                    address=node["NodeManagerAddress"],
                    cpus=resources.get("CPU", 0),
                    gpus=resources.get("GPU", 0),
                    probe=probe,
                    node_id=node["NodeID"],
                )
            )
    return sorted(found, key=lambda node: node.address)


def _check_nodes(nodes: Sequence[_Node]) -> str:
    training = [node for node in nodes if node.cpus >= 1]
    if not training:
        raise ClusterError(
            "no node can train, because none offers a CPU; wait for workers, or set min_workers in "
            "the cluster's file"
        )
    cpus, gpus = sum(n.cpus for n in training), sum(n.gpus for n in training)
    return f"{len(nodes)} alive, {len(training)} of them train: {cpus:g} CPUs, {gpus:g} GPUs"


def _check_gpus(node: _Node, machine: Machine) -> str:
    if len(machine.gpus) < node.gpus:
        raise ClusterError(
            f"{node.address} offers {node.gpus:g} GPUs, but torch finds {len(machine.gpus)}; run "
            "nvidia-smi there, and check the driver's version"
        )
    return ", ".join(machine.gpus) or "none"


def _check_store(node: _Node, run: str, endpoint_url: str | None) -> str:
    return str(ask([node.probe.check_store.remote(run, endpoint_url)], "storage")[0])


def _check_clock(node: _Node) -> str:
    before = time.time()
    (there,) = ask([node.probe.time.remote()], "a clock")
    round_trip_s = time.time() - before
    ahead_s = there - before - round_trip_s / 2
    if abs(ahead_s) > CLOCK_S + round_trip_s:
        raise ClusterError(
            f"the clock of {node.address} is {ahead_s:+.1f} s off; switch on time synchronisation "
            "there (timedatectl set-ntp true)"
        )
    return f"{ahead_s * 1000:+.0f} ± {round_trip_s * 500:.0f} ms"


def _check_link(sender: _Node, receiver: _Node) -> str:
    block = sender.probe.make_block.remote()
    ray.wait([block], timeout=TIMEOUT_S, fetch_local=False)
    (seconds,) = ask([receiver.probe.fetch_block.remote([block])], "a transfer between nodes")
    return f"{LINK_BYTES * 8 / 1e9 / seconds:.2f} Gbit/s through Ray's object store"


def _check_reduction(nodes: Sequence[_Node]) -> str:
    """All-reduce by NCCL if all nodes have GPUs, else gloo: check the sum, report the time."""
    gpu = all(node.gpus >= 1 for node in nodes)
    reducers = [
        ray.remote(Reducer)
        .options(num_cpus=1, num_gpus=int(gpu), scheduling_strategy=on_node(node.node_id))
        .remote()
        for node in nodes
    ]
    (address,) = ask([reducers[0].address.remote()], "a free CPU or GPU on every node")
    world = len(reducers)
    answers = [r.reduce.remote(address, i, world, gpu=gpu) for i, r in enumerate(reducers)]
    results = ask(answers, "an all-reduce")
    expected = world * (world + 1) / 2
    if any(total != expected for total, _ in results):
        raise ClusterError(
            f"an all-reduce returned {results[0][0]} instead of {expected}; do not train on this "
            "cluster before the cause is found"
        )
    seconds = max(seconds for _, seconds in results)
    backend = "NCCL" if gpu else "gloo"
    megabytes = REDUCED_ELEMENTS * 4 / 1e6
    return f"{backend} over {world} nodes: {megabytes:.0f} MB in {seconds * 1000:.0f} ms"
