"""Boundaries measure and move points, depend on one model, and survive a file."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from ganinv.boundaries.boundary import (
    Boundary,
    check_model,
    conditioned,
    prior_scale,
    prior_spread,
    space_of,
)
from ganinv.boundaries.directions import element_directions, principal_directions
from ganinv.boundaries.files import read_boundaries, to_bytes
from ganinv.errors import ConfigError, DataError, StorageContentError, StorageMissingError
from ganinv.model import InvertibleGan
from tests.support.codecs import codec_of
from tests.support.families import LATENT_SIZE, build

SCALE_L = torch.linspace(1.5, 0.1, LATENT_SIZE)
MODEL = InvertibleGan(codec=codec_of(build("conv"), SCALE_L))


def boundary(seed: int, name: str) -> Boundary:
    normal_P = torch.randn(LATENT_SIZE, generator=torch.Generator().manual_seed(seed))
    normal_P /= normal_P.norm()
    spread = prior_spread(MODEL, "u", normal_P)
    return Boundary(
        name=name, model="m", space="u", normal_P=normal_P, offset=0.2, spread=spread,
        figures={"accuracy_validation": 0.9},
    )  # fmt: skip


def test_the_spread_is_that_of_the_prior_along_the_normal() -> None:
    found = boundary(0, "a")
    exact = float((found.normal_P * SCALE_L).norm())  # of z ∘ s, z ~ N(0, I)
    assert found.spread == pytest.approx(exact, rel=0.05)


def test_moving_changes_the_distance_by_the_strength() -> None:
    found = boundary(0, "a")
    points = torch.randn(5, LATENT_SIZE, dtype=torch.float64)
    strength_B = torch.linspace(-3, 3, 5, dtype=torch.float64)
    moved = found.moved(points, strength_B)
    torch.testing.assert_close(found.distance(moved), found.distance(points) + strength_B,
                               rtol=0, atol=1e-6)  # fmt: skip
    there = found.moved_to(points, torch.full((5,), 1.5, dtype=torch.float64))
    torch.testing.assert_close(
        found.distance(there), torch.full((5,), 1.5, dtype=torch.float64), rtol=0, atol=1e-6
    )


def test_a_move_is_the_shortest_in_the_spread_of_the_prior() -> None:
    found = replace(boundary(0, "a"), scale_P=SCALE_L)
    points = torch.randn(5, LATENT_SIZE, dtype=torch.float64)
    moved = found.moved(points, torch.full((5,), 1.5))
    torch.testing.assert_close(
        found.distance(moved), found.distance(points) + 1.5, rtol=0, atol=1e-5
    )
    move = (moved - points)[0]
    other = torch.randn(LATENT_SIZE, dtype=torch.float64)  # a way that changes no distance
    other -= found.normal_P * (found.normal_P.double() @ other) / found.normal_P.norm() ** 2
    for share in (-0.1, 0.1):
        assert (move / SCALE_L).norm() < ((move + share * other) / SCALE_L).norm()
    plain = boundary(0, "a")
    torch.testing.assert_close(
        plain.moved(points, torch.ones(5)), points + plain.spread * plain.normal_P
    )


def test_the_scale_of_the_prior_is_measured() -> None:
    torch.testing.assert_close(prior_scale(MODEL, "u"), SCALE_L, rtol=0.05, atol=0)


def test_strength_0_is_the_reconstruction_bit_for_bit() -> None:
    name, space = space_of(MODEL, None)
    assert name == "u"
    code_BL = MODEL.prior(range(3), 0)
    points = space.of_code(code_BL)
    moved = boundary(0, "a").moved(points, torch.zeros(3))
    with torch.no_grad():
        assert torch.equal(space.decode(moved).clamp(-1, 1), MODEL.decode(code_BL))


def test_a_conditioned_boundary_leaves_the_others_alone() -> None:
    others = [boundary(1, "b"), boundary(2, "c")]
    found = conditioned(boundary(0, "a"), others, MODEL)
    assert found.conditioned_on == ("b", "c")
    assert float(found.normal_P.norm()) == pytest.approx(1)
    points = torch.randn(4, LATENT_SIZE, dtype=torch.float64)
    moved = found.moved(points, torch.full((4,), 2.0))
    for other in others:
        torch.testing.assert_close(other.distance(moved), other.distance(points), rtol=0, atol=1e-5)
    with pytest.raises(ConfigError, match=r"'a'.*combination of 'a'.*fewer"):
        conditioned(boundary(0, "a"), [boundary(0, "a")], MODEL)
    with pytest.raises(ConfigError, match=r"'b'.*the space 'z'.*same model and space"):
        conditioned(boundary(0, "a"), [replace(others[0], space="z")], MODEL)


def test_a_conditioned_boundary_with_a_scale_leaves_the_others_alone() -> None:
    first, second = (replace(boundary(seed, str(seed)), scale_P=SCALE_L) for seed in (0, 1))
    found = conditioned(first, [second], MODEL)
    points = torch.randn(4, LATENT_SIZE, dtype=torch.float64)
    moved = found.moved(points, torch.full((4,), 2.0))
    torch.testing.assert_close(second.distance(moved), second.distance(points), rtol=0, atol=1e-5)
    torch.testing.assert_close(found.distance(moved), found.distance(points) + 2, rtol=0, atol=1e-5)


def test_another_model_is_refused() -> None:
    check_model([boundary(0, "a")], "m")
    with pytest.raises(DataError, match=r"'a': belongs to the model m….*other….*ganinv boundary"):
        check_model([boundary(0, "a")], "other")
    with pytest.raises(ConfigError, match=r"space = 'y': this model has z, u"):
        space_of(MODEL, "y")


def test_the_elements_with_the_largest_spread_come_first() -> None:
    found = element_directions(MODEL, "m", 3)
    assert [b.name for b in found] == ["element 0", "element 1", "element 2"]
    assert [b.normal_P.argmax().item() for b in found] == [0, 1, 2]


def test_principal_directions_are_amplified_most() -> None:
    """Of all moves of a code by one length, the first changes the first layer most, and so on."""
    weight = MODEL.codec.first_weight
    assert weight is not None
    found = principal_directions(MODEL, "m", LATENT_SIZE)
    effects = [float((weight @ (SCALE_L * b.normal_P)).norm()) for b in found]
    singular = torch.linalg.svdvals(weight * SCALE_L)
    assert effects == pytest.approx(singular.tolist(), rel=1e-3)


def test_a_file_holds_all_that_a_boundary_is(tmp_path: Path) -> None:
    first = boundary(0, "a")
    second = replace(boundary(1, "b"), scale_P=SCALE_L)
    written = [first, conditioned(second, [replace(first, scale_P=SCALE_L)], MODEL)]
    path = tmp_path / "faces.safetensors"
    path.write_bytes(to_bytes(written))
    read = read_boundaries(path)
    for before, after in zip(written, read, strict=True):
        assert torch.equal(before.normal_P, after.normal_P)
        assert torch.equal(before.step, after.step)
        same = replace(before, normal_P=after.normal_P, scale_P=after.scale_P)
        assert same == after
    path.write_bytes(to_bytes(written).replace(b'"format\\": 2', b'"format\\": 1'))
    with pytest.raises(StorageContentError, match=r"has format 1, but .* fit the boundaries anew"):
        read_boundaries(path)


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(StorageMissingError):
        read_boundaries(tmp_path / "none.safetensors")
    path = tmp_path / "other.safetensors"
    for payload in (b"", b"text", to_bytes([])[:-1]):
        path.write_bytes(payload)
        with pytest.raises(StorageContentError, match=r"holds no boundaries.*ganinv boundary"):
            read_boundaries(path)
