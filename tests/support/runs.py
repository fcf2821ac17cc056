"""Tiny runs for tests: a data set of random images, small networks, any engine, any layout."""

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor, nn

from ganinv import networks, objectives
from ganinv.latents.labelled import Condition
from ganinv.networks import conv
from ganinv.networks.base import Networks
from ganinv.objectives.base import Objective, networks_asked
from ganinv.seams.batches import Batch, Position
from ganinv.seams.engine import LocalEngine, SumReduce, no_reduction
from ganinv.training.config import BatchLayout, TrainConfig, lay_out_batch
from ganinv.training.session import Session, new_session, train_batch

# 7 angles are a perfect binary tree; to other methods the number means nothing.
NETWORK = conv.Config(latent_size=7, width=4, max_width=8)
# Sizes that some families have beside those.
SIZES = {"coupling_width": 8, "encoder_width": 4, "encoder_max_width": 8}
# Adam divides by √v̂ + ε: with a tiny ε it blows rounding errors of near-zero gradients up to full
# steps, which says nothing about whether gradients agree.
LABELS = Condition(attribute="kind", classes=["bag", "boot", "coat"], counts=[2, 1, 1])
TRAIN = TrainConfig(images=64, global_batch=16, learning_rate=0.01, epsilon=1e-3)


@dataclass(frozen=True)
class RandomImages:
    """A batch source: image number n of the run is random, and a function of n alone."""

    global_batch: int
    rank: int = 0
    world: int = 1
    resolution: int = 16

    def batches(self, start: Position) -> Iterator[Batch]:
        position = start
        while True:
            slots = tuple(range(self.rank, self.global_batch, self.world))
            images = [self.image(position.images + slot) for slot in slots]
            position = replace(position, images=position.images + self.global_batch)
            yield Batch(
                images_BCHW=torch.stack(images),
                slots=slots,
                keys=tuple(map(str, slots)),
                after=position,
                attributes=tuple({"kind": LABELS.classes[slot % 3]} for slot in slots),
            )

    def image(self, number: int) -> Tensor:
        generator = torch.Generator().manual_seed(number)
        shape = (3, self.resolution, self.resolution)
        return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)


def make_objective(
    name: str, *, latent_size: int = NETWORK.latent_size, **options: Any
) -> Objective:
    module = objectives.find(name)
    objective: Objective = module.Objective(module.Config(**options), latent_size)
    return objective


def build_networks(seed: int = 0, objective: Objective | None = None) -> dict[str, nn.Module]:
    """Tiny networks that a method asks for, of the family that suits it; else those of DLSGAN."""
    method = objectives.find(objective.config.name) if objective else None
    family = networks.find(getattr(method, "FAMILY", NETWORK.name))
    known = {field.name for field in fields(family.Config)}
    sizes = {key: size for key, size in SIZES.items() if key in known}
    config = family.Config(
        latent_size=NETWORK.latent_size, width=NETWORK.width, max_width=NETWORK.max_width, **sizes
    )
    asked = networks_asked(objective) if objective else {}
    built: Networks = family.build(config, resolution=16, image_channels=3, seed=seed, **asked)
    return built


def local_session(
    objective: Objective,
    config: TrainConfig = TRAIN,
    micro_batches: int = 1,
    *,
    double: bool = False,
) -> Session:
    built = build_networks(config.seed, objective)
    return new_session(
        objective,
        {name: n.double() for name, n in built.items()} if double else built,
        lambda network, optimizer: LocalEngine(network, optimizer, micro_batches),
        config=config,
        device=torch.device("cpu"),
    )


def train(
    session: Session,
    config: TrainConfig,
    layout: BatchLayout,
    images: int,
    *,
    rank: int = 0,
    reduce: SumReduce = no_reduction,
) -> None:
    """Train until `images` were seen."""
    source = RandomImages(config.global_batch, rank, layout.world)
    for batch in source.batches(session.position):
        train_batch(session, batch, config, layout, reduce)
        if session.images_seen >= images:
            return


def train_locally(name: str, images: int, config: TrainConfig = TRAIN, **options: Any) -> Session:
    layout = lay_out_batch(config, 1)
    session = local_session(make_objective(name, **options), config, layout.per_rank)
    train(session, config, layout, images)
    return session


def snapshot(session: Session) -> dict[str, Tensor]:
    """All tensors of a session that do not depend on which rank holds what."""
    tensors: dict[str, Tensor] = {}
    for network, module in session.networks.items():
        for name, value in module.state_dict().items():
            tensors[f"{network}/weights/{name}"] = value.detach().clone()
    for network, average in session.averages.items():
        for name, value in average.network.state_dict().items():
            tensors[f"{network}/average/{name}"] = value.clone()
    for name, value in session.state.items():
        tensors[f"state/{name}"] = value.clone()
    return tensors
