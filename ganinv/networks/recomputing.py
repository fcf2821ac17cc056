"""Blocks whose activations are computed again in backward passes, instead of kept: less memory.

Activations at the finest resolutions take most of the memory of a step. `torch.utils.checkpoint`
keeps a block's inputs alone. It costs one more forward pass of the block for each backward pass,
and changes no result.

First-order R1 (`piecewise`) keeps what its second pass forward needs, so there every block runs as
it is, and the memory of D at real images stays.
"""

from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from ganinv.errors import ConfigError
from ganinv.networks.piecewise import in_pass

_MARK = "recomputed"


def recompute_finest(network: nn.Module, count: int) -> None:
    """Let the `count` finest blocks of a network compute their activations again.

    A network's blocks are its attribute `blocks`, from coarse to fine if it has an attribute
    `coarse_first = True`, else from fine to coarse; it runs them by `run`. A network without blocks
    stays as it is. Raises `ConfigError` if a network has fewer.
    """
    blocks = list(getattr(network, "blocks", ()))
    if blocks and count > len(blocks):
        raise ConfigError(
            f"train.recompute_blocks = {count}: a network of this family and resolution has "
            f"{len(blocks)} blocks; choose at most as many"
        )
    if getattr(network, "coarse_first", False):
        blocks.reverse()
    for number, block in enumerate(blocks):
        setattr(block, _MARK, number < count)


def run(block: nn.Module, *inputs: Any) -> Any:
    """What a block makes of its inputs."""
    if not getattr(block, _MARK, False) or not torch.is_grad_enabled() or in_pass():
        return block(*inputs)
    # Networks draw no random numbers, so there is no state to restore.
    return checkpoint(block, *inputs, use_reentrant=False, preserve_rng_state=False)
