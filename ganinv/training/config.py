"""Options of training, and the division of the global batch over ranks and forward passes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from ganinv.errors import ConfigError
from ganinv.horizons import checked_half_life, decay_at
from ganinv.optimizers.base import Knobs
from ganinv.plain import from_plain
from ganinv.precision import Precision
from ganinv.schedules import Schedule, Scheduled, extremes, scheduled, value_at

# Options that may be a number or a schedule of images, with the interval of valid values.
_SCHEDULED = {"learning_rate": "positive", "beta1": "share", "beta2": "share"}


@dataclass(frozen=True, kw_only=True, slots=True)
class NetworkTraining:
    """Options that differ for one network of the method; None: as for all networks."""

    learning_rate: Scheduled | None = None
    beta1: Scheduled | None = None
    beta2: Scheduled | None = None
    epsilon: float | None = None

    def __post_init__(self) -> None:
        _check_scheduled(self)
        if self.epsilon is not None and self.epsilon <= 0:
            raise ConfigError(f"epsilon = {self.epsilon}: must be above 0")


if TYPE_CHECKING:
    ByNetwork: TypeAlias = dict[str, NetworkTraining]
else:
    # OmegaConf cannot assign to frozen dataclasses in a mapping; `__post_init__` builds them.
    ByNetwork = dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainConfig:
    """Options of training; the defaults are those of the PVDGAN paper (§3). Time counts images.

    `learning_rate`, `beta1`, `beta2`, `weight_average` and `weight_average_half_life` take numbers
    or schedules (`ganinv.schedules`).
    """

    images: int = 3_000_000  # stop after this many images (50 epochs of 60,000)
    global_batch: int = 16  # images per step, over all workers
    micro_batch: int | None = None  # images per worker and forward pass; None: the whole share
    seed: int = 0
    learning_rate: Scheduled = 0.003  # of all networks, before any decay
    learning_rate_decay: float = 1.0  # factor of a constant rate at each decay; 1: no decay
    learning_rate_decay_every: int | None = None  # images from one decay to the next
    beta1: Scheduled = 0.0
    beta2: Scheduled = 0.99
    epsilon: float = 1e-8
    networks: ByNetwork = field(default_factory=dict)  # network name → options that differ
    weight_average: Scheduled = 0.999  # decay per step of the averages of the weights
    # Images; replaces `weight_average`. Its effect does not depend on the global batch.
    weight_average_half_life: Scheduled | None = None
    # Limits the half-life to this share of the images seen; 0.05 in StyleGAN2 and 3.
    weight_average_ramp: float | None = None
    flip: bool = True  # mirror half of the real images
    precision: Precision = "fp32"  # `ganinv.precision`; tf32 needs GPUs, bf16 units for it
    # Finest blocks of every trained network whose activations are computed again instead of kept
    # (`ganinv.networks.recomputing`): less memory, more time, the same results.
    recompute_blocks: int = 0
    deterministic: bool = False  # the same bits in every run on GPUs; processors always do this
    # `ganinv.training.acceleration`: the same algorithm, up to rounding, with less work around it.
    compile: bool = False  # `torch.compile` of a step's losses and gradients; needs a compiler
    cuda_graphs: bool = False  # start a step's kernels at once; needs a GPU and engine.name=flat
    log_every: int = 10_000  # images
    checkpoint_every: int = 200_000  # images
    max_nonfinite_steps: int = 10  # in a row, before training counts as diverged

    def __post_init__(self) -> None:
        for key in ("images", "global_batch", "log_every", "checkpoint_every"):
            if getattr(self, key) < 1:
                raise ConfigError(f"{key} = {getattr(self, key)}: must be at least 1")
        if self.micro_batch is not None and self.micro_batch < 1:
            raise ConfigError(f"micro_batch = {self.micro_batch}: must be at least 1, or null")
        if self.recompute_blocks < 0:
            raise ConfigError(f"recompute_blocks = {self.recompute_blocks}: must be at least 0")
        _check_scheduled(self)
        _set(self, "networks", {name: _own(value, name) for name, value in self.networks.items()})
        for key in ("epsilon", "max_nonfinite_steps"):
            if getattr(self, key) <= 0:
                raise ConfigError(f"{key} = {getattr(self, key)}: must be above 0")
        if not 0 <= self.seed < 2**63:
            raise ConfigError(f"seed = {self.seed}: must be at least 0 and below 2^63")
        self._check_decay()
        self._check_average()

    def _check_decay(self) -> None:
        decay, every = self.learning_rate_decay, self.learning_rate_decay_every
        if not 0 < decay <= 1:
            raise ConfigError(f"learning_rate_decay = {decay}: must lie in (0, 1]")
        if every is not None and every < 1:
            raise ConfigError(f"learning_rate_decay_every = {every}: must be at least 1, or null")
        if decay < 1 and every is None:
            raise ConfigError(
                f"learning_rate_decay = {decay}: also give learning_rate_decay_every, the "
                "images between decays, for example the images of an epoch"
            )
        if every is not None and isinstance(self.learning_rate, Schedule):
            raise ConfigError(
                f"learning_rate_decay_every = {every}: learning_rate is a schedule already; leave "
                "out one of the two"
            )

    def _check_average(self) -> None:
        _set(self, "weight_average", scheduled(self.weight_average, "weight_average"))
        low, high = extremes(self.weight_average)
        if not 0 <= low <= high < 1:
            raise ConfigError(f"weight_average = {self.weight_average}: must lie in [0, 1)")
        if self.weight_average_half_life is not None:
            key = "weight_average_half_life"
            _set(self, key, checked_half_life(self.weight_average_half_life, key))
        ramp = self.weight_average_ramp
        if ramp is not None and (ramp <= 0 or self.weight_average_half_life is None):
            raise ConfigError(
                f"weight_average_ramp = {ramp}: must be above 0, and limits "
                "weight_average_half_life; also give that option"
            )

    @property
    def rate(self) -> Scheduled:
        """The learning rate of all networks; a decay is turned into a schedule."""
        every = self.learning_rate_decay_every
        if every is None or isinstance(self.learning_rate, Schedule):
            return self.learning_rate
        return Schedule(
            kind="step", start=self.learning_rate, factor=self.learning_rate_decay, every=every
        )

    def knobs(self, network: str, images_seen: int) -> Knobs:
        """A network's optimizer options for the step that begins at `images_seen`."""
        own = self.networks.get(network, NetworkTraining())

        def at(value: Scheduled | None, common: Scheduled) -> float:
            return value_at(common if value is None else value, images_seen)

        return Knobs(
            learning_rate=at(own.learning_rate, self.rate),
            beta1=at(own.beta1, self.beta1),
            beta2=at(own.beta2, self.beta2),
            epsilon=self.epsilon if own.epsilon is None else own.epsilon,
        )

    def average_decay(self, images_seen: int) -> float:
        """The decay of the weight averages for the step that begins at `images_seen`."""
        return decay_at(
            self.weight_average,
            self.weight_average_half_life,
            images_seen,
            self.global_batch,
            self.weight_average_ramp,
        )


