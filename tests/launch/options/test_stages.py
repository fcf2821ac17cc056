"""Recipes with stages: which runs they stand for, where these lie, in which order they train."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from ganinv.errors import ConfigError
from launch.commands import train as train_command
from launch.options.loading import load_config, load_configs, load_recipe, recipe_names
from launch.options.stages import stages_of
from launch.starting import StartReport
from launch.wiring import same_run

RECIPE: Mapping[str, Any] = {
    "objective": {"name": "dlsgan", "lambda_r1": 3.0},
    "train": {"images": 96, "flip": False},
    "stages": {
        "first": {"train": {"images": 32}},
        "second": {"objective": {"name": "pvdgan"}},
        "last": {"start": {"networks": ["d"]}},
    },
}
PLACES = ("storage.run=s3://bucket/run/", "data.url=/data")


def test_every_stage_starts_from_the_run_before_it() -> None:
    configs = load_configs(RECIPE, PLACES)
    assert {name: (c.storage.run, c.start.run) for name, c in configs.items()} == {
        "first": ("s3://bucket/run/first", None),
        "second": ("s3://bucket/run/second", "s3://bucket/run/first"),
        "last": ("s3://bucket/run/", "s3://bucket/run/second"),
    }
    assert [c.train.images for c in configs.values()] == [32, 96, 96]
    assert [c.objective.name for c in configs.values()] == ["dlsgan", "pvdgan", "dlsgan"]
    assert all(c.objective.lambda_r1 == 3 and not c.train.flip for c in configs.values())
    assert load_config(RECIPE, PLACES) == configs["last"]


def test_words_are_for_all_stages_or_for_one() -> None:
    words = [
        *PLACES, "stages.second.train.images=48", "train.images=64", "train.seed=5",
        "stages.last.start.run=/other",
    ]  # fmt: skip
    configs = load_configs(RECIPE, words)
    assert [c.train.images for c in configs.values()] == [64, 48, 64]
    assert [c.train.seed for c in configs.values()] == [5, 5, 5]
    assert [c.start.run for c in configs.values()] == [None, "s3://bucket/run/first", "/other"]


def test_one_stage_lies_where_it_would_lie_among_all() -> None:
    whole = load_configs(RECIPE, PLACES)
    for name in whole:
        assert load_configs(RECIPE, [*PLACES, f"stage={name}"]) == {name: whole[name]}
    elsewhere = load_configs(RECIPE, [*PLACES, "stage=last", "start.run=/other"])["last"]
    assert elsewhere.start.run == "/other"


@pytest.mark.parametrize(
    ("recipe", "word", "message"),
    [
        (RECIPE, "stage=secnd", "stage = 'secnd': .*did you mean 'second'.*choose first or second"),
        (RECIPE, "stages.thrid.train.images=1", "stage = 'thrid': the recipe has no such stage"),
        ({"train": {"images": 8}}, "stage=a", "stage = 'a': .*trains in one run: leave it out"),
        (RECIPE, "stages.last.train.imges=1", "train.imges = .*unknown key"),
    ],
)
def test_stages_that_do_not_exist_are_refused(
    recipe: Mapping[str, Any], word: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        load_configs(recipe, [*PLACES, word])


def test_a_problem_of_all_stages_is_told_once() -> None:
    with pytest.raises(ConfigError) as raised:
        load_configs(RECIPE, [*PLACES, "train.images=0"])
    assert str(raised.value).count("train.images = 0") == 1


def test_text_of_a_stage_is_the_text_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "my.yaml"
    file.write_text("stages:\n  a: {start: {run: 007}}\n  b: {train: {images: 010}}\n")
    configs = load_configs(load_recipe(str(file)), ["storage.run=/r", "data.url=/d"])
    assert configs["a"].start.run == str(Path.cwd() / "007")
    assert configs["b"].train.images == 10


def test_shipped_stages_fit_each_other() -> None:
    """A network that a stage takes from the one before must be built alike in both."""
    recipes = {name: load_recipe(name) for name in recipe_names()}
    staged = {name: recipe for name, recipe in recipes.items() if len(stages_of(recipe, [])) > 1}
    assert staged
    for name, recipe in staged.items():
        configs = list(load_configs(recipe, PLACES).values())
        assert len({str(config.network) for config in configs}) == 1, name
        assert len({config.train.flip for config in configs}) == 1, name


def test_a_network_from_another_run_needs_that_run() -> None:
    with pytest.raises(ConfigError, match=r"start.run = None: lia takes its generator, g, from"):
        load_config({"objective": {"name": "lia"}}, PLACES)
    words = (*PLACES, "start.run=/a", "start.networks=[d]")
    with pytest.raises(ConfigError, match=r"name it in start\.networks"):
        load_config({"objective": {"name": "lia"}}, words)


def test_a_method_chooses_its_family_of_networks() -> None:
    config = load_config({"objective": {"name": "lia_generator"}}, PLACES)
    assert config.network.name == "lia"
    words = (*PLACES, "network.name=stylegan2")
    assert load_config({"objective": {"name": "lia_generator"}}, words).network.name == "stylegan2"


@pytest.mark.parametrize(
    ("begun", "ends", "expected"),
    [
        ({}, {}, ["first", "second", "last"]),
        ({"first": 16}, {}, ["first", "second", "last"]),  # in the middle of the first
        ({"first": 32}, {}, ["second", "last"]),
        ({"first": 16, "second": 8}, {}, ["second", "last"]),  # which has begun all the same
        ({"first": 32, "second": 96, "last": 96}, {}, ["last"]),
        ({}, {"second": 130}, ["first", "second"]),
    ],
)
def test_training_goes_on_in_the_stage_where_it_stopped(
    begun: dict[str, int],
    ends: dict[str, int],
    expected: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    configs = load_configs(RECIPE, PLACES)
    at = {config.storage.run: name for name, config in configs.items()}
    trained: list[str] = []

    def pretend(config: Any, *_: object) -> int:
        trained.append(at[config.storage.run])
        return ends.get(trained[-1], 0)

    class Seen:
        def __init__(self, images: int) -> None:
            self.images_seen = images

    def found(store: str) -> list[Seen]:
        return [Seen(begun[at[store]])] if at[store] in begun else []

    monkeypatch.setattr(train_command, "train", pretend)
    monkeypatch.setattr(train_command, "_quick_store", lambda config: config.storage.run)
    monkeypatch.setattr(train_command, "committed_names", found)
    monkeypatch.setattr(same_run, "manifests_newest_first", found)
    status = train_command.train_stages(configs, Console(quiet=True), StartReport())
    assert trained == expected
    assert status == ends.get(expected[-1], 0)
