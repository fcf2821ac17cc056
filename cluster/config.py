"""How a run uses its workers; light to import, for everyone who only reads configuration."""

import os
import re
from dataclasses import dataclass, field

from ganinv.errors import ConfigError


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineConfig:
    """How DeepSpeed runs the optimizers."""

    zero_stage: int = 1  # 0: all on every rank; 1: optimizer state split; 2: gradients split too
    bucket_elements: int = 5_000_000  # gradients sent at once; a buffer of this size is kept
    overlap_communication: bool = False

    def __post_init__(self) -> None:
        if self.zero_stage not in (0, 1, 2):
            raise ConfigError(
                f"zero_stage = {self.zero_stage}: choose 0, 1 or 2 (3 splits the weights, which "
                "does not give right gradients for GAN losses)"
            )
        if self.bucket_elements < 1:
            raise ConfigError(f"bucket_elements = {self.bucket_elements}: must be at least 1")


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckpointConfig:
    """Which checkpoints stay, and how long a run goes on that cannot write any."""

    keep_last: int = 3  # this many of the newest
    keep_every_images: int | None = None  # and the first of each so many images; None: no others
    trouble_limit_s: float = 1800  # without a commit, once one has failed; then the run stops

    def __post_init__(self) -> None:
        if self.keep_last < 2:
            raise ConfigError(
                f"keep_last = {self.keep_last}: must be at least 2, so that a damaged newest "
                "checkpoint leaves one to fall back to"
            )
        if self.keep_every_images is not None and self.keep_every_images < 1:
            raise ConfigError(f"keep_every_images = {self.keep_every_images}: must be at least 1")
        if self.trouble_limit_s < 0:
            raise ConfigError(f"trouble_limit_s = {self.trouble_limit_s}: must be at least 0")


@dataclass(frozen=True, kw_only=True, slots=True)
class ClusterConfig:
    """The group of workers. Either `workers`, or `min_workers` and `max_workers`."""

    workers: int | None = None  # exactly so many; None and no range: 1
    min_workers: int | None = None
    max_workers: int | None = None
    use_gpu: bool = False  # one GPU per worker, NCCL; else CPU, gloo
    cpus_per_worker: float = 1
    max_failures: int = 3  # restarts in a row without a new checkpoint in between
    max_preemptions: int | None = None  # the same for preemptions and resizes; None: any number
    start_timeout_s: float = 120  # for all workers to come up
    max_wait_s: float = 3600  # for room for the fewest workers; then the run ends
    grow_after_s: float = 60  # a group trains for so long before it makes way for a larger one
    # A worker that does not answer for so long, or takes so long for a step (or ten times as long
    # as the slowest of a hundred), hangs: it is ended, and the group restarts.
    hang_floor_s: float = 7
    # The longest wait for another worker while that may wait for storage. It bounds what the above
    # does not: a worker that is lost in other work than a step.
    collective_timeout_s: float = 300

    def __post_init__(self) -> None:
        for key in ("workers", "min_workers", "max_workers"):
            value = getattr(self, key)
            if value is not None and value < 1:
                raise ConfigError(f"{key} = {value}: must be at least 1")
        for key in (
            "cpus_per_worker", "start_timeout_s", "collective_timeout_s", "max_wait_s",
        ):  # fmt: skip
            if getattr(self, key) <= 0:
                raise ConfigError(f"{key} = {getattr(self, key)}: must be above 0")
        if self.hang_floor_s < 1:
            raise ConfigError(
                f"hang_floor_s = {self.hang_floor_s}: must be at least 1, or busy workers are ended"
            )
        for key in ("max_failures", "max_preemptions", "grow_after_s"):
            value = getattr(self, key)
            if value is not None and value < 0:
                raise ConfigError(f"{key} = {value}: must be at least 0")
        if (self.min_workers is None) != (self.max_workers is None):
            raise ConfigError("min_workers and max_workers belong together; give both or neither")
        if self.min_workers is not None and self.max_workers is not None:
            if self.workers is not None:
                raise ConfigError(
                    f"workers = {self.workers}: excludes min_workers and max_workers; give the "
                    "number or the range"
                )
            if self.min_workers > self.max_workers:
                raise ConfigError(
                    f"min_workers = {self.min_workers}: above max_workers = {self.max_workers}"
                )

    @property
    def resources_per_worker(self) -> dict[str, float]:
        """What Ray reserves for each worker."""
        return {"CPU": self.cpus_per_worker} | ({"GPU": 1} if self.use_gpu else {})

    @property
    def sizes(self) -> range:
        """All numbers of workers that the group may have."""
        if self.min_workers is not None and self.max_workers is not None:
            return range(self.min_workers, self.max_workers + 1)
        count = self.workers or 1
        return range(count, count + 1)


@dataclass(frozen=True, kw_only=True, slots=True)
class MetricsConfig:
    """Where Prometheus finds the run. Everything listens on loopback unless told otherwise."""

    host: str = "127.0.0.1"  # exporters and discovery listen here; node: each node's own address
    discovery_port: int = 0  # HTTP service discovery; 0 picks a free port and prints it

    def __post_init__(self) -> None:
        if self.host in ("", "0.0.0.0", "::"):  # noqa: S104 (refused, not bound)
            raise ConfigError(
                f"host = {self.host!r}: would listen on every network of every node; give "
                "metrics.host=node, the address by which Ray knows each node"
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class ServerConfig:
    """Where a cluster's job server is; an SSH tunnel to the head ends at the default."""

    address: str = field(
        default_factory=lambda: os.environ.get("RAY_API_SERVER_ADDRESS", "http://127.0.0.1:8265")
    )

    def __post_init__(self) -> None:
        if not re.fullmatch(r"https?://[^/@\s]+/?", self.address):
            raise ConfigError(f"address = {self.address!r}: write http://HOST:PORT")
