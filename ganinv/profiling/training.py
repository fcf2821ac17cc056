"""The profile of a session: real training steps on random images, without data or storage."""

import torch
from torch import Tensor

from ganinv.errors import DivergenceError
from ganinv.profiling.profile import Profile, profile_steps
from ganinv.seams.batches import Batch
from ganinv.seams.engine import no_reduction
from ganinv.training.config import BatchLayout, TrainConfig
from ganinv.training.session import Session, train_batch


def profile_training(
    session: Session,
    config: TrainConfig,
    layout: BatchLayout,
    *,
    image_shape: tuple[int, int, int],
    steps: int,
    repeats: int,
    trace: str | None = None,
) -> Profile:
    """Profile the share of one rank of `layout` in every step. `image_shape`: C × H × W.

    `steps`, `repeats`, `trace` as for `profile_steps`. Raises `DivergenceError` if steps meet
    non-finite numbers: such steps leave work out.
    """
    batch = random_batch(session, config, layout, image_shape)

    def step() -> None:
        train_batch(session, batch, config, layout, no_reduction)

    profile = profile_steps(
        step,
        images=config.global_batch // layout.world,
        micro_batches=layout.per_rank,
        kept_bytes=lambda: kept_bytes(session),
        device=session.device,
        steps=steps,
        repeats=repeats,
        trace=trace,
    )
    session.settle()
    if session.nonfinite:
        raise DivergenceError(
            f"the steps met non-finite numbers: {', '.join(session.nonfinite)}; such steps leave "
            "work out, so they say nothing; lower train.learning_rate"
        )
    return profile


def random_batch(
    session: Session, config: TrainConfig, layout: BatchLayout, image_shape: tuple[int, int, int]
) -> Batch:
    """The first rank's share of a global batch of random images."""
    slots = tuple(range(0, config.global_batch, layout.world))
    generator = torch.Generator().manual_seed(config.seed)
    shape = (len(slots), *image_shape)
    images_BCHW = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    if session.device.type == "cuda":
        images_BCHW = images_BCHW.pin_memory()
    keys = tuple(map(str, slots))
    return Batch(images_BCHW=images_BCHW, slots=slots, keys=keys, after=session.position)


def kept_bytes(session: Session) -> int:
    """Bytes of all weights, their averages, and the optimizers' states."""
    networks = [*session.networks.values(), *(a.network for a in session.averages.values())]
    held = [p for network in networks for p in (*network.parameters(), *network.buffers())]
    moments = [f.values for e in session.engines.values() for f in e.optimizer_fragments()[0]]
    return sum(map(_bytes, [*held, *moments]))


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()
