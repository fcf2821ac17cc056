"""Which trainings a command line asks for, and what is refused before anything starts."""

from typing import Any

import pytest

from ganinv.errors import ConfigError
from launch.options.loading import load_recipe
from launch.sweeping.checking import planned
from launch.sweeping.grid import Grid, grid_of, split_values

RECIPE = load_recipe("tiny-pvdgan")
PLACES = ("storage.run=/runs/a,b/", "data.url=/d,e")


def grid(*words: str, recipe: Any = RECIPE, limit: int = 16) -> Grid:
    return grid_of(recipe, (*PLACES, *words), limit)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("1", ("1",)),
        ("1,4.0,1e-3", ("1", "4.0", "1e-3")),
        ("[a,b]", ("[a,b]",)),
        ("[a, b],[c]", ("[a, b]", "[c]")),
        ("{kind: cosine, start: 1},2", ("{kind: cosine, start: 1}", "2")),
        ("'a,b',c", ("'a,b'", "c")),
        ("[a,b", ("[a,b",)),  # for the reader of options, who says what is wrong
        ("1],[2", ("1],[2",)),
        ("1,,2", ("1,,2",)),
        ("", ("",)),
    ],
)
def test_commas_outside_of_brackets_separate_values(text: str, values: tuple[str, ...]) -> None:
    assert split_values(text) == values


def test_every_combination_is_a_run_in_a_folder_of_its_own() -> None:
    found = grid("objective.lambda_r1=1,4", "train.images=64", "train.seed=0,1")
    place, trainings = planned(RECIPE, found)
    assert place.storage.run == "/runs/a,b"
    assert [one.training.name for one in trainings] == [
        f"lambda_r1-{weight}_seed-{seed}" for weight in (1, 4) for seed in (0, 1)
    ]
    assert [one.label for one in trainings][:2] == ["lambda_r1=1 seed=0", "lambda_r1=1 seed=1"]
    for one in trainings:
        config = one.config
        assert config.storage.run == f"/runs/a,b/{one.training.name}"
        assert (config.data.url, config.train.images) == ("/d,e", 64)
    assert [(one.config.objective.lambda_r1, one.config.train.seed) for one in trainings] == [
        (1, 0), (1, 1), (4, 0), (4, 1),
    ]  # fmt: skip


def test_a_folder_is_the_same_however_a_value_is_spelt_and_whatever_else_is_swept() -> None:
    first, again = grid("objective.lambda_r1=1,1e-3"), grid("objective.lambda_r1=0.001,8,1.0")
    assert {t.name for t in first.trainings} < {t.name for t in again.trainings}
    schedule = "{kind: linear, start: 1, end: 2, until: 9}"
    names = [t.name for t in grid(f"objective.lambda_r1={schedule},2").trainings]
    assert len(names[0]) < 20
    assert names[0].isascii()


def test_keys_that_are_joined_move_together() -> None:
    found = grid("objective.lambda_r1,objective.lambda_r2=1,4", "train.flip=true,false")
    assert len(found.trainings) == 4
    configs = [one.config for one in planned(RECIPE, found)[1]]
    assert [(c.objective.lambda_r1, c.objective.lambda_r2) for c in configs] == [
        (1, 1), (1, 1), (4, 4), (4, 4),
    ]  # fmt: skip


def test_methods_are_an_axis_and_keys_of_one_name_are_told_apart() -> None:
    found = grid(
        "objective.name=dlsgan,pvdgan",
        "train.learning_rate=0.1,0.2",
        "train.networks.g.learning_rate=0.1,0.3",
    )
    names = found.trainings[0].name
    assert names == "name-dlsgan_train.learning_rate-0.1_g.learning_rate-0.1"
    methods = {one.config.objective.name for one in planned(RECIPE, found)[1]}
    assert methods == {"dlsgan", "pvdgan"}


def test_an_option_of_one_stage_is_an_axis() -> None:
    recipe = load_recipe("avatars32-lia")
    found = grid("stages.encoder.train.images=64,128", recipe=recipe)
    first, second = planned(recipe, found)[1]
    assert [first.config.train.images, second.config.train.images] == [64, 128]
    assert first.config.start.run == "/runs/a,b/images-64/generator"
    place, (one, _) = planned(recipe, grid("train.seed=0,1", "stage=generator", recipe=recipe))
    assert place.storage.run == "/runs/a,b"
    assert one.config.storage.run == "/runs/a,b/seed-0/generator"


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ((), "nothing to sweep"),
        (("train.images=64",), "nothing to sweep"),
        (("train.seed=0,0.0",), "seed-0: the grid has this training twice"),
        (("train.seed=0,1", "train.seed=2"), "train.seed: given 2 times"),
        (("evaluate.features=own,lite0",), r"need the same evaluate options; .* in brackets"),
        (("train.seed=0,1,2", "train.flip=true,false", "objective.lambda_r1=1,2,3"), "3 × 2 × 3"),
        (("objective.lambda_q=1,2",), "lambda_q = 1: unknown key"),
        (("objective.lambda_r1=1,x,y",), r"'x': must be[^\n]*\n.*'y': must be"),
        (("train.global_batch=15,16,17",), r"15(.|\n)*17"),
    ],
)
def test_what_cannot_be_trained_is_refused(words: tuple[str, ...], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        planned(RECIPE, grid(*words))


def test_the_sweep_needs_a_folder() -> None:
    with pytest.raises(ConfigError, match=r"storage\.run: missing"):
        planned(RECIPE, grid_of(RECIPE, ["train.seed=0,1", "data.url=a"], 16))
