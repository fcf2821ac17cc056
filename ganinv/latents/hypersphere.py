"""Codes that are angles of points on a hypersphere, by a perfect binary tree (DEDGAN §3, Alg. 3).

    paper   here       shape
    z_s     angle_BL   B × L   spherical code: L = 2^k − 1 angles in (0, π/2), in level order, root
                               first
    z_c     point_BC   B × C   Cartesian code: C = 2^k positive coordinates, of length 1
            code_BL    B × L   n ~ N(0, I), what enters the generator: z_s = (π/2) Φ(n)

Every node of the tree passes t sin φ to its even child and t cos φ to its odd child; the root has
t = r = 1, and the leaves are the coordinates. So a coordinate is a product of k factors instead of
L, and does not underflow.

The paper draws z_s ~ U(0, π/2) and puts the quantile function of N(0, 1) before the generator's
network (§5.1). Drawing n and taking z_s from it is the same, and makes n the code of the model.

So the way from one code to another is the arc of n, as for all normal codes. On the great circle
of z_c, angles of small mass turn fast near the ends, and n becomes shorter than codes of the prior.

Shapes: B samples, L angles, C = L + 1 coordinates.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ganinv.errors import ConfigError
from ganinv.latents.base import LatentTensors
from ganinv.latents.normal import StandardNormal

LARGEST = 4095  # angles
# Recovered angles stay this share of π/2 away from 0 and π/2, where the quantile is infinite: so
# recovered codes lie within ±4.75.
MARGIN = 1e-6
# Smaller coordinates count as this in the way back, so that squares of float32 do not underflow. It
# concerns pairs of coordinates that hold 1e-36 of the squared length.
LEAST = 1e-18
UNINFORMED_DRAWS = 1024


@dataclass(frozen=True, slots=True)
class Hypersphere(StandardNormal):
    """Implements `latents.base.Latent` for angles of a hypersphere.

    Raises `ConfigError` for a `size` that is not 2^k − 1, or above 4,095.
    """

    def __post_init__(self) -> None:
        below = min((1 << (self.size + 1).bit_length() - 1) - 1, LARGEST)
        if self.size < 1 or self.size != below:
            nearest = {max(below, 1), min(2 * below + 1, LARGEST)}
            raise ConfigError(
                f"network.latent_size = {self.size}: the angles of a code form a perfect binary "
                f"tree, so there must be 2^k − 1 of them, at most {LARGEST}; choose "
                f"{' or '.join(map(str, sorted(nearest)))}"
            )

    @property
    def levels(self) -> int:
        """k, the depth of the tree."""
        return (self.size + 1).bit_length() - 1

    def error(self, code_BL: Tensor, other_BL: Tensor, tensors: LatentTensors) -> Tensor:
        """L_emb = tan∠(z_c, z′_c) (Alg. 1 l. 7).

        With a, b of length 1, tan∠(a, b) = ‖a − b‖ ‖a + b‖ / 2 a·b, exact also where a = b.
        """
        del tensors
        a_BC, b_BC = (
            self.to_cartesian(self.angles(codes.double())) for codes in (code_BL, other_BL)
        )
        sine_B = (a_BC - b_BC).norm(dim=1) * (a_BC + b_BC).norm(dim=1) / 2
        tangent_B: Tensor = sine_B / (a_BC * b_BC).sum(1)
        return tangent_B

    def angles(self, code_BL: Tensor) -> Tensor:
        """z_s = (π/2) Φ(n)."""
        angle_BL: Tensor = torch.special.ndtr(code_BL) * (math.pi / 2)
        return angle_BL

    def code(self, angle_BL: Tensor) -> Tensor:
        """n = Φ⁻¹((2/π) z_s), within ±4.75."""
        share_BL = (angle_BL * (2 / math.pi)).clamp(MARGIN, 1 - MARGIN)
        code_BL: Tensor = torch.special.ndtri(share_BL)
        return code_BL

    def to_cartesian(self, angle_BL: Tensor) -> Tensor:
        """z_c of z_s (§3), level by level from the root: B × L → B × C."""
        return self._values(angle_BL)[-1]

    def to_spherical(self, point_BC: Tensor) -> Tensor:
        """z_s of positive coordinates of any length (Algorithm 3): B × C → B × L."""
        value_BN = point_BC.clamp(min=LEAST)
        found: list[Tensor] = []
        for _ in range(self.levels):
            even_BN, odd_BN = value_BN[:, 0::2], value_BN[:, 1::2]
            found.insert(0, torch.atan2(even_BN, odd_BN))
            value_BN = torch.hypot(even_BN, odd_BN)
        return torch.cat(found, 1)

    def masses(self, angle_BL: Tensor) -> Tensor:
        """The share of the squared length of z_c below each angle's node, B × L; 1 at the root.

        The shares of each level sum to 1. An angle under a node of small mass hardly moves z_c:
        the squared length of a small step of z_c is Σ mass · (step of the angle)².
        """
        return torch.cat(self._values(angle_BL)[:-1], 1).square()

    def uninformed_error(self) -> float:
        """The mean of `error` for an encoder that always answers with the centre, n = 0.

        That is the best answer of an encoder that knows nothing, by the tree's symmetry under
        exchange of a node's children. Estimated from fixed draws, to about 1 %.
        """
        code_NL = self.draw(0, "uninformed", range(UNINFORMED_DRAWS))
        return float(self.error(code_NL, torch.zeros_like(code_NL[:1]), {}).mean())

    def _values(self, angle_BL: Tensor) -> list[Tensor]:
        """t of all nodes, level by level: B × 1 at the root, …, B × C leaves."""
        found = [torch.ones_like(angle_BL[:, :1])]
        for level in range(self.levels):
            value_BN, first = found[-1], 2**level - 1
            here_BN = angle_BL[:, first : first + 2**level]
            children_BN2 = [value_BN * here_BN.sin(), value_BN * here_BN.cos()]
            found.append(torch.stack(children_BN2, 2).flatten(1))
        return found
