"""An invertible mapper of additive couplings: one set of weights for both directions.

L. Dinh et al., "NICE" (2015), as LIA uses it (Zhu et al., arXiv 1906.08090, eq. 5 and 6): half of
the elements pass unchanged and shift the other half. The Jacobian determinant of every coupling is
1, and that of a reversal ±1, so volume is kept whatever the weights are.

    φ    y → z: h = reverse(h), then [h_t; h_b + τ(h_t)], for every coupling in turn
    φ⁻¹  z → y: [h_t; h_b − τ(h_t)], then h = reverse(h), the couplings in the opposite order

τ, the sizes and the reversal are those of the authors' code, which has two networks for the two
directions and trains only one; here both directions share their weights (the paper's φ and φ⁻¹).

Shapes: B samples, L latent elements, T = ⌈L / 2⌉.
"""

import math

import torch
from torch import Tensor, nn

from ganinv.networks.layers import EqualisedLinear, leaky_relu

GAIN = math.sqrt(2)  # of weights before a leaky ReLU


class Shift(nn.Module):
    """τ: B × T → B × (L − T), two dense layers; a leaky ReLU follows the last one, too."""

    def __init__(self, size: int, width: int, rate: float) -> None:
        super().__init__()
        bottom = size // 2
        self.first = EqualisedLinear(size - bottom, width, gain=GAIN, speed=rate)
        self.second = EqualisedLinear(width, bottom, gain=GAIN, speed=rate)

    def forward(self, top_BT: Tensor) -> Tensor:
        return leaky_relu(self.second(leaky_relu(self.first(top_BT))))


class CouplingMapper(nn.Module):
    """φ⁻¹, z → y, as the mapper of a generator; `to_code` is φ, y → z.

    Needs float32: the error of a round trip grows with ‖τ‖. `rate`: learning rate relative to that
    of other layers (`styled.py` explains it).
    """

    def __init__(self, size: int, *, depth: int, width: int, rate: float) -> None:
        super().__init__()
        self.shifts = nn.ModuleList(Shift(size, width, rate) for _ in range(depth))

    def forward(self, code_BL: Tensor) -> Tensor:
        h_BL = code_BL
        for shift in reversed(self.shifts):
            top_BT, bottom_BT = h_BL.chunk(2, dim=1)
            h_BL = torch.cat([top_BT, bottom_BT - shift(top_BT)], dim=1).flip(1)  # eq. 6
        return h_BL

    def to_code(self, style_BL: Tensor) -> Tensor:
        h_BL = style_BL
        for shift in self.shifts:
            top_BT, bottom_BT = h_BL.flip(1).chunk(2, dim=1)
            h_BL = torch.cat([top_BT, bottom_BT + shift(top_BT)], dim=1)  # eq. 5
        return h_BL
