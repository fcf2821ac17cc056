"""Nodes of a Ray cluster: listening addresses, scheduling, and lost nodes."""

import socket
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import ray

ANSWER_S = 2.0  # for a raylet to accept a connection
CONNECTIONS = 32  # at the same time
HEAD = "node:__internal_head__"  # a resource that only the head node has
# Ray's `NodeDeathInfo.Reason`: 1 SIGTERM, 2 without notice, 3 preempted, 4 idle. 2 alone is a loss.
UNEXPECTED_TERMINATION = 2


def listening_address(host: str) -> str:
    """The address to listen on for `metrics.host`; `node`: this node's address in the cluster."""
    return str(ray.util.get_node_ip_address()) if host == "node" else host


def on_head() -> Any:
    """The scheduling strategy that runs a task or an actor on the head."""
    head = next(n for n in ray.nodes() if n["Alive"] and HEAD in n["Resources"])
    return on_node(head["NodeID"])


def on_this_node() -> Any:
    """The scheduling strategy that runs a task or an actor on this process' node."""
    return on_node(ray.get_runtime_context().get_node_id())


def on_node(node_id: str) -> Any:
    """The scheduling strategy that runs a task or an actor on one node, and on no other."""
    return ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
        node_id=node_id, soft=False
    )


def lost_nodes(node_ids: Iterable[str]) -> set[str]:
    """The nodes that Ray lists as dead, or whose raylet accepts no connection.

    The connections detect a dead node at once; Ray itself needs some 15 s.
    """
    nodes = {node["NodeID"]: node for node in ray.nodes() if node["Alive"]}
    names = sorted(set(node_ids))

    def answers(node_id: str) -> bool:
        node = nodes.get(node_id)
        return node is not None and _listens(node["NodeManagerAddress"], node["NodeManagerPort"])

    with ThreadPoolExecutor(CONNECTIONS) as pool:
        return {name for name, yes in zip(names, pool.map(answers, names), strict=True) if not yes}


def unexpectedly_dead_nodes() -> set[str]:
    """The ids of all nodes of this Ray that left without notice: neither drained nor stopped."""
    return {
        node["NodeID"]
        for node in ray.nodes()
        if not node["Alive"] and node["DeathReason"] == UNEXPECTED_TERMINATION
    }


def _listens(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=ANSWER_S).close()
    except OSError:
        return False
    return True
