"""Arcs between vectors. Shapes: B samples, E elements."""

import torch
from torch import Tensor
from torch.nn import functional as F

LEAST_SINE = 1e-6  # of the angle between two vectors, for an arc from one to the other


def arc(first_BE: Tensor, second_BE: Tensor, share_B: Tensor) -> Tensor:
    """The vectors at a share of the way, by angle, from one vector to another, B × E.

    K. Shoemake, "Animating Rotation with Quaternion Curves" (1985); for codes, T. White, "Sampling
    Generative Networks" (2016). The way between vectors of one length is a great circle. Vectors of
    one direction, or of opposite ones, have a straight way.
    """
    share_B1 = share_B[:, None]
    cosine_B1 = F.cosine_similarity(first_BE, second_BE)[:, None].clamp(-1, 1)
    angle_B1 = cosine_B1.arccos()
    straight_BE = torch.lerp(first_BE, second_BE, share_B1)
    bent_BE = ((1 - share_B1) * angle_B1).sin() * first_BE + (share_B1 * angle_B1).sin() * second_BE
    sine_B1 = angle_B1.sin()
    return torch.where(sine_B1 > LEAST_SINE, bent_BE / sine_B1.clamp(min=LEAST_SINE), straight_BE)
