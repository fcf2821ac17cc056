"""A model of the duration of a training step on many workers, and of goodput.

    T(W, b) = (c₀ + c₁·b) · k(W) · (1 + σ·e(W)) + 2·n·⌈log₂ W⌉·α + A(S, W)

b: images per worker; W: workers; c₀: seconds of a step besides its images; c₁: seconds per image;
k: slowdown by the other workers of a machine; σ: relative spread of a worker's step (all workers
wait for the slowest, e(W) standard deviations above the mean, Blom 1958); α: latency of a message;
n: collectives per step besides those of gradients; A: all-reduce of S bytes of gradients, the
cheaper of a ring and a tree at β bytes/s per worker (Thakur, Rabenseifner and Gropp 2005).

A node fails at random, once per MTTF. A failure costs a restart and half of the time between two
checkpoints.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np


@dataclass(frozen=True, kw_only=True, slots=True)
class Network:
    """The network between workers."""

    latency_s: float  # α
    bytes_per_s: float  # β, per worker


@dataclass(frozen=True, kw_only=True, slots=True)
class Workload:
    """A training step of a recipe on one worker."""

    fixed_s: float  # c₀
    per_image_s: float  # c₁
    jitter: float  # σ, a ratio
    gradient_bytes: int  # S, of both networks
    collectives: float  # n
    cores: int | None = None  # shared by all workers; None: each worker has its own device
    contention: float = 1.0  # cost of a worker's step while another core is busy, as a factor


@dataclass(frozen=True, kw_only=True, slots=True)
class Reliability:
    """How often nodes fail, and the cost of a failure."""

    node_mttf_s: float  # mean time between failures of one node
    workers_per_node: int
    restart_s: float  # from a failure to the next trained step
    checkpoint_every_s: float
    checkpoint_stall_s: float


def expected_maximum(count: int) -> float:
    """e(W): expectation of the largest of `count` standard normal draws (Blom's approximation)."""
    return 0.0 if count == 1 else NormalDist().inv_cdf((count - 0.375) / (count + 0.25))


def all_reduce_s(size_bytes: float, workers: int, network: Network) -> float:
    """The cheaper of a ring and a (pipelined) tree."""
    if workers == 1:
        return 0.0
    hops = math.ceil(math.log2(workers))
    ring = 2 * (workers - 1) * network.latency_s
    ring += 2 * (workers - 1) / workers * size_bytes / network.bytes_per_s
    tree = 2 * hops * network.latency_s + 2 * size_bytes / network.bytes_per_s
    return min(ring, tree)


def compute_s(workload: Workload, workers: int, share: float) -> float:
    """Seconds of the slowest worker; `share`: images per worker."""
    alone = workload.fixed_s + workload.per_image_s * share
    crowd = 1.0
    if workload.cores is not None and workers > 1:
        crowd = workload.contention * max(1.0, workers / workload.cores)
    return alone * crowd * (1 + workload.jitter * expected_maximum(workers))


def step_s(workload: Workload, network: Network, workers: int, share: float) -> float:
    """T(W, b)."""
    hops = math.ceil(math.log2(workers)) if workers > 1 else 0
    talk = 2 * workload.collectives * hops * network.latency_s
    gradients = all_reduce_s(workload.gradient_bytes, workers, network)
    return compute_s(workload, workers, share) + talk + gradients


def goodput(reliability: Reliability, workers: int) -> float:
    """The share of the time spent on steps that no failure undoes."""
    nodes = math.ceil(workers / reliability.workers_per_node)
    mttf_s = reliability.node_mttf_s / nodes
    saving = reliability.checkpoint_stall_s / reliability.checkpoint_every_s
    failing = (reliability.restart_s + reliability.checkpoint_every_s / 2) / mttf_s
    return 1 / ((1 + saving) * (1 + failing))


def fit_line(points: list[tuple[float, float]]) -> tuple[float, float]:
    """Intercept (at least 0) and slope of a line through (x, y), by least relative squares."""
    x, y = np.array(points, dtype=float).T
    columns = np.stack([1 / y, x / y], axis=1)
    (intercept, slope), *_ = np.linalg.lstsq(columns, np.ones(len(x)), rcond=None)
    if intercept < 0:
        return 0.0, float(np.mean(y / x))
    return float(intercept), float(slope)
