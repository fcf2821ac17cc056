"""Options that change with the images seen reach optimizers, averages, losses and rows.

Every quantity is that of the step which begins at `images_seen`.
"""

import copy
from dataclasses import fields, replace
from typing import Any

import pytest
import torch
from torch import Tensor

from ganinv import objectives
from ganinv.errors import ConfigError
from ganinv.latent_scale import TraceConfig
from ganinv.objectives import dlsgan, pvdgan
from ganinv.objectives.base import Moments, State
from ganinv.objectives.latent import mean_square
from ganinv.schedules import Schedule
from ganinv.training.config import NetworkTraining, TrainConfig, lay_out_batch
from ganinv.training.session import Session
from tests.support.loops import BATCH, CONFIG, go, new_session
from tests.support.micro_batches import random_batch
from tests.support.runs import (
    NETWORK,
    TRAIN,
    build_networks,
    local_session,
    make_objective,
    train,
)
from tests.support.scheduled import BETA2, CLOCK, FALLING, SCHEDULED


def test_optimizers_step_with_the_options_of_the_clock() -> None:
    session = local_session(make_objective("dlsgan"), SCHEDULED)
    for seen in CLOCK:
        train(session, SCHEDULED, lay_out_batch(SCHEDULED, 1), seen + 16)
        for name, engine in session.engines.items():
            knobs = SCHEDULED.knobs(name, seen)
            (group,) = engine.optimizer.param_groups
            assert group["lr"] == knobs.learning_rate
            assert group["betas"] == (knobs.beta1, knobs.beta2)
            assert group["eps"] == knobs.epsilon


def test_a_schedule_that_stays_constant_trains_the_same_bits() -> None:
    constant = replace(TRAIN, learning_rate=0.01, beta2=0.95, weight_average=0.9)
    scheduled = replace(
        TRAIN,
        learning_rate=Schedule(kind="linear", start=0.01, end=0.01, until=32),
        beta2=Schedule(kind="constant", start=0.95),
        weight_average=Schedule(kind="cosine", start=0.9, end=0.9, until=48),
    )
    sessions = []
    for config in (constant, scheduled):
        session = local_session(make_objective("pvdgan"), config)
        train(session, config, lay_out_batch(config, 1), 64)
        sessions.append(session)
    for name, average in sessions[0].averages.items():
        for found, expected in zip(
            sessions[1].averages[name].network.parameters(),
            average.network.parameters(),
            strict=True,
        ):
            assert torch.equal(found, expected)


@pytest.mark.parametrize(
    ("options", "decays"),
    [
        (
            {"weight_average": Schedule(kind="linear", start=0.0, end=0.9, until=48)},
            [0.0, 0.3, 0.6, 0.9],
        ),
        ({"weight_average_half_life": 32.0}, [0.5**0.5] * 4),
        (
            {"weight_average_half_life": Schedule(kind="step", start=8.0, factor=2.0, every=16)},
            [0.5**2, 0.5, 0.5**0.5, 0.5**0.25],
        ),
        (
            {"weight_average_half_life": 16.0, "weight_average_ramp": 0.5},
            [0.0, 0.5**2, 0.5, 0.5],
        ),
    ],
    ids=["decay", "half-life", "half-life in steps", "ramp"],
)
def test_averages_decay_as_scheduled(options: dict[str, Any], decays: list[float]) -> None:
    """`decays`: of the steps that begin at 0, 16, 32 and 48 images."""
    config = replace(TRAIN, **options)
    session = local_session(make_objective("dlsgan"), config)
    expected = {name: copy.deepcopy(network) for name, network in session.networks.items()}
    for seen, decay in zip((0, 16, 32, 48), decays, strict=True):
        train(session, config, lay_out_batch(config, 1), seen + 16)
        with torch.no_grad():
            for name, network in session.networks.items():
                pairs = zip(expected[name].parameters(), network.parameters(), strict=True)
                for average, current in pairs:
                    average.mul_(decay).add_(current, alpha=1 - decay)
    for name, average in session.averages.items():
        pairs = zip(average.network.parameters(), expected[name].parameters(), strict=True)
        for found, value in pairs:
            torch.testing.assert_close(found, value, rtol=1e-5, atol=1e-6)


WEIGHTS = [
    (name, schedule, field_.name)
    for name in ("dlsgan", "pvdgan")
    for schedule in ("simultaneous", "sequential")
    for field_ in fields(objectives.find(name).Config)
    if field_.name.startswith("lambda_")
]


