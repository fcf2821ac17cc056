"""Whether a run can have `train.compile` and `train.cuda_graphs`."""

import torch

from ganinv.training.acceleration import check_kinds
from ganinv.training.compiling import check_compiler
from ganinv.training.cuda_graphs import check_graphs
from launch.options.schema import RunConfig
from launch.wiring.networks import new_objective


def check_acceleration(config: RunConfig, device: torch.device) -> None:
    """Raises `ConfigError` if `device`, of this machine, lacks what the options need."""
    if config.train.compile:
        check_compiler(device)
    if config.train.cuda_graphs:
        check_graphs(device, config.engine.name)


def check_same_steps(config: RunConfig) -> None:
    """Raises `ConfigError` if steps are too unlike each other for the options."""
    if config.train.compile or config.train.cuda_graphs:
        check_kinds(new_objective(config), config.train)
