"""Nodes of a Ray cluster: where something listens, and where it runs."""

import ipaddress
from typing import Any

import ray

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
