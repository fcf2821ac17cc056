"""The spaces in which an image has a point, for inversion and edits. A codec names those it has.

    z          the code: what the encoder gives and `Codec.decode` takes
    u          what enters the generator, where that differs from z (z ∘ s of DLSGAN and PVDGAN)
    y          the style, what the mapper of a style-based generator gives (w of StyleGAN, y of LIA)
    y_layers   one style for each layer of such a generator ("W+" of Image2StyleGAN)

Shapes: B samples, L latent elements, S style elements, K layers, C × H × W image.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from ganinv.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Space:
    """One space of a codec. Its functions are differentiable, and treat each sample by itself.

    A point is a tensor whose first dimension counts samples. `of_code(code_BL)` is the point that
    has the image of this code: `decode(of_code(code)) = codec.decode(code)`. `to_code` is the
    inverse of `of_code`; None where points exist that no code gives. No search and no edit changes
    the last `fixed` elements of a point: the label of a conditional model.
    """

    title: str  # in words, for pages and messages
    of_code: Callable[[Tensor], Tensor]  # codes B × L → points
    decode: Callable[[Tensor], Tensor]  # points → images B × C × H × W
    to_code: Callable[[Tensor], Tensor] | None = None  # points → codes B × L
    fixed: int = 0

    def searched(self, point: Tensor) -> Tensor:
        """The point, without a gradient toward its fixed elements."""
        return self.fixed_as(point, point.detach())

    def fixed_as(self, point: Tensor, other: Tensor) -> Tensor:
        """The point with the fixed elements of another."""
        if not self.fixed:
            return point
        return torch.cat([point[:, : -self.fixed], other[:, -self.fixed :]], 1)

    def varied(self, point_BP: Tensor) -> Tensor:
        """The point with zeros as its fixed elements, so that they are no part of directions."""
        return self.fixed_as(point_BP, torch.zeros_like(point_BP))


@runtime_checkable
class StyledGenerator(Protocol):
    """A generator whose layers all see a style that a mapper makes."""

    @property
    def style_layers(self) -> int:
        """The number of layers that can have a style of their own, K."""
        ...

    def style(self, entering_BL: Tensor) -> Tensor:
        """What enters the generator → the style of all layers, B × S."""
        ...

    def synthesis(self, style: Tensor) -> Tensor:
        """The image of a style, B × S, or of one style for each layer, B × K × S."""
        ...


def space_named(spaces: Mapping[str, Space], name: str) -> Space:
    """Raises `ConfigError` for a space that is not there."""
    if name not in spaces:
        raise ConfigError(
            f"space = {name!r}: this model has {', '.join(spaces)}; choose one of them"
        )
    return spaces[name]


def code_space(decode: Callable[[Tensor], Tensor], fixed: int = 0) -> Space:
    """The space z of a codec that decodes codes by `decode`."""
    return Space(title="latent code", of_code=_itself, decode=decode, to_code=_itself, fixed=fixed)


def style_spaces(generator: object, to_generator: Callable[[Tensor], Tensor]) -> dict[str, Space]:
    """The spaces y and y_layers of a style-based generator; none of any other generator.

    `to_generator`: what enters the generator for each code. Two codes may have one style, so no
    code is given back; a method whose mapper has an inverse gives y a `to_code` of its own.
    """
    if not isinstance(generator, StyledGenerator):
        return {}
    layers = generator.style_layers

    def styles(code_BL: Tensor) -> Tensor:
        return generator.style(to_generator(code_BL))

    def one_for_each_layer(code_BL: Tensor) -> Tensor:
        return styles(code_BL)[:, None].repeat(1, layers, 1)

    return {
        "y": Space(title="style", of_code=styles, decode=generator.synthesis),
        "y_layers": Space(
            title="one style for each layer",
            of_code=one_for_each_layer,
            decode=generator.synthesis,
        ),
    }


def _itself(code_BL: Tensor) -> Tensor:
    return code_BL
