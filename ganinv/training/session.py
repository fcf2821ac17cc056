"""What changes while a GAN trains, and how one global batch moves it forward.

Shapes: N samples of a part, B of this rank's share, C × H × W image, L latent elements.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn

from ganinv.draws import coin_flips, standard_normal
from ganinv.errors import ConfigError
from ganinv.model import InvertibleGan, to_signed
from ganinv.objectives.base import Objective, Part
from ganinv.seams.batches import Batch, Position
from ganinv.seams.engine import Engine, SumReduce
from ganinv.training.averages import Averages, WeightAverage
from ganinv.training.statistics import Means
from ganinv.training.step import Engines, train_step


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainConfig:
    """How to train; the defaults are the PVDGAN paper's (§3). The unit of time is the image."""

    images: int = 3_000_000  # train until this many images were seen (50 epochs of 60,000)
    global_batch: int = 16  # images per step, over all workers
    micro_batch: int | None = None  # images per worker and forward pass; None = its whole share
    seed: int = 0
    learning_rate: float = 0.003  # Adam's, of both networks, before any decay
    learning_rate_decay: float = 1.0  # it is multiplied with this; 1: it stays as it is
    learning_rate_decay_every: int | None = None  # images from one decay to the next
    beta1: float = 0.0
    beta2: float = 0.99
    epsilon: float = 1e-8
    weight_average: float = 0.999  # decay per step of the averages of G and D
    flip: bool = True  # mirror half of the real images
    precision: Literal["fp32", "bf16"] = "fp32"  # of forward passes; bf16 needs a GPU
    log_every: int = 10_000  # images
    checkpoint_every: int = 200_000  # images
    max_nonfinite_steps: int = 10  # in a row; then training counts as diverged

    def __post_init__(self) -> None:
        for key in ("images", "global_batch", "log_every", "checkpoint_every"):
            if getattr(self, key) < 1:
                raise ConfigError(f"{key} = {getattr(self, key)}: must be at least 1")
        if self.micro_batch is not None and self.micro_batch < 1:
            raise ConfigError(f"micro_batch = {self.micro_batch}: must be at least 1, or null")
        for key in ("beta1", "beta2", "weight_average"):
            if not 0 <= getattr(self, key) < 1:
                raise ConfigError(f"{key} = {getattr(self, key)}: must lie in [0, 1)")
        for key in ("learning_rate", "epsilon", "max_nonfinite_steps"):
            if getattr(self, key) <= 0:
                raise ConfigError(f"{key} = {getattr(self, key)}: must be above 0")
        if not 0 <= self.seed < 2**63:
            raise ConfigError(f"seed = {self.seed}: must be at least 0 and below 2^63")
        decay, every = self.learning_rate_decay, self.learning_rate_decay_every
        if not 0 < decay <= 1:
            raise ConfigError(f"learning_rate_decay = {decay}: must lie in (0, 1]")
        if every is not None and every < 1:
            raise ConfigError(f"learning_rate_decay_every = {every}: must be at least 1, or null")
        if decay < 1 and every is None:
            raise ConfigError(
                f"learning_rate_decay = {decay}: give learning_rate_decay_every, too, the images "
                "from one decay to the next, for example those of an epoch"
            )

    def learning_rate_at(self, images_seen: int) -> float:
        """The rate of the step that begins at `images_seen`: lower by a factor every so often."""
        if self.learning_rate_decay_every is None:
            return self.learning_rate
        decays = images_seen // self.learning_rate_decay_every
        return float(self.learning_rate * self.learning_rate_decay**decays)

    def optimizer(self, network: nn.Module) -> torch.optim.Adam:
        return torch.optim.Adam(
            network.parameters(),
            lr=self.learning_rate,
            betas=(self.beta1, self.beta2),
            eps=self.epsilon,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Split:
    """How the global batch is cut: `world` shares, each of `micro_batches` parts of equal size."""

    world: int
    micro_batches: int

    @property
    def parts(self) -> int:
        return self.world * self.micro_batches


def split_batch(config: TrainConfig, world: int) -> Split:
    """Raises `ConfigError` where the global batch cannot be cut into equal parts."""
    batch = config.global_batch
    if batch % world:
        valid = [w for w in range(1, batch + 1) if batch % w == 0 and w <= 64]
        raise ConfigError(
            f"train.global_batch = {batch}: does not divide over {world} workers; "
            f"choose a number of workers among {', '.join(map(str, valid))}"
        )
    share = batch // world
    micro = min(config.micro_batch or share, share)
    if share % micro:
        raise ConfigError(
            f"train.micro_batch = {micro}: does not divide a worker's share of {share} images "
            f"({batch} over {world} workers); choose a divisor of {share}"
        )
    return Split(world=world, micro_batches=share // micro)


@dataclass(kw_only=True)
class Session:
    """All state of a run: networks, optimizers, averages, traces and the place in the data.

    `images_seen` is the one clock; `position` is that of the last **trained** batch.
    """

    objective: Objective
    engines: Engines
    averages: Averages
    state: dict[str, Tensor]
    means: Means
    images_seen: int = 0
    position: Position = field(default_factory=lambda: Position(epoch=0, images=0))
    nonfinite_in_a_row: int = 0
    nonfinite: tuple[str, ...] = ()  # what was not finite in the last step
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    def model(self) -> InvertibleGan:
        """The averaged weights as they stand."""
        return InvertibleGan(
            generator=self.averages.g.network,
            discriminator=self.averages.d.network,
            scale_L=self.objective.scale(self.state).float().to(self.device),
        )


def new_session(
    objective: Objective,
    networks: Sequence[nn.Module],
    engine: Callable[[nn.Module], Engine],
    *,
    config: TrainConfig,
    latent_size: int,
    device: torch.device,
) -> Session:
    """A session before its first step. `networks`: G and D at their initial weights."""
    state = objective.new_state(latent_size, config.global_batch)
    generator, discriminator = (network.to(device) for network in networks)
    averages = Averages(
        g=WeightAverage(generator, config.weight_average),
        d=WeightAverage(discriminator, config.weight_average),
    )
    return Session(
        objective=objective,
        engines=Engines(g=engine(generator), d=engine(discriminator)),
        averages=averages,
        state=state,
        means=Means(objective.statistic_names),
        device=device,
    )


def train_batch(
    session: Session, batch: Batch, config: TrainConfig, split: Split, reduce: SumReduce
) -> bool:
    """Train on this rank's share of a global batch; False if the step was void on all ranks."""
    for engine in (session.engines.g, session.engines.d):
        engine.set_learning_rate(config.learning_rate_at(session.images_seen))
    parts = cut_into_parts(session, batch, config, split)
    result = train_step(session.objective, session.engines, parts, session.state, reduce)
    if result.applied:
        session.state = result.state
        session.averages.g.update(session.engines.g.network)
        session.averages.d.update(session.engines.d.network)
        session.means.add(result.statistics, result.parts, split.parts)
    session.nonfinite = result.nonfinite
    session.nonfinite_in_a_row = 0 if result.applied else session.nonfinite_in_a_row + 1
    session.images_seen += config.global_batch
    session.position = batch.after
    return result.applied


def cut_into_parts(session: Session, batch: Batch, config: TrainConfig, split: Split) -> list[Part]:
    """Real images in [−1, 1], mirrored by chance, and every draw of the step."""
    numbers = [session.images_seen + slot for slot in batch.slots]
    real_BCHW = to_signed(batch.images_BCHW.to(session.device, non_blocking=True))
    if config.flip:
        mirrored_B = coin_flips(config.seed, "flip", numbers).to(session.device)
        real_BCHW = torch.where(mirrored_B[:, None, None, None], real_BCHW.flip(3), real_BCHW)
    latent_size = session.objective.scale(session.state).numel()
    noise = {
        name: standard_normal(config.seed, f"noise/{name}", numbers, latent_size).to(session.device)
        for name in session.objective.noise_names
    }
    slots = torch.tensor(batch.slots, device=session.device)
    size = len(numbers) // split.micro_batches
    return [
        Part(
            images_seen=session.images_seen,
            real_NCHW=real_BCHW[start : start + size],
            slots_N=slots[start : start + size],
            global_batch=config.global_batch,
            parts=split.parts,
            noise={name: draw[start : start + size] for name, draw in noise.items()},
        )
        for start in range(0, len(numbers), size)
    ]