@pytest.mark.parametrize(("name", "schedule", "weight"), WEIGHTS)
def test_loss_weights_follow_their_schedules(name: str, schedule: str, weight: str) -> None:
    """At each moment the losses are those of a constant weight of that value."""
    falling = Schedule(kind="linear", start=6.0, end=2.0, begin=8, until=24)
    options = {"name": name, "schedule": schedule}
    found = [losses(seen, **options, **{weight: falling}) for seen in (0, 8, 16, 24, 32)]
    expected = [
        losses(seen, **options, **{weight: value})
        for seen, value in ((8, 6.0), (16, 4.0), (24, 2.0))
    ]
    assert found[1:4] == expected
    assert found[0] == found[1]
    assert found[1] != found[2] != found[3]
    assert found[3] == found[4]


def losses(images_seen: int, **variant: Any) -> dict[str, float]:
    """Of every network, in all rounds, on the same images and noise."""
    objective = make_objective(**variant)
    nets = build_networks()
    batch = random_batch(objective, dtype=torch.float32)
    batch = replace(batch, images_seen=images_seen)
    state = objective.new_state(batch.global_batch)
    return {
        network: loss.value.item()
        for round_ in objective.rounds
        for network, loss in round_(nets, batch, state).losses.items()
    }


def test_a_scheduled_loss_weight_must_never_be_negative() -> None:
    falling = {"kind": "linear", "start": 1.0, "end": -0.1, "until": 9}
    with pytest.raises(ConfigError, match=r"lambda_enc = .*: a loss weight must not be < 0"):
        dlsgan.Config(lambda_enc=falling)


class Noted(pvdgan.Objective):
    """PVDGAN that keeps the mean squares of codes which its traces were given."""

    def __init__(self, trace: TraceConfig) -> None:
        super().__init__(pvdgan.Config(trace=trace), NETWORK.latent_size)
        self.given: list[dict[str, Tensor]] = []

    def next_state(self, state: State, moments: Moments, **clock: int) -> dict[str, Tensor]:
        self.given.append({name: mean_square(moment) for name, moment in moments.items()})
        return super().next_state(state, moments, **clock)


@pytest.mark.parametrize(
    ("trace", "decays"),
    [
        (
            TraceConfig(decay=Schedule(kind="step", start=0.8, factor=0.5, every=16, end=0.3)),
            [0.8, 0.4, 0.3],
        ),
        (
            TraceConfig(half_life=Schedule(kind="linear", start=8.0, end=32.0, until=32)),
            [0.5**2, 0.5**0.8, 0.5**0.5],
        ),
    ],
    ids=["decay", "half-life"],
)
def test_traces_decay_by_the_clock_of_their_steps(trace: TraceConfig, decays: list[float]) -> None:
    """`decays`: of the steps that begin at 0, 16 and 32 images."""
    objective = Noted(trace)
    session = local_session(objective)
    expected = {name: value.clone() for name, value in session.state.items()}
    for number, decay in enumerate(decays):
        train(session, TRAIN, lay_out_batch(TRAIN, 1), 16 * (number + 1))
        for name, given_L in objective.given[number].items():
            expected[name] = decay * expected[name] + (1 - decay) * given_L
            torch.testing.assert_close(session.state[name], expected[name], rtol=1e-12, atol=0)


def row_keys(session: Session, config: TrainConfig) -> list[set[str]]:
    _, recorder = go(session, config)
    return [{key for key in row if key.startswith("schedule/")} for row in recorder.rows]


def test_rows_hold_scheduled_options_and_no_others() -> None:
    assert row_keys(new_session(), CONFIG) == [set()] * 4  # its decay of the rate is no schedule
    config = replace(
        CONFIG,
        learning_rate=FALLING,
        learning_rate_decay=1.0,
        learning_rate_decay_every=None,
        networks={"d": NetworkTraining(beta2=BETA2)},
        weight_average=Schedule(kind="linear", start=0.5, end=0.9, until=40),
    )
    weight = Schedule(kind="linear", start=5.0, end=1.0, until=40)
    trace = TraceConfig(half_life=Schedule(kind="constant", start=100.0))
    session = new_session(config, name="dlsgan", lambda_r1=weight, trace=trace)
    assert (
        row_keys(session, config)
        == [
            {
                "schedule/train.learning_rate",
                "schedule/train.networks.d.beta2",
                "schedule/train.weight_average",
                "schedule/objective.lambda_r1",
                "schedule/objective.trace.half_life",
            }
        ]
        * 4
    )


def test_rows_hold_the_values_of_their_last_step() -> None:
    weight = Schedule(kind="linear", start=5.0, end=1.0, until=40)
    config = replace(
        CONFIG, learning_rate=FALLING, learning_rate_decay=1.0, learning_rate_decay_every=None
    )
    _, recorder = go(new_session(config, name="dlsgan", lambda_r1=weight), config)
    for row in recorder.rows:
        began = int(row["images_seen"]) - BATCH
        assert row["schedule/train.learning_rate"] == row["learning_rate"] == FALLING.at(began)
        assert row["schedule/objective.lambda_r1"] == weight.at(began)
