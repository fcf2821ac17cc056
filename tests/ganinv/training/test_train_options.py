"""Options of training: what each network takes, which of them are schedules, what is refused."""

from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from ganinv import objectives
from ganinv.errors import ConfigError
from ganinv.latent_scale import TraceConfig
from ganinv.optimizers.base import Knobs
from ganinv.schedules import Schedule
from ganinv.training.config import NetworkTraining, TrainConfig, schedules_in
from tests.support.runs import TRAIN
from tests.support.scheduled import BETA2, CLOCK, FALLING, SCHEDULED, STEPPED


def test_a_network_takes_its_own_options_and_the_common_ones_otherwise() -> None:
    for seen in CLOCK:
        assert SCHEDULED.knobs("g", seen) == Knobs(
            learning_rate=FALLING.at(seen), beta1=0.0, beta2=BETA2.at(seen), epsilon=1e-2
        )
        assert SCHEDULED.knobs("d", seen) == Knobs(
            learning_rate=STEPPED.at(seen), beta1=0.5, beta2=BETA2.at(seen), epsilon=1e-3
        )


def test_a_network_with_its_own_rate_has_no_decay_of_the_common_one() -> None:
    config = replace(
        TRAIN,
        learning_rate_decay=0.5,
        learning_rate_decay_every=16,
        networks={"d": NetworkTraining(learning_rate=0.25)},
    )
    assert [config.knobs("g", seen).learning_rate for seen in (0, 16, 32)] == [0.01, 0.005, 0.0025]
    assert [config.knobs("d", seen).learning_rate for seen in (0, 16, 32)] == [0.25] * 3


@dataclass(frozen=True)
class Inner:
    rate: Any = 1.0
    name: str = "a"


@dataclass(frozen=True)
class Outer:
    weight: Any = 2.0
    inner: Inner = field(default_factory=Inner)
    by_name: dict[str, Inner] = field(default_factory=dict)


def test_schedules_are_found_by_their_dotted_keys() -> None:
    assert schedules_in(Outer(), "top") == {}
    config = Outer(
        weight=FALLING, inner=Inner(rate=STEPPED), by_name={"e": Inner(rate=BETA2), "f": Inner()}
    )
    assert schedules_in(config, "top") == {
        "top.weight": FALLING,
        "top.inner.rate": STEPPED,
        "top.by_name.e.rate": BETA2,
    }


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"learning_rate": 0.0}, "learning_rate = 0.0: must be above 0"),
        ({"learning_rate": "slow"}, "learning_rate = 'slow': must be a finite number"),
        (
            {"learning_rate": {"kind": "linear", "start": 0.1, "end": -0.1, "until": 9}},
            "learning_rate = .*: must be above 0",
        ),
        ({"beta1": 1.0}, r"beta1 = 1.0: must lie in \[0, 1\)"),
        ({"beta2": -0.1}, r"beta2 = -0.1: must lie in \[0, 1\)"),
        (
            {"beta2": {"kind": "linear", "start": 0.9, "end": 1.0, "until": 9}},
            r"beta2 = .*: must lie in \[0, 1\)",
        ),
        ({"beta2": {"kind": "linear", "start": 0.9, "end": 0.99}}, r"beta2\.until is missing"),
        ({"epsilon": 0.0}, "epsilon = 0.0: must be above 0"),
        ({"recompute_blocks": -1}, "recompute_blocks = -1: must be at least 0"),
        ({"networks": {"d": {"learning_rate": 0.0}}}, r"networks\.d\.learning_rate = 0.0"),
        ({"networks": {"d": {"epsilon": -1.0}}}, r"networks\.d\.epsilon = -1.0"),
        ({"networks": {"d": {"rate": 0.1}}}, r"networks\.d\.rate = 0.1: unknown key"),
        ({"weight_average": 1.0}, r"weight_average = 1.0: must lie in \[0, 1\)"),
        (
            {"weight_average": {"kind": "linear", "start": 0.9, "end": 1.5, "until": 9}},
            r"weight_average = .*: must lie in \[0, 1\)",
        ),
        ({"weight_average_half_life": 0.0}, "weight_average_half_life = 0.0: must be above 0"),
        ({"weight_average_ramp": 0.05}, "weight_average_ramp = 0.05: .*weight_average_half_life"),
        (
            {"weight_average_ramp": 0.0, "weight_average_half_life": 1000.0},
            "weight_average_ramp = 0.0: must be above 0",
        ),
    ],
)
def test_impossible_options_are_refused_by_key_and_value(
    options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        TrainConfig(**options)


def test_a_learning_rate_may_end_at_zero() -> None:
    falling = {"kind": "cosine", "start": 0.003, "end": 0.0, "until": 100}
    config = TrainConfig(learning_rate=falling)
    assert config.knobs("g", 100).learning_rate == 0.0
    assert schedules_in(config, "train").keys() == {"train.learning_rate"}


@pytest.mark.parametrize("quantity", ["decay", "half_life"])
def test_defaults_hold_no_schedule(quantity: str) -> None:
    assert schedules_in(TrainConfig(), "train") == {}
    for name in objectives.names():
        assert schedules_in(objectives.find(name).Config(), "objective") == {}
    assert not isinstance(getattr(TraceConfig(), quantity), Schedule)
