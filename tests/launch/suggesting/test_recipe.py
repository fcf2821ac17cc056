"""Every suggestion is a recipe that `ganinv train` takes."""

from itertools import product
from pathlib import Path
from typing import Any

import pytest

from ganinv import networks, objectives
from ganinv.errors import ConfigError
from ganinv.schedules import Schedule
from ganinv.sizes import Size
from launch.options.loading import load_configs, load_recipe
from launch.options.schema import RunConfig
from launch.suggesting.families import divisible
from launch.suggesting.plan import plan
from launch.suggesting.recipe import as_tree, as_yaml, checked
from launch.suggesting.task import Task
from launch.wiring.networks import check_resolution
from tests.support.suggesting import task

PLACES = {"data.url": "/data"}
SIZED = {**PLACES, "data.resolution": 64}
MACHINES: tuple[tuple[Any, int], ...] = (("cpu", 2), ("cpu", 7), ("a100", 3), ("h100", 8))
SIZES = (Size(8, 8), Size(32, 32), Size(96, 64), Size(1024, 1024))


def suits(method: str, family: str) -> bool:
    """Networks of a method's own serve that method; one that needs them gets no others."""
    own = getattr(objectives.find(method), "FAMILY", None)
    owners = {getattr(objectives.find(name), "FAMILY", None) for name in objectives.names()}
    return own == family if own or family in owners else True


PAIRS = [pair for pair in product(objectives.names(), networks.names()) if suits(*pair)]


@pytest.mark.parametrize(("method", "family"), PAIRS)
def test_every_suggestion_loads(method: str, family: str, tmp_path: Path) -> None:
    assert checked(plan(task(method=method, family=family, device="cpu", goal="quick")), PLACES)
    suggested = plan(task(method=method, family=family, count=8, goal="best"))
    file = tmp_path / "suggested.yaml"
    file.write_text(as_yaml(suggested, PLACES), encoding="utf-8")
    assert load_recipe(str(file)) == as_tree(suggested, PLACES)
    last = list(load_configs(load_recipe(str(file)), ["storage.run=none"]).values())[-1]
    assert (last.objective.name, last.network.name) == (method, family)


@pytest.mark.parametrize("size", SIZES)
def test_every_size_and_machine_loads(size: Size) -> None:
    for device, count in MACHINES:
        for config in configs(task(device=device, count=count, size=size)).values():
            config.network.widths(size.resolution)  # the networks have this size
            assert config.train.global_batch % config.cluster.sizes[0] == 0


@pytest.mark.parametrize("method", objectives.names())
def test_networks_are_built(method: str) -> None:
    family = getattr(objectives.find(method), "FAMILY", "conv")
    for config in checked(plan(task(method=method, family=family, side=64)), SIZED).values():
        check_resolution(config)


def configs(of: Task) -> dict[str, RunConfig]:
    return checked(plan(of), PLACES)


def test_networks_made_for_other_methods_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"suggest\.family = 'lia': .* for lia, lia_generator"):
        plan(task(method="pvdgan", family="lia"))


def test_schedules_end_with_the_run() -> None:
    found = configs(task(method="dedgan", goal="best"))[""]
    assert found.objective.lambda_emb == Schedule(
        kind="step", start=1.0, factor=10.0, every=12_500_000, end=10.0
    )
    falling = configs(task(side=64, device="cpu"))[""].train.learning_rate
    assert (falling.begin, falling.until) == (24_000, 256_000)
    stages = configs(task(method="lia", family="lia", goal="best"))
    assert list(stages) == ["generator", "encoder"]
    assert stages["encoder"].train.images == 12_000_000
    assert stages["encoder"].train.learning_rate.every == 3_000_000
    assert stages["encoder"].train.networks["e"].learning_rate.start == 0.003
    assert stages["generator"].train.learning_rate == 0.0025


def test_codes_of_angles_are_whole_trees() -> None:
    assert configs(task(method="dedgan"))[""].network.latent_size == 1023
    assert configs(task(method="dedgan", device="cpu"))[""].network.latent_size == 63


@pytest.mark.parametrize("gpus", range(1, 70))
def test_batches_are_even_and_divide(gpus: int) -> None:
    for batch in (4, 16, 64):
        found = divisible(batch, gpus)
        assert found % gpus == found % 2 == 0
        assert found <= max(batch, 2 * gpus)


def test_few_images_get_a_hint() -> None:
    said = " ".join(plan(task(images=2_000, test_images=0)).notes)
    assert "Very few images (2,000)" in said
    assert "train.flip" in said
    assert "0 held-out images" in said
    assert "augmentation" not in " ".join(plan(task(images=100_000)).notes)


def test_few_images_get_augmentation_where_the_method_has_it() -> None:
    kinds = {
        images: configs(task(images=images))[""].objective.augment.kind
        for images in (2_000, 60_000)
    }
    assert kinds == {2_000: "adaptive", 60_000: "none"}
    published = configs(task(family="r3gan"))[""].objective.augment
    assert (published.kind, published.p.end) == ("fixed", 0.3)
    assert configs(task(family="r3gan", images=2_000))[""].objective.augment.kind == "adaptive"


def test_suggestions_for_processors_are_the_small_recipes() -> None:
    for name, side, family in (
        ("demo-pvdgan", 32, "conv"),
        ("avatars32-wide-pvdgan", 64, "conv"),
        ("avatars32-lia", 32, "lia"),
        ("avatars32-r3gan-dls", 32, "r3gan"),
    ):
        method = "lia" if family == "lia" else "pvdgan"
        goal = "good" if side == 64 else "quick"
        of = task(method=method, family=family, side=side, device="cpu", count=1, goal=goal)
        for stage, found in configs(of).items():
            words = ["storage.run=a", "data.url=b", f"train.images={found.train.images}"]
            known = load_configs(load_recipe(name), words)[stage]
            assert found.objective.lambda_r1 == known.objective.lambda_r1
            assert found.train.rate == known.train.rate or stage == "encoder"
            assert found.train.global_batch == known.train.global_batch
            assert found.network.latent_size == known.network.latent_size
            assert found.network.width == known.network.width
            for option in ("blocks", "basis_bias"):
                assert getattr(found.network, option, None) == getattr(known.network, option, None)
            assert getattr(found.objective, "trace", None) == getattr(
                known.objective, "trace", None
            )
