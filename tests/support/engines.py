"""Sessions on the engines of a cluster, for functions that `run_ranks` runs."""

from typing import Any, Literal

import torch
import torch.distributed as dist
from torch import nn

from cluster.config import EngineConfig
from ganinv.objectives.base import Objective
from ganinv.seams.engine import Engine
from ganinv.training.config import TrainConfig, lay_out_batch
from ganinv.training.session import Session, new_session
from tests.support.runs import TRAIN, build_networks, make_objective

Kind = Literal[0, 1, 2, "flat"]  # a stage of ZeRO, or the flat engine
KINDS: tuple[Kind, ...] = (0, 1, 2, "flat")


def distributed_session(
    objective: tuple[str, dict[str, Any]] | Objective, kind: Kind, config: TrainConfig = TRAIN
) -> Session:
    """`objective`: a method, or the name and the options of one."""
    if isinstance(objective, tuple):
        name, options = objective
        objective = make_objective(name, **options)
    layout = lay_out_batch(config, dist.get_world_size())

    def engine(network: nn.Module, optimizer: torch.optim.Optimizer) -> Engine:
        if kind == "flat":
            from cluster.flat_engine import FlatEngine

            return FlatEngine(network, optimizer, layout.micro_batches)
        from cluster.engine import DeepSpeedEngine

        sharding = EngineConfig(zero_stage=kind, bucket_elements=1000)
        return DeepSpeedEngine(network, optimizer, sharding, layout, "fp32")

    return new_session(
        objective,
        build_networks(config.seed, objective),
        engine,
        config=config,
        device=torch.device("cpu"),
    )
