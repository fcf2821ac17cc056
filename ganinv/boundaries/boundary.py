"""A boundary: the hyperplane in a space of a model that separates two kinds of images.

Y. Shen et al., "Interpreting the Latent Space of GANs for Semantic Face Editing" (InterFaceGAN),
§3: with the unit normal n and the offset b, n·p + b is the signed distance of the point p; an image
is edited by p + α n. There, all elements of a code have the same spread. Here they may not, and a
move along n would go where the prior hardly varies and nothing changes. So lengths count in the
spread D of the prior, one number for each element: the shortest way to another distance is along
D² n, which is InterFaceGAN's where D is 1 everywhere. α is measured in σ, the spread of the prior
along n: otherwise one number would be another strength for each boundary.

Shapes: B samples, P elements of a point (flattened), K boundaries.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from ganinv.errors import ConfigError, DataError
from ganinv.latents.spaces import Space, space_named
from ganinv.model import InvertibleGan

PRIOR_SAMPLES, PRIOR_SEED = 4096, 0
# A normal that is nearly a combination of others has no direction left that is its own.
LEAST_REST = 1e-3
LEAST_SCALE = 1e-6  # of the largest spread of an element


@dataclass(frozen=True, kw_only=True)
class Boundary:
    """One boundary of one model. `figures`: how well it separates, and from how many samples."""

    name: str
    model: str  # its identity, see `ganinv.saved.identity`
    space: str
    normal_P: Tensor  # unit length, float32, on the CPU
    offset: float
    spread: float  # σ: standard deviation of the prior along the normal
    scale_P: Tensor | None = None  # D: that of each element, float32; None: the same for all
    figures: Mapping[str, float] = field(default_factory=dict)
    conditioned_on: tuple[str, ...] = ()

    def distance(self, points: Tensor) -> Tensor:
        """Signed distance of each point from the boundary in σ, B."""
        point_BP = points.flatten(1)
        return (point_BP @ self.normal_P.to(point_BP) + self.offset) / self.spread

    def moved(self, points: Tensor, strength_B: Tensor) -> Tensor:
        """Each point moved by its strength in σ; strength 0 gives the point itself, bit for bit."""
        step_BP = strength_B.to(points)[:, None] * self.step.to(points)
        return points + step_BP.view_as(points)

    @property
    def step(self) -> Tensor:
        """The move of strength 1: σ D² n / nᵀD²n, which changes the distance by 1."""
        if self.scale_P is None:
            return self.spread * self.normal_P
        normal_P = self.normal_P.double()
        way_P = self.scale_P.double().square() * normal_P
        return (self.spread * way_P / (normal_P @ way_P)).float()

    def moved_to(self, points: Tensor, distance_B: Tensor) -> Tensor:
        """Each point moved along the normal until it has this distance in σ."""
        return self.moved(points, distance_B.to(points) - self.distance(points))


def conditioned(boundary: Boundary, others: Sequence[Boundary], model: InvertibleGan) -> Boundary:
    """The boundary, so that moving along it changes no distance from `others`.

    Its normal becomes orthogonal to theirs (InterFaceGAN §3.3) where lengths count in D. Raises
    `ConfigError` if nothing of the normal is left, or if the boundaries lie in different spaces.
    """
    for other in others:
        if other.space != boundary.space or other.model != boundary.model:
            raise ConfigError(
                f"boundary {other.name!r}: lies in the space {other.space!r} of a model, and "
                f"{boundary.name!r} in {boundary.space!r} of one; condition on boundaries of the "
                "same model and space"
            )
    scale_P = _scale(boundary)
    whole_P = rest_P = scale_P * boundary.normal_P.double()
    if others:
        span_PK = torch.linalg.qr(
            torch.stack([scale_P * other.normal_P.double() for other in others], 1)
        ).Q
        rest_P = whole_P - span_PK @ (span_PK.T @ whole_P)
    if float(rest_P.norm() / whole_P.norm()) < LEAST_REST:
        raise ConfigError(
            f"boundary {boundary.name!r}: is a combination of "
            f"{', '.join(repr(o.name) for o in others)}; condition on fewer of them"
        )
    normal_P = rest_P / scale_P
    length = float(normal_P.norm())
    unit_P = (normal_P / length).float()
    return replace(
        boundary,
        normal_P=unit_P,
        offset=boundary.offset / length,
        spread=prior_spread(model, boundary.space, unit_P),
        conditioned_on=tuple(o.name for o in others),
    )


def _scale(boundary: Boundary) -> Tensor:
    """D, float64; all 1 where it is the same for all elements."""
    if boundary.scale_P is None:
        return torch.ones(len(boundary.normal_P), dtype=torch.float64)
    return boundary.scale_P.double()


def space_of(model: InvertibleGan, name: str | None) -> tuple[str, Space]:
    """A space of the model by name; by default the last one from which codes can be computed back.

    Raises `ConfigError` for a space that the model does not have.
    """
    spaces = model.codec.spaces
    if name is None:
        name = [n for n, space in spaces.items() if space.to_code is not None][-1]
    return name, space_named(spaces, name)


@torch.no_grad()
def prior_points(model: InvertibleGan, space: Space, count: int, seed: int) -> Tensor:
    """Points of codes drawn from the prior, flattened, B × P; fixed elements are 0."""
    code_BL = model.prior(range(count), seed).to(model.dtype)
    return space.varied(space.of_code(code_BL)).flatten(1)


def prior_scale(model: InvertibleGan, space: str) -> Tensor:
    """D: the standard deviation of each element of prior points, P, float32, of 4,096 draws.

    Elements that hardly vary have a small positive one.
    """
    point_BP = prior_points(model, model.codec.spaces[space], PRIOR_SAMPLES, PRIOR_SEED)
    scale_P = point_BP.double().std(0).cpu()
    return scale_P.clamp(min=LEAST_SCALE * float(scale_P.max())).float()


def prior_spread(model: InvertibleGan, space: str, normal_P: Tensor) -> float:
    """σ: the standard deviation of prior points along a unit vector, of 4,096 draws."""
    point_BP = prior_points(model, model.codec.spaces[space], PRIOR_SAMPLES, PRIOR_SEED)
    return float((point_BP.double() @ normal_P.to(point_BP.device).double()).std())


def check_model(boundaries: Sequence[Boundary], identity: str) -> None:
    """Raises `DataError` if a boundary belongs to another model."""
    for boundary in boundaries:
        if boundary.model != identity:
            raise DataError(
                f"boundary {boundary.name!r}: belongs to the model {boundary.model[:12]}…, but "
                f"this model is {identity[:12]}…; fit it anew with ganinv boundary, or load that"
            )
