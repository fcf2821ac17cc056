"""Networks from their stored options and weights."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ganinv import networks
from ganinv.errors import StorageError
from ganinv.networks.base import GanPair
from ganinv.plain import member_from_plain


def build_trained(
    options: Mapping[str, Any],
    *,
    resolution: int,
    image_channels: int,
    generator: Mapping[str, Tensor],
    discriminator: Mapping[str, Tensor],
    where: str,
) -> GanPair:
    """G and D of the section `network` of `options` with these weights, for use and not training.

    `where` names the source in messages. Raises `ConfigError` for options that there are not, and
    `StorageError` for weights of other networks.
    """
    family, config = member_from_plain(networks.find, options, "network")
    pair: GanPair = family.build(
        config, resolution=resolution, image_channels=image_channels, seed=0
    )
    try:
        pair.generator.load_state_dict(generator)
        pair.discriminator.load_state_dict(discriminator)
    except RuntimeError as error:
        raise StorageError(
            f"{where}: its weights do not fit the networks that it names ({error}); restore both "
            "from one and the same run"
        ) from error
    for network in pair:
        network.requires_grad_(False).eval()
    return pair
