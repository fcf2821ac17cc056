"""`ganinv profile`: where the time and memory of training steps go, on this machine."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from ganinv import networks
from ganinv.errors import ConfigError
from ganinv.profiling.profile import Profile, Row
from ganinv.profiling.training import profile_training
from ganinv.seams.engine import LocalEngine
from ganinv.training.config import BatchLayout, lay_out_batch
from ganinv.training.session import new_session
from launch.options.arguments import parse
from launch.options.loading import load_config, load_recipe, read_sections, recipe_names
from launch.options.schema import RunConfig
from launch.options.words import leaves
from launch.progress import console
from launch.wiring.networks import new_objective

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
UNUSED = {"storage": {"run": "none"}, "data": {"url": "none"}}


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
        if self.trace is not None and not Path(self.trace).absolute().parent.is_dir():
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
            "data.resolution=…, in pixels a side"
        )
    if config.cluster.use_gpu and not torch.cuda.is_available():
        raise ConfigError(
            "cluster.use_gpu = True: PyTorch finds no NVIDIA GPU on this machine; profile on one "
            "that has it, or give cluster.use_gpu=false"
        )
    return config


def run(config: RunConfig, layout: BatchLayout, measured: ProfileConfig) -> Profile:
    resolution = config.data.resolution
    built = networks.find(config.network.name).build(
        config.network,
        resolution=resolution,
        image_channels=IMAGE_CHANNELS,
        seed=config.train.seed,
    )

    def engine(network: torch.nn.Module, optimizer: torch.optim.Optimizer) -> LocalEngine:
        return LocalEngine(network, optimizer, layout.per_rank, config.train.precision)

    session = new_session(
        new_objective(config),
        built,
        engine,
        config=config.train,
        device=torch.device("cuda" if config.cluster.use_gpu else "cpu"),
        frozen=frozenset(config.start.frozen or ()),
    )
    return profile_training(
        session,
        config.train,
        layout,
        image_shape=(IMAGE_CHANNELS, resolution, resolution),
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


def show(profile: Profile, config: RunConfig, layout: BatchLayout, out: Console) -> None:
    """The profile for people. In the tables, time is per step, and GFLOP are those of an image."""
    threads = "1 thread" if profile.threads == 1 else f"{profile.threads} threads"
    where = profile.device if profile.memory.on_gpu is not None else f"CPU, {threads}"
    part = "" if layout.world == 1 else f" (one of {layout.world} workers' share)"
    step, limit_s = profile.step, profile.limit_s
    second = "CPU-second" if profile.processor_time else "second"
    lines = (
        f"{config.objective.name}, {config.network.name} at {config.data.resolution} px, "
        f"{profile.images} images a step{part}, {config.train.precision}, {where}",
        f"{profile.images_per_s:.4g} images per {second}: {step.median * 1e3:.4g} ms a step "
        f"({step.least * 1e3:.4g} to {step.most * 1e3:.4g})",
        f"limit {profile.images / limit_s:.4g}: {limit_s * 1e3:.4g} ms, if every convolution and "
        "matrix product ran as fast as by itself, and nothing else cost time",
        f"reached: {profile.share_of_limit:.0%} of the limit; "
        f"{profile.share_of_other_work:.0%} of the time is neither convolution nor matrix product",
    )
    for line in lines:
        out.print(line, markup=False, soft_wrap=True)
    out.print(_costs("part of the step", profile.parts, profile))
    kinds = sorted(profile.kinds, key=lambda row: -row.seconds)
    out.print(_costs("kind of operation", kinds, profile))
    out.print(_rates(profile))
    for line in _totals(profile):
        out.print(line, markup=False, soft_wrap=True)


def _costs(title: str, rows: Sequence[Row], profile: Profile) -> Table:
    table = _table(title, "ms", "share", "GFLOP", "GFLOP/s")
    for row in rows:
        computed = (f"{row.flop / profile.images / 1e9:.3g}", f"{row.flop / row.seconds / 1e9:.3g}")
        table.add_row(
            row.name,
            f"{row.seconds * 1e3:.3g}",
            f"{row.seconds / profile.step.median:.1%}",
            *(computed if row.flop else ()),
        )
    return table


def _rates(profile: Profile) -> Table:
    table = _table("by itself", "precision", "calls", "ms", "GFLOP", "GFLOP/s", "best")
    for rate in profile.rates:
        table.add_row(
            rate.kind,
            rate.precision,
            str(rate.calls),
            f"{rate.seconds * 1e3:.3g}",
            f"{rate.flop / profile.images / 1e9:.3g}",
            f"{rate.flop_per_s / 1e9:.3g}",
            f"{rate.best_flop_per_s / 1e9:.3g}",
        )
    return table


def _table(title: str, *columns: str) -> Table:
    table = Table(box=None)
    table.add_column(title, no_wrap=True)
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    return table


def _totals(profile: Profile) -> list[str]:
    forward = ", ".join(f"{n} {flop / 1e9:.3g}" for n, flop in profile.forward_flop.items())
    memory = profile.memory
    lines = [
        "GFLOP are of one image, without filters. A step: "
        f"{profile.flop / profile.images / 1e9:.4g}; forward: {forward}",
        f"memory: {memory.kept / 1e6:.4g} MB of weights, averages and optimizer states; "
        f"{memory.peak / 1e6:.4g} MB of other tensors at the peak, "
        f"{memory.peak / profile.images / 1e6:.3g} MB an image, in '{memory.peak_part}'",
    ]
    if memory.on_gpu is not None:
        lines.append(f"GPU memory: {memory.on_gpu / 1e6:.4g} MB at the peak")
    return lines
