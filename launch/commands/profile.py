"""`ganinv profile`: where the time and memory of training steps go, on this machine."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from ganinv import networks
from ganinv.errors import ConfigError
from ganinv.objectives.base import networks_asked
from ganinv.precision import check_precision, use_kernels_of
from ganinv.profiling.profile import Profile
from ganinv.profiling.training import profile_training
from ganinv.seams.engine import LocalEngine
from ganinv.sizes import size_of
from ganinv.training.config import BatchLayout, lay_out_batch
from ganinv.training.session import new_session
from launch.options.arguments import parse
from launch.options.loading import load_config, load_recipe, recipe_names
from launch.options.schema import RunConfig
from launch.options.sections import read_sections
from launch.options.words import leaves
from launch.profile_tables import show
from launch.progress import console
from launch.wiring.networks import loaded_features, new_objective

EXAMPLES = """\
recipes: {recipes}

examples:
  OMP_NUM_THREADS=1 ganinv profile avatars32-pvdgan
  ganinv profile ffhq256-pvdgan data.resolution=256 cluster.workers=8 train.precision=bf16
  ganinv profile my.yaml data.resolution=64 network.name=stylegan2 profile.trace=steps.json

Trains some steps on random images in this process, as one of the recipe's workers; needs no data,
storage or cluster, and leaves nothing behind but the trace. Other work on this machine falsifies
the figures.
"""
IMAGE_CHANNELS = 3
# A run needs these; its steps do not.
UNUSED = {"storage": {"run": "none"}, "data": {"url": "none"}, "start": {"run": "none"}}


@dataclass(frozen=True, kw_only=True, slots=True)
class ProfileConfig:
    """How much is measured."""

    steps: int = 5  # with the profiler, and as many without it; two more come before
    repeats: int = 5  # measurements of every convolution by itself, of which the best counts
    trace: str | None = None  # a file for all events, as JSON for chrome://tracing or Perfetto

    def __post_init__(self) -> None:
        for key in ("steps", "repeats"):
            if getattr(self, key) < 1:
                raise ConfigError(f"{key} = {getattr(self, key)}: must be at least 1")
        if self.trace is not None and not Path(self.trace).parent.is_dir():
            raise ConfigError(
                f"trace = {self.trace!r}: its folder does not exist; name a file in one that does"
            )


# Beside the sections of a run.
SECTIONS: dict[str, type] = {"profile": ProfileConfig}


def main(argv: list[str]) -> int:
    arguments = parse(
        argv,
        "profile",
        "Say where the time and memory of training steps go, and what limits them.",
        EXAMPLES.format(recipes=", ".join(recipe_names())),
        "RECIPE",
    )
    own = tuple(word for word in arguments.options if word.startswith("profile."))
    options = tuple(word for word in arguments.options if word not in own)
    measured: ProfileConfig = read_sections(own, SECTIONS)["profile"]
    config = load(arguments.names[0], options)
    layout = lay_out_batch(config.train, config.cluster.sizes[-1])
    profile = run(config, layout, measured)
    if arguments.as_json:
        print(json.dumps(as_json(profile, config, layout)))
    else:
        show(profile, config, layout, console())
        if measured.trace is not None:
            console().print(f"events: {measured.trace}", markup=False)
    return 0


def load(recipe: str, words: Sequence[str]) -> RunConfig:
    """The options of the recipe. Raises `ConfigError` if they lack a resolution, or a GPU."""
    given = load_recipe(recipe)
    for section, values in UNUSED.items():
        given[section] = {**values, **(given.get(section) or {})}
    config = load_config(given, words)
    keys = {key for key, _ in leaves(given)} | {word.partition("=")[0] for word in words}
    if "data.resolution" not in keys:
        raise ConfigError(
            "data.resolution: the recipe leaves it to the data, which is not read here; give "
            "data.resolution=…, in pixels a side or as WIDTHxHEIGHT"
        )
    if config.data.label is not None:
        raise ConfigError(
            f"data.label = {config.data.label!r}: the images here are random and have no labels; "
            "profile without it (data.label=null), a label adds little to a step"
        )
    if config.cluster.use_gpu and not torch.cuda.is_available():
        raise ConfigError(
            "cluster.use_gpu = True: PyTorch finds no NVIDIA GPU on this machine; profile on one "
            "that has it, or give cluster.use_gpu=false"
        )
    return config


def run(config: RunConfig, layout: BatchLayout, measured: ProfileConfig) -> Profile:
    size, objective = size_of(config.data.resolution), new_objective(config)
    device = torch.device("cuda" if config.cluster.use_gpu else "cpu")
    check_precision(config.train.precision, device)
    use_kernels_of(config.train.precision, device, deterministic=config.train.deterministic)
    built = networks.find(config.network.name).build(
        config.network,
        resolution=size.resolution,
        image_channels=IMAGE_CHANNELS,
        seed=config.train.seed,
        **networks_asked(objective),
    )

    def engine(network: torch.nn.Module, optimizer: torch.optim.Optimizer) -> LocalEngine:
        return LocalEngine(network, optimizer, layout.per_rank, config.train.precision)

    session = new_session(
        objective,
        built | loaded_features(objective, IMAGE_CHANNELS),
        engine,
        config=config.train,
        device=device,
        frozen=frozenset(config.start.frozen or ()),
    )
    return profile_training(
        session,
        config.train,
        layout,
        image_shape=(IMAGE_CHANNELS, size.height, size.width),
        steps=measured.steps,
        repeats=measured.repeats,
        trace=measured.trace,
    )


def as_json(profile: Profile, config: RunConfig, layout: BatchLayout) -> dict[str, object]:
    return {
        "torch": torch.__version__,
        "objective": config.objective.name,
        "network": config.network.name,
        "resolution": config.data.resolution,
        "global_batch": config.train.global_batch,
        "workers": layout.world,
        "micro_batches": layout.per_rank,
        "precision": config.train.precision,
        **profile.plain(),
    }
