"""Which words complete a command line, from what commands are said to accept."""

import pytest

from launch.commands import store
from launch.completion.candidates import Offers, candidates, needs_offers, split
from launch.options.data import DESCRIPTIONS
from launch.verbs import SUB_VERBS, VERBS

OFFERS = Offers(
    options={
        "watch": {"storage.run": (), "watch.port": ()},
        "data build": {"data.url": (), "data.resize": ("crop", "stretch")},
        "train": {"train.images": (), "data.build": ("true", "false")},
        "demo": {"train.images": ()},
    },
    switches={"watch": ("--json", "--help"), "data build": ("--json",), "train": ("--json",)},
    names={"train": ("tiny-dlsgan", "tiny-pvdgan"), "data build": ("avatars", "celeba")},
    choices={
        "objective": {
            "dlsgan": {"objective.name": ("dlsgan", "pvdgan"), "objective.scale": ("dls", "mse")},
            "pvdgan": {"objective.name": ("dlsgan", "pvdgan"), "objective.vae_half": ()},
        }
    },
    chosen={"": {"objective": "pvdgan"}, "tiny-dlsgan": {"objective": "dlsgan"}},
)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("ganinv da", ["data"]),
        ("ganinv data ", ["build", "index", "verify", "ls", "--help"]),
        ("ganinv store st", ["start", "stop", "status"]),
        ("ganinv demo c", ["clean"]),
        ("ganinv demo tr", ["train.images="]),
        ("ganinv completion ", ["bash", "zsh", "--help"]),
        ("ganinv data build ", ["avatars", "celeba", "data.url=", "data.resize=", "--json"]),
        ("ganinv data build celeba data.r", ["data.resize="]),
        ("ganinv data build celeba data.resize=", ["data.resize=crop", "data.resize=stretch"]),
        ("ganinv train tiny", ["tiny-dlsgan", "tiny-pvdgan"]),
        ("ganinv train tiny-dlsgan ti", []),
        ("ganinv train tiny-dlsgan data.build=t", ["data.build=true"]),
        ("ganinv train tiny-dlsgan objective.", ["objective.name=", "objective.scale="]),
        ("ganinv train my.yaml objective.v", ["objective.vae_half="]),
        ("ganinv train my.yaml objective.name=dlsgan objective.s", ["objective.scale="]),
        ("ganinv train my.yaml objective.name=no objective.", []),
        ("ganinv watch storage.run=a w", ["watch.port="]),
        ("ganinv watch storage.run=a s", []),
        ("ganinv watch --json --", ["--help"]),
        ("ganinv nothing s", []),
        ("ganinv data nothing s", []),
    ],
)
def test_a_line_is_completed(line: str, expected: list[str]) -> None:
    assert candidates(split(line)[1:], OFFERS) == expected


def test_all_verbs_are_offered() -> None:
    assert candidates([""], Offers()) == [*VERBS, "--help"]


def test_sub_verbs_are_those_of_the_commands() -> None:
    assert SUB_VERBS["data"] == tuple(DESCRIPTIONS)
    assert SUB_VERBS["store"] == tuple(store._VERBS)
    assert SUB_VERBS.keys() <= VERBS.keys()


@pytest.mark.parametrize("line", ["ganinv ", "ganinv da", "ganinv data ", "ganinv none a"])
def test_verbs_and_sub_verbs_need_no_command(line: str) -> None:
    assert not needs_offers(split(line)[1:])


@pytest.mark.parametrize("line", ["ganinv watch ", "ganinv data ls ", "ganinv train t"])
def test_options_and_recipes_need_the_commands(line: str) -> None:
    assert needs_offers(split(line)[1:])


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("a 'b c' d", ["a", "b c", "d"]),
        ("a b ", ["a", "b", ""]),
        ("a 'b", ["a", "'b"]),
        ("", [""]),
    ],
)
def test_a_line_is_split_as_shells_do(line: str, words: list[str]) -> None:
    assert split(line) == words