def _set(config: object, key: str, value: object) -> None:
    """Set a field of a frozen dataclass. Only for `__post_init__`."""
    object.__setattr__(config, key, value)


def _own(value: Any, network: str) -> NetworkTraining:
    if isinstance(value, NetworkTraining):
        return value
    return from_plain(NetworkTraining, value, f"networks.{network}")


def _check_scheduled(config: TrainConfig | NetworkTraining) -> None:
    for key, interval in _SCHEDULED.items():
        value = getattr(config, key)
        if value is None:
            continue
        _set(config, key, scheduled(value, key))
        low, high = extremes(getattr(config, key))
        if interval == "positive" and (low < 0 or high <= 0):  # a schedule may end at 0
            raise ConfigError(f"{key} = {value}: must be above 0")
        if interval == "share" and not 0 <= low <= high < 1:
            raise ConfigError(f"{key} = {value}: must lie in [0, 1)")


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchLayout:
    """The division of the global batch: equal shares for `world` ranks, in equal micro-batches."""

    world: int
    per_rank: int  # micro-batches in a rank's share

    @property
    def micro_batches(self) -> int:
        """Number of micro-batches in the global batch, over all ranks."""
        return self.world * self.per_rank


def lay_out_batch(config: TrainConfig, world: int) -> BatchLayout:
    """The layout for `world` ranks. Raises `ConfigError` if micro-batches would be unequal."""
    batch = config.global_batch
    if batch % world:
        valid = [w for w in range(1, batch + 1) if batch % w == 0 and w <= 64]
        raise ConfigError(
            f"train.global_batch = {batch}: not divisible by {world} workers; "
            f"choose a number of workers among {', '.join(map(str, valid))}"
        )
    share = batch // world
    micro = min(config.micro_batch or share, share)
    if share % micro:
        raise ConfigError(
            f"train.micro_batch = {micro}: does not divide a worker's share of {share} images "
            f"({batch} over {world} workers); choose a divisor of {share}"
        )
    return BatchLayout(world=world, per_rank=share // micro)


def schedules_in(config: object, prefix: str) -> Mapping[str, Schedule]:
    """Every schedule among the options of a dataclass, by its dotted key."""
    found: dict[str, Schedule] = {}
    for key in getattr(config, "__dataclass_fields__", {}):
        value = getattr(config, key)
        if isinstance(value, Schedule):
            found[f"{prefix}.{key}"] = value
        elif isinstance(value, Mapping):
            for name, item in value.items():
                found |= schedules_in(item, f"{prefix}.{key}.{name}")
        else:
            found |= schedules_in(value, f"{prefix}.{key}")
    return found
