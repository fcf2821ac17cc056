"""Sessions on DeepSpeed engines, for functions that `run_ranks` runs."""

from typing import Any

import torch
import torch.distributed as dist

from cluster.config import EngineConfig
from ganinv.training.session import Session, TrainConfig, new_session, split_batch
from tests.support.runs import NETWORK, TRAIN, build_networks, make_objective


def distributed_session(
    objective: tuple[str, dict[str, Any]], stage: int, config: TrainConfig = TRAIN
) -> Session:
    from cluster.engine import DeepSpeedEngine

    split = split_batch(config, dist.get_world_size())
    engine_config = EngineConfig(zero_stage=stage, bucket_elements=1000)
    name, options = objective
    return new_session(
        make_objective(name, **options),
        build_networks(config.seed),
        lambda network: DeepSpeedEngine(
            network, config.optimizer(network), engine_config, split, "fp32"
        ),
        config=config,
        latent_size=NETWORK.latent_size,
        device=torch.device("cpu"),
    )
