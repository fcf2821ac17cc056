"""Edits of images: sums along boundaries, in the order of spaces, exact without strength."""

import itertools
import json
from dataclasses import replace
from typing import Any

import pytest
import torch

from ganinv.boundaries.boundary import Boundary
from ganinv.boundaries.directions import element_directions, principal_directions
from ganinv.editing.edits import Editor, Points, mixed
from ganinv.editing.settings import Settings, restored, settings_of
from ganinv.errors import ConfigError, DataError
from ganinv.model import InvertibleGan
from ganinv.saved.identity import identity
from tests.support.codecs import codec_of
from tests.support.families import LATENT_SIZE, build

SCALE_L = torch.linspace(1.5, 0.1, LATENT_SIZE)
MODEL = InvertibleGan(codec=codec_of(build("conv"), SCALE_L))
STYLED = InvertibleGan(codec=codec_of(build("stylegan2"), SCALE_L))


def editor(model: InvertibleGan = MODEL) -> Editor:
    """Boundaries in two spaces: an element and a direction of the code, and a direction of u."""
    name = identity(model)
    found = [*element_directions(model, name, 1), *principal_directions(model, name, 2)]
    return Editor(model, [*found[:2], replace(found[2], space="u", scale_P=SCALE_L)])


EDITOR = editor()


def test_without_strength_an_edit_is_the_reconstruction_bit_for_bit() -> None:
    images = MODEL.sample(3, seed=0)
    points = EDITOR.encode(images)
    for strengths in ({}, dict.fromkeys(EDITOR.boundaries, 0.0), {"element 0": torch.zeros(3)}):
        edited = EDITOR.edited(points, strengths)
        assert torch.equal(EDITOR.decode(edited), MODEL.reconstruct(images))


def test_edits_add_up_in_any_order_and_over_spaces() -> None:
    strengths = {"element 0": 1.5, "principal 1": -1.0, "principal 2": 0.5}
    points = EDITOR.sample(range(2), seed=1)
    found = [
        EDITOR.edited(points, dict(order)) for order in itertools.permutations(strengths.items())
    ]
    assert {edited.space for edited in found} == {"u"}
    assert all(torch.equal(found[0].values, other.values) for other in found)
    expected = points.values * SCALE_L
    for name, strength in strengths.items():
        boundary = EDITOR.boundaries[name]
        step = boundary.step * (SCALE_L if boundary.space == "z" else 1)
        expected = expected + strength * step
    torch.testing.assert_close(found[0].values, expected, rtol=0, atol=1e-5)


def test_edits_of_several_samples_may_have_different_strengths() -> None:
    points = EDITOR.sample(range(3), seed=1)
    strength_B = torch.tensor([0.0, 1.0, -2.0])
    together = EDITOR.edited(points, {"principal 1": strength_B})
    before, after = EDITOR.distances(points), EDITOR.distances(together)
    torch.testing.assert_close(
        after["principal 1"] - before["principal 1"], strength_B, rtol=0, atol=1e-5
    )
    assert set(after) == set(EDITOR.boundaries)


def test_points_that_have_no_code_take_edits_of_their_own_space_alone() -> None:
    mine = identity(STYLED)
    layers, size = STYLED.codec.spaces["y_layers"].of_code(STYLED.prior([0], 0)).shape[1:]
    own = Boundary(
        name="own", model=mine, space="y_layers", offset=0.0, spread=1.0,
        normal_P=torch.eye(layers * size)[0],
    )  # fmt: skip
    styled = Editor(STYLED, [own, *element_directions(STYLED, mine, 1)])
    points = Points("y_layers", torch.randn(2, layers, size))
    moved = styled.edited(points, {"own": 2.0})
    assert torch.equal(moved.values[:, 0, 0], points.values[:, 0, 0] + 2)
    assert set(styled.distances(points)) == {"own"}
    with pytest.raises(ConfigError, match=r"space 'z'.*points in 'y_layers'.*boundary.space"):
        styled.edited(points, {"element 0": 1.0})


def test_mixing_takes_some_layers_of_another_picture() -> None:
    first, second = (
        Points("y_layers", STYLED.codec.spaces["y_layers"].of_code(STYLED.prior([n], 0)))
        for n in (0, 1)
    )
    found = mixed(first, second, range(1, 2))
    assert torch.equal(found.values[:, 1], second.values[:, 1])
    assert torch.equal(found.values[:, 2:], first.values[:, 2:])
    with pytest.raises(ConfigError, match=r"layers = range\(0, 99\): this generator has"):
        mixed(first, second, range(99))
    with pytest.raises(ConfigError, match=r"not 'z'; only style-based"):
        mixed(first, EDITOR.sample([0], 0), range(1))


def test_unknown_names_and_other_models_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"'hat': no such boundary.*element 0, principal 1"):
        EDITOR.edited(EDITOR.sample([0], 0), {"hat": 1.0})
    boundary = EDITOR.boundaries["element 0"]
    with pytest.raises(ConfigError, match=r"'element 0': is there twice"):
        Editor(MODEL, [boundary, boundary])
    with pytest.raises(DataError, match="belongs to the model other"):
        Editor(MODEL, [replace(boundary, model="other")])


def test_settings_give_the_same_picture_again() -> None:
    points = EDITOR.encode(MODEL.sample(1, seed=5))
    strengths = {"principal 2": -0.7, "element 0": 0.3, "principal 1": 0.0}
    settings = settings_of(EDITOR, points, strengths, origin="me.png")
    again = restored(editor(), Settings.from_json(settings.to_json()))
    assert torch.equal(EDITOR.decode(again), EDITOR.decode(EDITOR.edited(points, strengths)))


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        ({"ganinv-edit": 2}, DataError, "format 2, but this program reads format 1"),
        ({"model": "other"}, DataError, "belong to the model other"),
        ({"space": "y"}, DataError, "no space 'y'; this model has z, u"),
        ({"point": "?"}, DataError, "no base64"),
        ({"point": "AAAA"}, DataError, "has 3 bytes where shape"),
        ({"point": "AADAfw==", "shape": [1]}, DataError, "not finite"),
        ({"point": "AACAPw==", "shape": [1]}, DataError, r"the shape \(1,\), but those"),
        ({"shape": [-1]}, ConfigError, r"settings.shape = \[-1\]"),
        ({"strengths": {"a": "b"}}, ConfigError, r"strengths.a = 'b'"),
        ({"colour": 1}, ConfigError, "settings.colour = 1: unknown key"),
    ],
)
def test_wrong_settings_are_refused(
    change: dict[str, Any], kind: type[Exception], message: str
) -> None:
    good = json.loads(settings_of(EDITOR, EDITOR.sample([0], 0), {}).to_json())
    with pytest.raises(kind, match=message):
        restored(EDITOR, Settings.from_json(json.dumps(good | change)))


def test_settings_must_be_a_group_of_keys() -> None:
    for text in ("", "[]", "null", b"\xff", "[" * 100_000):
        with pytest.raises(DataError, match="settings"):
            Settings.from_json(text)
