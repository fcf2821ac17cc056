"""Strips pass through the picture itself, ways end at both pictures, noise is the same for all."""

import pytest
import torch

from ganinv.boundaries.directions import element_direction
from ganinv.editing.edits import Editor, Points
from ganinv.editing.sequences import Way, between, even_strengths, noisy
from ganinv.errors import ConfigError
from ganinv.model import InvertibleGan
from ganinv.saved.identity import identity
from tests.support.codecs import codec_of
from tests.support.families import LATENT_SIZE, build

MODEL = InvertibleGan(codec=codec_of(build("conv"), torch.linspace(1.5, 0.1, LATENT_SIZE)))
STYLED = InvertibleGan(codec=codec_of(build("stylegan2"), torch.ones(LATENT_SIZE)))
EDITOR, STYLED_EDITOR = Editor(MODEL, []), Editor(STYLED, [])


def test_strengths_are_symmetric_and_exactly_zero_in_the_middle() -> None:
    found = even_strengths(2.7, 7)
    assert (found[0], found[3], found[-1]) == (-2.7, 0.0, 2.7)
    assert [-strength for strength in reversed(found)] == found
    for reach, steps in ((3.0, 8), (3.0, 1), (0.0, 3), (float("nan"), 3)):
        with pytest.raises(ConfigError):
            even_strengths(reach, steps)


@pytest.mark.parametrize("way", ["linear", "arc"])
def test_a_way_ends_at_both_pictures_bit_for_bit(way: Way) -> None:
    first, second = (EDITOR.sample([number], 1) for number in (0, 1))
    found = between(EDITOR, first, second, 5, way)
    assert found.values.shape == (5, LATENT_SIZE)
    assert torch.equal(found.values[0], first.values[0])
    assert torch.equal(found.values[-1], second.values[0])


def test_an_arc_keeps_the_length_of_codes_and_a_line_does_not() -> None:
    first, second = (Points("z", 2.0 * torch.eye(LATENT_SIZE)[number][None]) for number in (0, 1))
    arc, line = (between(EDITOR, first, second, 9, way).values.norm(dim=1) for way in ways())
    torch.testing.assert_close(arc, torch.full((9,), 2.0))
    assert float(line[4]) == pytest.approx(2**0.5)


def ways() -> tuple[Way, Way]:
    return "arc", "linear"


def test_lines_run_in_the_space_of_the_points() -> None:
    layers = STYLED.codec.spaces["y_layers"].of_code(STYLED.prior([0, 1], 0))
    found = between(
        STYLED_EDITOR, Points("y_layers", layers[:1]), Points("y_layers", layers[1:]), 3, "linear"
    )
    torch.testing.assert_close(found.values[1], layers.mean(0))
    with pytest.raises(ConfigError, match=r"space 'z': is needed here.*points in 'y_layers'"):
        between(STYLED_EDITOR, found, found, 3, "arc")


def test_all_pictures_get_the_same_noise() -> None:
    first, second = (EDITOR.sample([number], 1) for number in (0, 1))
    noise = [noisy(EDITOR, one, 3, 0.25, 7).values - one.values for one in (first, second)]
    torch.testing.assert_close(noise[0], noise[1])
    assert float(noise[0].std()) == pytest.approx(0.5, abs=0.2)


def test_an_element_that_is_not_there_is_refused() -> None:
    with pytest.raises(ConfigError, match=rf"elements 0 to {LATENT_SIZE - 1}"):
        element_direction(MODEL, identity(MODEL), LATENT_SIZE)
