"""Edits of images: their points in the spaces of a model, moved along boundaries.

Shapes: B samples, P elements of a point, C × H × W image in [−1, 1].
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ganinv.boundaries.boundary import Boundary, check_model
from ganinv.errors import ConfigError
from ganinv.latents.spaces import space_named
from ganinv.model import InvertibleGan
from ganinv.pictures import Images
from ganinv.saved.identity import identity

Strength = float | Tensor  # in σ: for all samples, or one for each, B


@dataclass(frozen=True)
class Points:
    """Images as points in one space of a model."""

    space: str
    values: Tensor  # B × …


class Editor:
    """Edits with the boundaries of one model; see `ganinv.boundaries`.

    An edit without strengths other than 0 returns the points themselves, so that its image is the
    reconstruction, bit for bit. The order in which strengths are given does not matter.
    """

    def __init__(self, model: InvertibleGan, boundaries: Iterable[Boundary]) -> None:
        """Raises `DataError` for boundaries of another model, `ConfigError` for two of one name."""
        self.model = model
        self.identity = identity(model)
        self.boundaries: dict[str, Boundary] = {}
        for boundary in boundaries:
            if boundary.name in self.boundaries:
                raise ConfigError(
                    f"boundary {boundary.name!r}: is there twice; leave one of the two files out"
                )
            self.boundaries[boundary.name] = boundary
        check_model(list(self.boundaries.values()), self.identity)

    def encode(self, images: Images) -> Points:
        """The points of images by the model's encoder; takes images as `InvertibleGan.encode`."""
        return Points("z", self.model.encode(images))

    def sample(self, image_numbers: Sequence[int], seed: int) -> Points:
        """The points of generated images; seed and image number determine each."""
        return Points("z", self.model.prior(image_numbers, seed).to(self.model.dtype))

    @torch.no_grad()
    def edited(self, points: Points, strengths: Mapping[str, Strength]) -> Points:
        """The points after edits by strengths in σ along boundaries, by their names.

        Edits within a space add up. Those in several spaces are made in the order of the spaces
        from the code to the image; the points returned lie in the last of them. Raises
        `ConfigError` for an unknown boundary, and for one in a space that the points cannot reach.
        """
        self.check_known(strengths)
        for space in self.model.codec.spaces:
            moves = [
                (boundary, strengths[name])
                for name, boundary in self.boundaries.items()
                if name in strengths and boundary.space == space and not _is_zero(strengths[name])
            ]
            if moves:
                points = before = self.in_space(points, space)
                for boundary, strength in moves:
                    points = Points(
                        space, boundary.moved(points.values, _for_each(strength, points))
                    )
                kept = self.model.codec.spaces[space].fixed_as(points.values, before.values)
                points = Points(space, kept)
        return points

    @torch.no_grad()
    def distances(self, points: Points) -> dict[str, Tensor]:
        """The signed distance of each point from each boundary in σ, B, by name.

        Boundaries in spaces that the points cannot reach are left out.
        """
        found = {}
        for name, boundary in self.boundaries.items():
            if self._reaches(points, boundary.space):
                values = self.in_space(points, boundary.space).values
                found[name] = boundary.distance(values)
        return found

    def decode(self, points: Points) -> Tensor:
        """The image of each point, B × C × H × W, clamped to [−1, 1]; without gradients."""
        return self.model.decode_points(points.space, points.values)

    def check_known(self, names: Iterable[str]) -> None:
        """Raises `ConfigError` for a boundary that is not there."""
        for name in names:
            if name not in self.boundaries:
                known = ", ".join(self.boundaries) or "none"
                raise ConfigError(
                    f"edit {name!r}: no such boundary; these are there: {known}; fit others with "
                    "ganinv boundary"
                )

    def in_space(self, points: Points, name: str) -> Points:
        """The same images as points in another space.

        Raises `ConfigError` where no code can be computed back, which that would take.
        """
        if points.space == name:
            return points
        spaces = self.model.codec.spaces
        space = space_named(spaces, name)
        if not self._reaches(points, name):
            raise ConfigError(
                f"space {name!r}: is needed here, but images are points in {points.space!r}, from "
                "which no code can be computed back; refine in another space, or fit boundaries "
                f"with boundary.space={points.space}"
            )
        to_code = spaces[points.space].to_code
        assert to_code is not None
        return Points(name, space.of_code(to_code(points.values)))

    def _reaches(self, points: Points, name: str) -> bool:
        own = self.model.codec.spaces[points.space]
        return points.space == name or own.to_code is not None


def mixed(first: Points, second: Points, layers: range) -> Points:
    """The first's styles with those of the second in some layers (StyleGAN, §3.1), B × K × S.

    Both lie in the space `y_layers`. Raises `ConfigError` otherwise, or for layers that are not
    there.
    """
    for points in (first, second):
        if points.space != "y_layers":
            raise ConfigError(
                f"mixing of styles: needs points in the space 'y_layers', not {points.space!r}; "
                "only style-based generators have it"
            )
    count = first.values.shape[1]
    if not layers or layers.start < 0 or layers[-1] >= count:
        raise ConfigError(f"layers = {layers}: this generator has the layers 0 to {count - 1}")
    values = first.values.clone()
    values[:, list(layers)] = second.values[:, list(layers)].to(values)
    return Points("y_layers", values)


def _is_zero(strength: Strength) -> bool:
    return not bool(strength.any()) if isinstance(strength, Tensor) else strength == 0


def _for_each(strength: Strength, points: Points) -> Tensor:
    count = len(points.values)
    return torch.as_tensor(strength, dtype=points.values.dtype).expand(count)
