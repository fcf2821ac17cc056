"""Builds a method's networks from stored options and weights."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from ganinv import networks, objectives
from ganinv.errors import StorageContentError
from ganinv.objectives.base import Objective
from ganinv.plain import member_from_plain
from ganinv.saved import format as names


def build_objective(options: Mapping[str, Any]) -> Objective:
    """The method of the sections `objective` and `network` of `options`.

    Raises `ConfigError` for unknown options.
    """
    module, config = member_from_plain(objectives.find, options, "objective")
    _, network = member_from_plain(networks.find, options, "network")
    objective: Objective = module.Objective(config, network.latent_size)
    return objective


def build_trained(
    options: Mapping[str, Any],
    *,
    resolution: int,
    image_channels: int,
    weights: Mapping[str, Mapping[str, Tensor]],
    where: str,
) -> dict[str, nn.Module]:
    """The networks named by `weights`, built from the section `network` of `options`, frozen.

    `where` names the source in messages. Raises `ConfigError` for unknown options, and
    `StorageContentError` if the weights do not fit the networks.
    """
    family, config = member_from_plain(networks.find, options, "network")
    built = family.build(config, resolution=resolution, image_channels=image_channels, seed=0)
    found: dict[str, nn.Module] = {}
    for name, tensors in weights.items():
        try:
            built[name].load_state_dict(tensors)
        except (KeyError, RuntimeError) as error:
            raise StorageContentError(
                f"{where}: its weights do not fit the networks that it names ({error}); restore "
                "weights and options of the same run"
            ) from error
        found[name] = built[name].requires_grad_(False).eval()
    return found


def trained_prefix(objective: Objective, options: Mapping[str, Any], network: str) -> str:
    """The prefix, in a checkpoint, of the weights of a network that are used after training.

    These weights are the average if one is kept. Frozen networks have no average.
    """
    role = objective.roles[network]
    start = options.get("start") or {}
    frozen = not role.trained or network in (start.get("frozen") or ())
    return names.weights(network) if frozen or not role.averaged else names.average(network)
