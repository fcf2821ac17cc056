"""Sessions on DeepSpeed engines, for functions that `run_ranks` runs."""

from typing import Any

import torch
import torch.distributed as dist

from cluster.config import EngineConfig
from ganinv.objectives.base import Objective
from ganinv.training.config import TrainConfig, lay_out_batch
from ganinv.training.session import Session, new_session
from tests.support.runs import TRAIN, build_networks, make_objective


def distributed_session(
    objective: tuple[str, dict[str, Any]] | Objective, stage: int, config: TrainConfig = TRAIN
) -> Session:
    """`objective`: a method, or the name and the options of one."""
    from cluster.engine import DeepSpeedEngine

    layout = lay_out_batch(config, dist.get_world_size())
    engine_config = EngineConfig(zero_stage=stage, bucket_elements=1000)
    if isinstance(objective, tuple):
        name, options = objective
        objective = make_objective(name, **options)
    return new_session(
        objective,
        build_networks(config.seed),
        lambda network, optimizer: DeepSpeedEngine(
            network, optimizer, engine_config, layout, "fp32"
        ),
        config=config,
        device=torch.device("cpu"),
    )
