"""What completion offers is what the commands accept; and how it is remembered."""

import importlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from ganinv import objectives
from launch.completion import cache
from launch.completion.candidates import WITH_RUN_OPTIONS, Offers, candidates
from launch.completion.collecting import collect
from launch.options.loading import (
    default_options,
    load_config,
    load_recipe,
    recipe_names,
)
from launch.options.words import known_values
from launch.verbs import VERBS, module_of


@pytest.fixture(scope="module")
def offers() -> Offers:
    return collect()


class AskedError(Exception):
    """Raised in the place of running a command, with the sections that it reads."""


def sections_read(monkeypatch: pytest.MonkeyPatch, verb: str, argv: list[str]) -> set[str]:
    module = importlib.import_module(module_of(verb))

    def ask(options: Sequence[str], sections: Mapping[str, type]) -> Any:
        raise AskedError(sections)

    monkeypatch.setattr(module, "read_sections", ask)
    with pytest.raises(AskedError) as asked:
        module.main(argv)
    sections = {key: OmegaConf.structured(value) for key, value in asked.value.args[0].items()}
    return set(known_values(OmegaConf.create(sections)))


@pytest.mark.parametrize("verb", sorted({*VERBS} - {"train", "demo", "store", "completion"}))
def test_the_options_of_a_command_are_those_that_it_reads(
    offers: Offers, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    lines: dict[str, list[list[str]]] = {
        "data": [["build", "avatars"], ["index"], ["verify"], ["ls"]],
        "attach": [["job"]],
        "compare": [["a", "b"]],
        "tensorboard": [["a"]],
        "studio": [["a"]],
        "submit": [["tiny-dlsgan"]],
        "profile": [["tiny-dlsgan"]],
        "sweep": [["tiny-dlsgan"]],
        "status": [[], ["--cluster"]],
    }
    read: dict[str, set[str]] = {}
    for argv in lines.get(verb, [[]]):
        command = f"data {argv[0]}" if verb == "data" else verb
        read.setdefault(command, set()).update(sections_read(monkeypatch, verb, argv))
    for command, keys in read.items():
        offered = set(offers.options[command])
        if verb in WITH_RUN_OPTIONS:
            offered -= set(offers.options["train"])
        assert offered == keys, command


@pytest.mark.parametrize("recipe", recipe_names())
def test_the_options_of_a_run_are_those_of_its_configuration(offers: Offers, recipe: str) -> None:
    config = load_config(load_recipe(recipe), ["storage.run=/a", "data.url=/b"])
    # Not those of `config.resolved`: a recipe may give a group of keys where a number is enough.
    expected = set(known_values(OmegaConf.create(default_options(config))))
    for verb in ("train", "submit"):
        found = candidates([verb, recipe, ""], offers)
        keys = {word.removesuffix("=") for word in found if word.endswith("=")}
        assert keys - set(offers.options["submit"]) - expected == set()
        assert expected <= keys


def test_values_are_offered_where_the_type_lists_them(offers: Offers) -> None:
    def values(key: str) -> list[str]:
        return candidates(["train", "tiny-dlsgan", f"{key}="], offers)

    assert values("train.flip") == ["train.flip=true", "train.flip=false"]
    precisions = [f"train.precision={name}" for name in ("fp32", "tf32", "bf16")]
    assert values("train.precision") == precisions
    assert values("objective.name") == [f"objective.name={name}" for name in objectives.names()]
    assert values("objective.scale") == ["objective.scale=dls", "objective.scale=mse"]
    assert values("train.images") == []


def test_switches_are_offered(offers: Offers) -> None:
    assert candidates(["checkpoints", "--v"], offers) == ["--verify"]
    assert candidates(["attach", "--s"], offers) == ["--stop"]


def test_offers_are_collected_once_for_one_state_of_the_sources(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(cache, "state_of_sources", lambda: "first")
    offers = Offers(options={"watch": {"watch.port": ["1", "2"]}})
    assert cache.remembered(lambda: offers) == offers

    def fail() -> Offers:
        raise AssertionError("collected again")

    assert cache.remembered(fail) == offers
    newer = Offers(names={"train": ["a"]})
    monkeypatch.setattr(cache, "state_of_sources", lambda: "second")
    assert cache.remembered(lambda: newer) == newer
    assert cache.remembered(fail) == newer
    assert [file.name for file in (tmp_path / "ganinv").iterdir()] == [cache.cache_file().name]


@pytest.mark.parametrize(
    "content", ["", "[]", '{"sources": "now"}', '{"sources": "now", "offers": 1}']
)
def test_a_corrupt_cache_is_replaced(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(cache, "state_of_sources", lambda: "now")
    cache.cache_file().parent.mkdir()
    cache.cache_file().write_text(content)
    offers = Offers(names={"train": ["a"]})
    assert cache.remembered(lambda: offers) == offers


def test_a_change_of_any_source_is_noticed(tmp_path: Path) -> None:
    source = tmp_path / "launch" / "options" / "schema.py"
    source.parent.mkdir(parents=True)
    source.write_text("a = 1\n")
    states = [cache.state_of_sources(tmp_path)]
    source.write_text("a = 12\n")
    states.append(cache.state_of_sources(tmp_path))
    os.utime(source, ns=(1, 1))
    states.append(cache.state_of_sources(tmp_path))
    (source.parent / "new.yaml").write_text("")
    states.append(cache.state_of_sources(tmp_path))
    assert len(set(states)) == 4
    (source.parent / "notes.txt").write_text("")
    assert cache.state_of_sources(tmp_path) == states[-1]
