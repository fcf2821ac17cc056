"""Options: layers, types, nearest names, combinations, and all problems at once."""

import dataclasses
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

from ganinv import networks, objectives
from ganinv.errors import ConfigError
from launch.options.loading import load_config, load_recipe, recipe_names
from launch.options.schema import SECTIONS

PLACES = ("storage.run=/tmp/run", "data.url=s3://bucket/data")


def problems(*words: str, recipe: str = "tiny-pvdgan") -> str:
    with pytest.raises(ConfigError) as caught:
        load_config(load_recipe(recipe), [*PLACES, *words])
    return str(caught.value)


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_is_valid(name: str) -> None:
    config = load_config(load_recipe(name), PLACES)
    assert config.resolved["objective"]["name"] == config.objective.name
    # The recipe says the method, or which networks have a dynamic latent scale, here PVDGAN's; or
    # for whose data it is, who need not know a method.
    unsaid = name.endswith("-r3gan-dls") or name == "small-data"
    said = "pvdgan" if unsaid else name.split("-")[-1]
    assert config.objective.name == said


def test_words_win_over_the_recipe_and_the_recipe_over_defaults() -> None:
    config = load_config(
        load_recipe("tiny-dlsgan"), [*PLACES, "train.images=7", "train.flip=false"]
    )
    assert (config.train.images, config.train.flip, config.train.global_batch) == (7, False, 16)
    assert config.train.beta2 == 0.99


def test_resolved_values_read_back_to_the_same_configuration() -> None:
    config = load_config(load_recipe("celeba128-dlsgan"), PLACES)
    again = load_config(config.resolved, [])
    assert again == config


def test_relative_places_are_where_the_command_was_typed(
    tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(str(tmp_path))
    config = load_config(load_recipe("tiny-dlsgan"), ["storage.run=runs/a", "data.url=file:///d"])
    assert config.storage.run == f"{tmp_path}/runs/a"
    assert config.data.url == "file:///d"


def test_a_mix_of_data_sets(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(str(tmp_path))
    words = ["data.mix=[{url: mine, weight: 0.5}, {url: s3://b/c}]"]
    config = load_config(load_recipe("tiny-dlsgan"), [*PLACES, *words])
    mine = {"url": f"{tmp_path}/mine", "weight": 0.5}
    assert config.resolved["data"]["mix"] == [mine, {"url": "s3://b/c", "weight": 1.0}]
    assert [(part.url, part.weight) for part in config.data.mix] == [
        (mine["url"], 0.5),
        ("s3://b/c", 1.0),
    ]
    assert load_config(config.resolved, []) == config
    assert "data.mix: the weight -1.0 of s3://b" in problems("data.mix=[{url: s3://b, weight: -1}]")
    assert "data.mix[0].url: missing" in problems("data.mix=[{weight: 1}]")


def test_all_problems_come_at_once_with_key_value_reason_and_nearest_name() -> None:
    text = problems(
        "train.imagse=5", "train.seed=red", "objective.scale=mse", "train.precision=fp16", "loose"
    )
    lines = text.splitlines()
    assert len(lines) == 5
    assert "train.imagse = 5: unknown key, did you mean 'train.images'?" in lines
    assert any(line.startswith("train.seed = 'red': ") and "Integer" in line for line in lines)
    assert any(line.startswith("objective.scale = 'mse': unknown key") for line in lines)
    assert any("'fp32', 'tf32', 'bf16'" in line for line in lines)
    assert any("key=value" in line for line in lines)


def test_knobs_of_another_method_are_unknown() -> None:
    said = problems("objective.lambda_rec=1", recipe="tiny-dlsgan")
    assert said.startswith("objective.lambda_rec = 1: unknown key of dlsgan; as objective.name, ")
    said = problems("objective.augment.kind=fixed", recipe="tiny-vaegan")
    assert "unknown key of vaegan; as objective.name, ali or dedgan or dlsgan or lia_" in said
    config = load_config(
        load_recipe("tiny-dlsgan"), [*PLACES, "objective.name=pvdgan", "objective.lambda_rec=2"]
    )
    assert config.objective.lambda_rec == 2.0


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("objective.name=pvdgam", "did you mean 'pvdgan'?"),
        ("network.name=conf", "did you mean 'conv'?"),
        ("engine.zero_stage=3", "engine.zero_stage = 3: choose 0, 1 or 2"),
        ("train.images=0", "train.images = 0: must be at least 1"),
        ("train.global_batch=15", "not divisible by 2 workers"),
        ("train.micro_batch=3", "choose a divisor of 8"),
        ("train.precision=tf32", "only GPUs have it; choose fp32 or bf16"),
        ("cluster.min_workers=2", "give both or neither"),
        ("objective.trace.decay=2", "objective.trace.decay = 2.0: must lie between 0 and 1"),
        ("checkpoint.keep_last=1", "must be at least 2"),
    ],
)
def test_impossible_values_say_why(word: str, said: str) -> None:
    assert said in problems(word)


def float_keys(cls: type, prefix: str) -> Iterator[str]:
    """Every option of a section that takes a fraction, or a schedule of fractions."""
    defaults = {field.name: field.default for field in dataclasses.fields(cls)}
    for name, annotation in get_type_hints(cls).items():
        scheduled = annotation is Any and isinstance(defaults[name], float)
        if dataclasses.is_dataclass(annotation):
            yield from float_keys(annotation, f"{prefix}.{name}")
        elif scheduled or float in (annotation, *get_args(annotation)):
            yield f"{prefix}.{name}"


FAMILIES = {"objective": objectives, "network": networks}
CHOSEN = [
    f"{section}.name={name}" for section, family in FAMILIES.items() for name in family.names()
]


