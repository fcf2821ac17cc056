"""What another global batch does to averages is said before training, and never without need."""

import pytest

from launch.options.averaging import averaging_notes
from launch.options.loading import load_config, load_recipe

PLACES = ["storage.run=runs/a", "data.url=data"]


def notes(*words: str, recipe: str = "ffhq256-pvdgan") -> list[str]:
    loaded = load_recipe(recipe)
    return averaging_notes(loaded, load_config(loaded, [*PLACES, *words]))


def test_both_averages_are_named_with_half_lives_and_the_way_to_keep_them() -> None:
    weights, trace = notes("train.global_batch=64")
    assert weights == (
        "train.weight_average = 0.999 per step: half-life 44,339 images at train.global_batch = "
        "64, 11,085 at the recipe's 16; to keep the latter, give "
        "train.weight_average_half_life=11085"
    )
    assert trace.startswith("objective.trace.decay = 0.999 per step: half-life 44,339 images")
    assert trace.endswith("objective.trace.half_life=11085")


def test_the_recipe_s_own_batch_is_no_news() -> None:
    assert notes() == []
    assert notes("train.global_batch=16") == []


@pytest.mark.parametrize(
    ("words", "left"),
    [
        (["train.weight_average_half_life=11085"], ["objective.trace.decay"]),
        (["objective.trace.half_life=11085"], ["train.weight_average"]),
        (["objective.trace.kind=window"], ["train.weight_average"]),
        (
            ["train.weight_average={kind: linear, start: 0.9, end: 0.999, until: 1000}"],
            ["objective.trace.decay"],
        ),
    ],
)
def test_averages_in_images_windows_and_schedules_need_no_note(
    words: list[str], left: list[str]
) -> None:
    found = [note.partition(" = ")[0] for note in notes("train.global_batch=64", *words)]
    assert found == left


def test_keeping_the_half_life_keeps_the_decay_per_image() -> None:
    config = load_config(
        load_recipe("ffhq256-pvdgan"),
        [*PLACES, "train.global_batch=64", "train.weight_average_half_life=11085"],
    )
    assert config.train.average_decay(0) == pytest.approx(0.999**4, rel=1e-6)
