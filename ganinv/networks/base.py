"""The interface of all network families. Shapes: B samples, L latent elements, F features.

A family is a module with a `Config` (a `NetworkConfig` whose `name` is the module's) and
`build(config, *, resolution, image_channels, seed, kinds=PAIR) -> Networks`. `resolution` is `128`
for squares or `128x96` (WIDTHxHEIGHT, `ganinv.sizes`); `coarsest_grid` gives the pixels to begin
with. A family that serves only methods without `Role.kind` may leave out `kinds`.

A family with conditional networks sets `CONDITIONAL = True`, and its `build` takes `classes`, the
number K of classes of a label, 0 by default. Then G takes B × (L + K), a label of zeros and a one
after what the latent lets enter, and D gives a `LabelledJudgement`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ganinv.draws import torch_seed
from ganinv.errors import ConfigError
from ganinv.networks.recomputing import run
from ganinv.sizes import Resolution, Size, size_of

# Pixels of the longer side of the generator's first and the discriminator's last feature map: from
# this number to less than twice of it. So squares of a power of two have 4 × 4.
COARSEST = 4


class Grid(NamedTuple):
    """Pixels of the coarsest feature map, in the order of tensors."""

    height: int
    width: int

    @property
    def pixels(self) -> int:
        return self.height * self.width


class Judgement(NamedTuple):
    """Output of the integrated discriminator D* (PVDGAN §2): D, latent encoder and feature encoder.

    `adversarial_B`: higher means more real. `latent_BL`: predicted latent code, B × 0 of a
    discriminator without encoder. `feature_BF`: intermediate layer, flattened.
    """

    adversarial_B: Tensor
    latent_BL: Tensor
    feature_BF: Tensor


class LabelledJudgement(NamedTuple):
    """Output of D with `classes`. What each of K classes adds to the adversarial value: B × K."""

    adversarial_B: Tensor
    latent_BL: Tensor
    feature_BF: Tensor
    projection_BK: Tensor


Networks = dict[str, nn.Module]  # by their names in the methods
Makers = Mapping[str, Callable[[], nn.Module]]  # what makes a network of each kind
# The kind of each network that a method asks for, by the network's name. The families here give
#     generator             what the latent lets enter, B × L → image in about [−1, 1]
#     discriminator         image → `Judgement`, the integrated discriminator
#     image_discriminator   the same without latent encoder
#     pair_discriminator    (image, code) → `Judgement` without latent encoder
#     encoder               image → μ and ln σ of the code's posterior, B × 2L
#     classifier            features of the discriminator → scores of the classes, B × K
Kinds = Mapping[str, str]
PAIR: Kinds = {"g": "generator", "d": "discriminator"}


@dataclass(frozen=True, kw_only=True, slots=True)
class NetworkConfig:
    """Options of all families; channels double from fine to coarse, up to a limit."""

    name: str  # the family's module
    latent_size: int
    width: int | None = 64  # channels at the full resolution; None: by the family's rule
    max_width: int = 512  # channels at coarse resolutions
    # Discriminator block whose output is the feature encoder, counted from the last: −2 is the
    # second last (PVDGAN paper).
    feature_block: int = -2

    def __post_init__(self) -> None:
        for key in ("latent_size", "width", "max_width"):
            value = getattr(self, key)
            if value is not None and value < 1:
                raise ConfigError(f"{key} = {value}: must be at least 1")
        if self.feature_block >= 0:
            raise ConfigError(
                f"feature_block = {self.feature_block}: blocks are counted from the last, "
                "so give a negative number: -1 (last) or -2 (second last)"
            )

    def widths(self, resolution: Resolution) -> list[int]:
        """Channels at `resolution`, at half of it, and so on down to the `coarsest_grid`.

        Raises `ConfigError` if the resolution cannot be halved down to it, or if the discriminator,
        which has one block per halving, lacks the feature block.
        """
        levels = _halvings(size_of(resolution))
        if -self.feature_block > levels:
            raise ConfigError(
                f"feature_block = {self.feature_block}: a discriminator for {resolution} pixels "
                f"has {levels} block(s); choose one of {', '.join(map(str, range(-levels, 0)))}"
            )
        finest = self.finest_width(levels)
        return [min(finest << level, self.max_width) for level in range(levels + 1)]

    def finest_width(self, levels: int) -> int:
        """Channels at the full resolution, which can be halved `levels` times."""
        del levels
        if self.width is None:
            raise ConfigError("width = null: this family has no rule for it; give a number")
        return self.width


def coarsest_grid(resolution: Resolution) -> Grid:
    """The generator's first and the discriminator's last feature map.

    A size is this grid, k × m pixels, times 2ⁿ: 128x96 is 4 × 3 times 2⁵. Raises `ConfigError` as
    `NetworkConfig.widths` does.
    """
    width, height = size = size_of(resolution)
    levels = _halvings(size)
    return Grid(height=height >> levels, width=width >> levels)


def _halvings(size: Size) -> int:
    """How often both sides can be halved until the longer one has 4 to 7 pixels.

    Raises `ConfigError` if that is not possible, or no halving is left.
    """
    levels = max(size).bit_length() - COARSEST.bit_length()
    if levels < 1 or any(side % (1 << levels) for side in size):
        raise ConfigError(
            f"resolution = {size.resolution}: networks take k·2ⁿ × m·2ⁿ pixels, where the larger "
            f"of k and m is {COARSEST} to {2 * COARSEST - 1} and n at least 1; build the data set "
            f"with data.resolution={_nearest(size).resolution}, or another one of these"
        )
    return levels


def _nearest(size: Size) -> Size:
    """A possible size near to `size`."""
    longer = max(*size, 2 * COARSEST)
    for _ in range(2):  # rounding up may reach the next power of two, which has larger steps
        step = 1 << (longer.bit_length() - COARSEST.bit_length())
        longer = round(longer / step) * step
    return Size(
        *(longer if side == max(size) else max(round(side / step), 1) * step for side in size)
    )


def seeded_networks(makers: Makers, kinds: Kinds, seed: int) -> Networks:
    """The networks asked for, at their initial weights: a function of `seed` and of their names.

    Raises `ConfigError` for a kind of network that the family lacks.
    """
    for name, kind in kinds.items():
        if kind not in makers:
            raise ConfigError(
                f"network.name: this family has no {kind} for the network {name} of the method, "
                f"only {', '.join(makers)}; choose another family"
            )
    return {
        name: seeded(makers[kind], seed, f"weights/{PAIR.get(name, name)}")
        for name, kind in kinds.items()
    }


def seeded_pair(
    generator: Callable[[], nn.Module], discriminator: Callable[[], nn.Module], seed: int
) -> Networks:
    """Both networks of a family that has no others."""
    makers = {"generator": generator, "discriminator": discriminator}
    return seeded_networks(makers, PAIR, seed)


def seeded(build: Callable[[], nn.Module], seed: int, purpose: str) -> nn.Module:
    """A network whose initial weights depend only on (seed, purpose)."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(torch_seed(seed, purpose))
        return build()


def feature_pixels(feature_block: int, grid: Grid) -> int:
    """Pixels of a discriminator block's output; that of the last block has the coarsest `grid`."""
    return grid.pixels << 2 * (-feature_block - 1)


def through_blocks(
    blocks: nn.ModuleList, x_BCHW: Tensor, feature_block: int
) -> tuple[Tensor, Tensor]:
    """The last output of a discriminator's blocks, and that of `feature_block`, flattened."""
    outputs: list[Tensor] = []
    for block in blocks:
        x_BCHW = run(block, x_BCHW)
        outputs.append(x_BCHW)
    return x_BCHW, outputs[feature_block].flatten(1)
