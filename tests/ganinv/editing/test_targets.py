"""Edits to chosen distances reach all of them at once, whatever the angles between normals."""

from collections.abc import Sequence

import pytest
import torch

from ganinv.boundaries.boundary import Boundary
from ganinv.boundaries.directions import element_directions, principal_directions
from ganinv.editing.edits import Editor
from ganinv.editing.targets import strengths_to
from ganinv.errors import ConfigError
from ganinv.model import InvertibleGan
from ganinv.saved.identity import identity
from tests.support.codecs import codec_of
from tests.support.families import LATENT_SIZE, build

MODEL = InvertibleGan(codec=codec_of(build("conv"), torch.linspace(1.5, 0.1, LATENT_SIZE)))
IDENTITY = identity(MODEL)


def oblique(name: str, direction: Sequence[float], space: str = "u") -> Boundary:
    normal_P = torch.zeros(LATENT_SIZE)
    normal_P[: len(direction)] = torch.tensor(direction)
    return Boundary(
        name=name, model=IDENTITY, space=space, normal_P=normal_P / normal_P.norm(), offset=0.3,
        spread=0.7, scale_P=None if name == "a" else torch.linspace(2, 0.5, LATENT_SIZE),
    )  # fmt: skip


EDITOR = Editor(
    MODEL,
    [
        *element_directions(MODEL, IDENTITY, 1),
        *principal_directions(MODEL, IDENTITY, 1),
        oblique("a", [1.0, 2.0]),
        oblique("b", [1.0, 1.0, 0.5]),
        oblique("b again", [2.0, 2.0, 1.0]),
    ],
)


def test_all_targets_are_reached_together_and_beside_given_strengths() -> None:
    points = EDITOR.sample(range(4), seed=2)
    targets = {"a": 1.5, "b": -2.0}
    others = {"element 0": 0.5, "principal 1": 1.0, "a": 0.25}
    found = strengths_to(EDITOR, points, targets, others)
    assert (found["element 0"], found["principal 1"]) == (0.5, 1.0)
    reached = EDITOR.distances(EDITOR.edited(points, found))
    for name, target in targets.items():
        torch.testing.assert_close(reached[name], torch.full((4,), target), atol=1e-4, rtol=0)


def test_without_targets_the_strengths_stay_as_they_are() -> None:
    assert strengths_to(EDITOR, EDITOR.sample([0], 0), {}, {"a": 0.1}) == {"a": 0.1}


def test_what_cannot_be_reached_is_refused() -> None:
    points = EDITOR.sample([0], 0)
    with pytest.raises(ConfigError, match="normal of one is a combination of the others'"):
        strengths_to(EDITOR, points, {"b": 1.0, "b again": 2.0}, {})
    with pytest.raises(ConfigError, match="lie in the spaces u, z"):
        strengths_to(EDITOR, points, {"b": 1.0, "element 0": 2.0}, {})
    with pytest.raises(ConfigError, match="'hat': no such boundary"):
        strengths_to(EDITOR, points, {"hat": 1.0}, {})
