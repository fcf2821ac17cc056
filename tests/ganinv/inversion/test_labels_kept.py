"""Searches and directions leave the label of a conditional model's codes alone."""

from typing import Any

import pytest
import torch

from ganinv.boundaries.directions import element_direction, principal_directions
from ganinv.boundaries.fitting import fit
from ganinv.errors import ConfigError
from ganinv.inversion.optimise import Optimisation, RefineConfig
from ganinv.latents.labelled import Condition
from ganinv.latents.scaled_normal import SCALE
from ganinv.model import InvertibleGan
from tests.support.runs import NETWORK, build_networks, make_objective

CLASSES = ["a", "b", "c"]


@pytest.fixture(scope="module", params=["dlsgan", "dedgan"])
def model(request: pytest.FixtureRequest) -> InvertibleGan:
    condition = Condition(attribute="kind", classes=CLASSES, counts=[2, 3, 5])
    objective = make_objective(request.param, condition=condition)
    size = NETWORK.latent_size
    scale_L = torch.linspace(0.5, 1.5, size)
    codec = objective.codec(build_networks(objective=objective), {SCALE: scale_L})
    return InvertibleGan(codec=codec)


def test_a_search_keeps_the_label(model: InvertibleGan) -> None:
    real = model.sample(2, seed=1)
    options: dict[str, Any] = {"steps": 5, "prior_weight": 10.0, "learning_rate": 0.5}
    known = InvertibleGan(codec=model.codec, label="c")
    for space in model.codec.spaces:  # z, and u where it is another one
        config = RefineConfig(space=space, starts=["encoder", "random"], random_starts=1, **options)
        found = Optimisation(known, config)(real)
        assert found.code_NL is not None
        assert found.point[:, -3:].tolist() == found.code_NL[:, -3:].tolist() == [[0, 0, 1]] * 2
        assert not torch.equal(found.code_NL, known.encode(real))


def test_no_direction_has_a_part_of_the_label(model: InvertibleGan) -> None:
    """The attribute is the label itself, so that only the fixed elements would tell it apart."""
    code_BL = model.prior(range(300), seed=0)
    space = list(model.codec.spaces)[-1]
    points = model.codec.spaces[space].of_code(code_BL)
    keys = list(map(str, range(300)))
    boundary = fit("a", model, "", space, points, code_BL[:, -3] > 0, keys)
    moved = boundary.moved(points, torch.full((300,), 5.0))
    assert torch.equal(moved[:, -3:], points[:, -3:])
    assert not torch.equal(moved, points)
    directions = principal_directions(model, "", model.latent_size)
    assert len(directions) == model.latent_size - 3
    assert all(one.normal_P[-3:].abs().max() < 1e-6 for one in directions)
    with pytest.raises(ConfigError, match="elements 0 to 6"):
        element_direction(model, "", 7)