@pytest.mark.parametrize("chosen", CHOSEN)
def test_no_option_takes_what_is_not_a_finite_number(chosen: str) -> None:
    section, _, name = chosen.replace(".name", "").partition("=")
    classes = SECTIONS | {section: FAMILIES[section].find(name).Config}
    keys = [key for at, cls in classes.items() for key in float_keys(cls, at)]
    assert {"train.learning_rate", "train.epsilon", "train.learning_rate_decay"} < set(keys)
    given = dict(zip(keys, cycle(["nan", "inf", "-.inf", "1e400"]), strict=False))
    lines = problems(chosen, *(f"{key}={value}" for key, value in given.items())).splitlines()
    assert len(lines) == len(keys)  # each of them named once
    for key, value in given.items():
        (line,) = (line for line in lines if line.startswith(f"{key} = "))
        expected = float(value.replace(".", ""))
        assert line.startswith(f"{key} = {expected}: not a finite number; give one")


def test_an_odd_batch_is_refused_where_half_of_it_is_reconstructed() -> None:
    assert "choose 16" in problems("train.global_batch=15", "cluster.workers=1")


def test_a_schedule_without_until_ends_with_the_training() -> None:
    falling = "{kind: cosine, start: 0.01, end: 0.001}"
    words = (
        *PLACES, "train.images=4_000", f"train.learning_rate={falling}",
        f"train.networks={{g: {{learning_rate: {falling}}}}}",
        "objective.lambda_rec={kind: linear, start: 1, end: 2, until: 3_000}",
        "objective.lambda_enc={kind: step, start: 1, factor: 0.5, every: 1_000}",
    )  # fmt: skip
    config = load_config(load_recipe("tiny-pvdgan"), words)
    assert config.train.learning_rate.until == 4_000
    assert config.train.networks["g"].learning_rate.until == 4_000
    assert config.objective.lambda_rec.until == 3_000
    assert config.objective.lambda_enc.until is None
    assert load_config(config.resolved, ()).train == config.train  # a resumed run keeps the number


@pytest.mark.parametrize(
    "cut",
    [
        ["train.micro_batch=1"],
        ["train.global_batch=2", "cluster.min_workers=1", "cluster.max_workers=2"],
    ],
)
def test_images_in_micro_batches_of_their_own_are_refused_where_each_needs_another(
    cut: list[str],
) -> None:
    pairs = ["objective.pairing=shuffled", "objective.adversarial=relativistic"]
    assert "choose a train.micro_batch of at least 2" in problems(*pairs, *cut)
    load_config(load_recipe("tiny-pvdgan"), [*PLACES, *pairs, "train.micro_batch=2"])


def test_a_schedule_whose_kind_is_no_text_is_refused_in_words() -> None:
    said = problems("train.learning_rate={kind: [cosine], start: 1}")
    assert "train.learning_rate.kind" in said


def test_angles_that_fill_no_tree_are_refused_beside_all_other_problems() -> None:
    said = problems("network.latent_size=64", "cluster.workers=3", recipe="tiny-dedgan")
    assert "network.latent_size = 64: " in said
    assert "choose 63 or 127" in said
    assert "not divisible by 3 workers" in said


@pytest.mark.parametrize("name", [name for name in recipe_names() if "dedgan" in name])
def test_the_embedding_loss_weighs_10_from_half_of_the_run_on(name: str) -> None:
    config = load_config(load_recipe(name), PLACES)
    half = config.train.images // 2
    at = (0, half - 1, half, config.train.images)
    assert [config.objective.weights(images)["emb"] for images in at] == [1.0, 1.0, 10.0, 10.0]


def test_a_range_of_workers_replaces_the_recipe_s_number() -> None:
    words = [*PLACES, "cluster.min_workers=1", "cluster.max_workers=4", "train.global_batch=12"]
    assert list(load_config(load_recipe("tiny-pvdgan"), words).cluster.sizes) == [1, 2, 3, 4]


def test_what_is_missing_is_named() -> None:
    with pytest.raises(ConfigError, match=r"storage\.run: missing; give storage\.run="):
        load_config(load_recipe("tiny-pvdgan"), ["data.url=x"])


def test_an_unknown_recipe_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean 'tiny-pvdgan'"):
        load_recipe("tiny-pvdgna")


def test_no_option_can_hold_a_credential() -> None:
    classes = [*SECTIONS.values()]
    classes += [objectives.find(name).Config for name in objectives.names()]
    classes += [networks.find(name).Config for name in networks.names()]
    names = {field.name for cls in classes for field in dataclasses.fields(cls)}
    assert not [n for n in names if any(w in n for w in ("secret", "password", "token", "key"))]


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("evaluate.features=[lite1]", "choose among own, pixels, lite0"),
        ("evaluate.features=[own,own]", "each at most once"),
        ("evaluate.features=own", "evaluate.features = 'own'"),
        ("evaluate.test_images=3", "at least 4 of each"),
        ("evaluate.seed=-1", "evaluate.seed = -1: must be 0 or more"),
    ],
)
def test_what_an_evaluation_cannot_do_is_refused(word: str, reason: str) -> None:
    assert reason in problems(word)


def test_features_of_a_recipe_are_replaced_not_added() -> None:
    assert load_config(load_recipe("ffhq256-pvdgan"), PLACES).evaluate.features == ["lite0"]
    words = [*PLACES, "evaluate.features=[own]", "evaluate.inception=a.pt"]
    config = load_config(load_recipe("ffhq256-pvdgan"), words)
    assert config.evaluate.features == ["own"]
    assert config.evaluate.inception == str(Path("a.pt").absolute())
    few = [*PLACES, "evaluate.features=[]", "evaluate.test_images=3"]
    assert not load_config(load_recipe("tiny-pvdgan"), few).evaluate.takes_features
