"""Nodes of a Ray cluster: where something listens, and where it runs."""

import ipaddress
import socket
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import ray

ANSWER_S = 2.0  # for a raylet to take a connection
ASKED_AT_ONCE = 32
HEAD = "node:__internal_head__"  # a resource that Ray gives to the head node alone


def listening_address(host: str) -> str:
    """The address to listen on for `metrics.host`: `node` is this node's own within the cluster."""
    return str(ray.util.get_node_ip_address()) if host == "node" else host


def is_loopback(address: str) -> bool:
    """`address`: HOST:PORT."""
    host = address.rpartition(":")[0]
    return host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback


def on_head() -> Any:
    """The scheduling strategy that takes a task or an actor to the head."""
    head = next(n for n in ray.nodes() if n["Alive"] and HEAD in n["Resources"])
    return on_node(head["NodeID"])


def on_this_node() -> Any:
    """The scheduling strategy that keeps a task or an actor with the driver."""
    return on_node(ray.get_runtime_context().get_node_id())


def on_node(node_id: str) -> Any:
    """The scheduling strategy that takes a task or an actor to a node, or nowhere."""
    return ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
        node_id=node_id, soft=False
    )


def lost_nodes(node_ids: Iterable[str]) -> set[str]:
    """Those of the nodes that Ray knows to be lost, or whose raylet takes no connection any more.

    Ray itself gives a node some 15 s before it calls it lost.
    """
    nodes = {node["NodeID"]: node for node in ray.nodes() if node["Alive"]}
    asked = sorted(set(node_ids))

    def answers(node_id: str) -> bool:
        node = nodes.get(node_id)
        return node is not None and _listens(node["NodeManagerAddress"], node["NodeManagerPort"])

    with ThreadPoolExecutor(ASKED_AT_ONCE) as pool:
        return {name for name, yes in zip(asked, pool.map(answers, asked), strict=True) if not yes}


def _listens(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=ANSWER_S).close()
    except OSError:
        return False
    return True
