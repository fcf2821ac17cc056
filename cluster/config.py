"""Options for workers, checkpoints, metrics and the job server. Cheap to import."""

import os
import re
from dataclasses import dataclass, field
from typing import Literal

from ganinv.errors import ConfigError


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineConfig:
    """How optimizers run over the workers."""

    # deepspeed: DeepSpeed, which can shard optimizer states (ZeRO). flat: a network's gradients in
    # one buffer, reduced at once, while those of the next network are computed; no sharding.
    name: Literal["deepspeed", "flat"] = "deepspeed"
    zero_stage: int = 1  # 0: no sharding; 1: optimizer state sharded; 2: gradients sharded, too
    bucket_elements: int = (
        5_000_000  # gradients reduced at once; a buffer of this size is allocated
    )
    overlap_communication: bool = False  # of DeepSpeed; flat always overlaps

    def __post_init__(self) -> None:
        if self.zero_stage not in (0, 1, 2):
            raise ConfigError(
                f"zero_stage = {self.zero_stage}: choose 0, 1 or 2 (stage 3 shards the weights, "
                "which gives wrong gradients for GAN losses)"
            )
        if self.bucket_elements < 1:
            raise ConfigError(f"bucket_elements = {self.bucket_elements}: must be at least 1")
        if self.name == "flat" and self.zero_stage != 0:
            raise ConfigError(
                f"zero_stage = {self.zero_stage}: engine.name=flat shards nothing; add "
                "engine.zero_stage=0, or choose engine.name=deepspeed"
            )
        if self.name == "flat" and self.overlap_communication:
            raise ConfigError(
                "overlap_communication = True: an option of DeepSpeed, and engine.name=flat always "
                "overlaps; leave it out"
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckpointConfig:
    """Which checkpoints are kept, and how long a run continues without being able to save."""

    keep_last: int = 3  # the newest checkpoints, so many
    keep_every_images: int | None = None  # also the first of every so many images; None: no others
    trouble_limit_s: float = 1800  # after a failed save, without a commit; then the run ends

    def __post_init__(self) -> None:
        if self.keep_last < 2:
            raise ConfigError(
                f"keep_last = {self.keep_last}: must be at least 2, so that the run can fall "
                "back to an older checkpoint if the newest one is corrupt"
            )
        if self.keep_every_images is not None and self.keep_every_images < 1:
            raise ConfigError(f"keep_every_images = {self.keep_every_images}: must be at least 1")
        if self.trouble_limit_s < 0:
            raise ConfigError(f"trouble_limit_s = {self.trouble_limit_s}: must be at least 0")


@dataclass(frozen=True, kw_only=True, slots=True)
class ClusterConfig:
    """The workers. Give either `workers`, or both `min_workers` and `max_workers`."""

    workers: int | None = None  # a fixed number; None without a range means 1
    min_workers: int | None = None
    max_workers: int | None = None
    use_gpu: bool = False  # true: one GPU per worker and NCCL; false: CPU and gloo
    cpus_per_worker: float = 1
    max_failures: int = 3  # restarts in a row without a new checkpoint
    max_preemptions: int | None = None  # the same for preemptions and resizes; None: no limit
    start_timeout_s: float = 120  # for all workers of a group to start
    max_wait_s: float = 3600  # for room for `min_workers` (or `workers`); then the run ends
    grow_after_s: float = 60  # a group trains at least so long before a larger one replaces it
    # Seconds without an answer, or in one step, before a worker counts as hung. A step may take ten
    # times the recent 99th percentile if that is longer. A hung worker is killed and the group
    # restarts.
    hang_floor_s: float = 7
    # The longest wait for another worker, which may itself wait for storage. The limit applies to
    # collectives outside of steps, where `hang_floor_s` does not.
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
                f"hang_floor_s = {self.hang_floor_s}: must be at least 1; a lower limit "
                "would kill busy workers"
            )
        for key in ("max_failures", "max_preemptions", "grow_after_s"):
            value = getattr(self, key)
            if value is not None and value < 0:
                raise ConfigError(f"{key} = {value}: must be at least 0")
        if (self.min_workers is None) != (self.max_workers is None):
            raise ConfigError("min_workers and max_workers: give both or neither")
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
        """The resources that Ray reserves for each worker."""
        return {"CPU": self.cpus_per_worker} | ({"GPU": 1} if self.use_gpu else {})

    @property
    def sizes(self) -> range:
        """The numbers of workers that a group may have."""
        if self.min_workers is not None and self.max_workers is not None:
            return range(self.min_workers, self.max_workers + 1)
        count = self.workers or 1
        return range(count, count + 1)


@dataclass(frozen=True, kw_only=True, slots=True)
class MetricsConfig:
    """Where Prometheus finds the run. By default everything listens on loopback."""

    host: str = "127.0.0.1"  # where exporters and discovery listen; `node`: the node's own address
    discovery_port: int = 0  # HTTP service discovery; 0 picks a free port and prints it

    def __post_init__(self) -> None:
        if self.host in ("", "0.0.0.0", "::"):  # noqa: S104 (refused, not bound)
            raise ConfigError(
                f"host = {self.host!r}: would listen on every network of every node; give "
                "metrics.host=node to listen on the address by which Ray knows each node"
            )


def _address_in_environment() -> str:
    found = os.environ.get("RAY_API_SERVER_ADDRESS") or os.environ.get("RAY_ADDRESS") or ""
    named = os.environ.get("RAY_API_SERVER_ADDRESS") or re.match("https?://", found)
    return found if named else "http://127.0.0.1:8265"


@dataclass(frozen=True, kw_only=True, slots=True)
class ServerConfig:
    """The address of a cluster's job server. The default fits an SSH tunnel to the head."""

    # RAY_API_SERVER_ADDRESS; else RAY_ADDRESS, if it is a URL, as Ray's own commands have it.
    address: str = field(default_factory=lambda: _address_in_environment())

    def __post_init__(self) -> None:
        if not re.fullmatch(r"https?://[^/@\s]+/?", self.address):
            raise ConfigError(f"address = {self.address!r}: write http://HOST:PORT")
