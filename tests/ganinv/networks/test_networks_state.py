"""Names, options and weights of every network family; a new file is collected by itself."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from ganinv import networks
from ganinv.errors import ConfigError
from ganinv.networks.base import Networks
from tests.support.families import LATENT_SIZE, build, families, normal, outputs


@families
def test_a_family_is_found_by_its_name(name: str) -> None:
    assert networks.find(name).Config().name == name


def test_the_papers_families_are_there() -> None:
    assert {"conv", "reduced_stylegan2", "stylegan2"} <= set(networks.names())


def test_an_unknown_family_is_named_with_those_there_are() -> None:
    with pytest.raises(ConfigError, match=r"network\.name = 'base'.*choose conv, "):
        networks.find("base")


def weights(built: Networks) -> dict[str, Tensor]:
    return {
        f"{at}.{k}": v for at, network in built.items() for k, v in network.state_dict().items()
    }


@families
def test_initial_weights_are_a_function_of_the_seed(name: str) -> None:
    torch.manual_seed(1)
    first = weights(build(name))
    drawn = torch.rand(3)
    second = weights(build(name))  # the global generator has moved on
    torch.manual_seed(1)
    assert torch.equal(torch.rand(3), drawn)  # and building has not moved it
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)
    other = weights(build(name, seed=1))
    assert any(not torch.equal(first[key], other[key]) for key in first if key[0] == "g")
    assert any(not torch.equal(first[key], other[key]) for key in first if key[0] == "d")


@families
def test_weights_survive_safetensors(name: str, tmp_path: Path) -> None:
    """No shared tensors (which it refuses), and no constants among them."""
    arguments = {"g": normal(2, LATENT_SIZE), "d": normal(2, 3, 16, 16)}
    others = build(name, seed=1)
    for at, network in build(name).items():
        other, argument = others[at], arguments[at]
        assert network.state_dict().keys() == {key for key, _ in network.named_parameters()}
        save_file(network.state_dict(), tmp_path / "weights.safetensors")
        other.load_state_dict(load_file(tmp_path / "weights.safetensors"))
        assert all(
            torch.equal(a, b)
            for a, b in zip(outputs(network, argument), outputs(other, argument), strict=True)
        )


@pytest.mark.parametrize(
    ("resolution", "nearest"),
    [(4, "8"), (6, "8"), (25, "24"), (100, "96"), ("178x218", "192x224"), ("128x100", "128x96"),
     ("31x120", "32x128"), ("12x64", "16x64"), ("8x1", "8x2")],
)  # fmt: skip
@families
def test_impossible_resolutions(name: str, resolution: int | str, nearest: str) -> None:
    says = rf"resolution = {resolution}: networks take .* data\.resolution={nearest}, or"
    with pytest.raises(ConfigError, match=says):
        build(name, resolution=resolution)
    build(name, resolution=nearest, feature_block=-1)


@pytest.mark.parametrize("resolution", [0, "0x8", "8x", "8 x 8", "", "-8", "1.5"])
@families
def test_what_is_no_resolution(name: str, resolution: int | str) -> None:
    with pytest.raises(ConfigError, match=rf"resolution = {resolution}: is neither pixels"):
        build(name, resolution=resolution)


@families
def test_impossible_feature_blocks(name: str) -> None:
    with pytest.raises(ConfigError, match=r"feature_block = -3: .*choose one of -2, -1"):
        build(name, resolution=16, feature_block=-3)
    with pytest.raises(ConfigError, match=r"feature_block = 0: .*negative"):
        build(name, feature_block=0)


@pytest.mark.parametrize("key", ["latent_size", "width", "max_width"])
@families
def test_impossible_sizes(name: str, key: str) -> None:
    with pytest.raises(ConfigError, match=f"{key} = 0: must be at least 1"):
        build(name, **{key: 0})
