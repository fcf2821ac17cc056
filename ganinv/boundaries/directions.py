"""Directions that need no labels: the most informative elements, and G's own principal directions.

Shapes: L elements of what enters the generator.
"""

import torch
from torch import Tensor

from ganinv.boundaries.boundary import Boundary, prior_spread
from ganinv.errors import ConfigError
from ganinv.model import InvertibleGan


def element_directions(model: InvertibleGan, identity: str, count: int) -> list[Boundary]:
    """The elements of the code with the largest spread (DLSGAN figs. 12–14), the largest first."""
    spread_L = model.spread.cpu().float()
    chosen = spread_L[: _free(model)].argsort(descending=True, stable=True)[:count].tolist()
    return [element_direction(model, identity, element) for element in chosen]


def element_direction(model: InvertibleGan, identity: str, element: int) -> Boundary:
    """One element of the code. Raises `ConfigError` for an element that the code does not have."""
    if not 0 <= element < _free(model):
        raise ConfigError(
            f"element {element}: codes of this model have the elements 0 to {_free(model) - 1}; "
            "choose one of them"
        )
    unit_L = torch.eye(model.latent_size)[element]
    return _direction(model, identity, "z", f"element {element}", unit_L)


def principal_directions(model: InvertibleGan, identity: str, count: int) -> list[Boundary]:
    """What the generator's first layer amplifies most, the strongest first.

    Closed form of Y. Shen and B. Zhou, "Closed-Form Factorization of Latent Semantics in GANs"
    (SeFa): eigenvectors of AᵀA, where A is the weight of that layer. Weighted by the prior: with
    the spread S of what enters the generator these are codes, the eigenvectors of S AᵀA S, so that
    elements without information have no part. Raises `ConfigError` if no layer
    takes what enters the generator.
    """
    weight = model.codec.first_weight
    if weight is None:
        raise ConfigError(
            "principal directions: no layer of this generator takes its input as a matrix product; "
            "use the most informative elements"
        )
    weight_OL = weight.double().cpu()
    spread_L = model.spread.double().cpu()
    scaled_OL = weight_OL * spread_L
    vector_LL = torch.linalg.eigh(scaled_OL.T @ scaled_OL).eigenvectors.flip(1)  # largest first
    found = []
    for number in range(min(count, _free(model))):
        normal_L = vector_LL[:, number]
        # The sign of an eigenvector is arbitrary: its largest element is made positive.
        normal_L = normal_L * normal_L[normal_L.abs().argmax()].sign()
        name = f"principal {number + 1}"
        found.append(_direction(model, identity, "z", name, normal_L.float()))
    return found


def _free(model: InvertibleGan) -> int:
    """Elements of a code before its label, which is no direction."""
    return model.latent_size - len(model.classes)


def _direction(
    model: InvertibleGan, identity: str, space: str, name: str, normal_P: Tensor
) -> Boundary:
    """A boundary through the origin."""
    spread = prior_spread(model, space, normal_P)
    return Boundary(
        name=name, model=identity, space=space, normal_P=normal_P, offset=0.0, spread=spread
    )
