"""The learning rate and its decay as functions of the images seen."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ganinv.errors import ConfigError
from ganinv.schedules import value_at
from ganinv.training.config import TrainConfig, lay_out_batch
from tests.support.runs import TRAIN, local_session, make_objective, train

EPOCH = 162_768


def rate_at(config: TrainConfig, seen: int) -> float:
    """The rate of the step that begins at `seen`, of every network and as it is reported."""
    reported = value_at(config.rate, seen)
    assert {config.knobs(name, seen).learning_rate for name in ("g", "d")} == {reported}
    return reported


def test_the_rate_is_constant_by_default() -> None:
    config = TrainConfig()
    assert {rate_at(config, seen) for seen in (0, 10**6, 10**12)} == {config.learning_rate}


@settings(max_examples=50)
@given(st.integers(0, 50 * EPOCH), st.floats(0.5, 1.0))
def test_the_rate_falls_by_the_same_factor_at_regular_intervals(seen: int, factor: float) -> None:
    config = TrainConfig(learning_rate_decay=factor, learning_rate_decay_every=EPOCH)
    assert rate_at(config, 0) == config.learning_rate
    assert rate_at(config, EPOCH - 1) == config.learning_rate
    rate = config.learning_rate
    for _ in range(seen // EPOCH):
        rate *= factor
    assert rate_at(config, seen) == pytest.approx(rate, rel=1e-12)
    later = rate_at(config, seen + EPOCH)
    assert later == pytest.approx(factor * rate_at(config, seen), rel=1e-12)


def test_both_optimizers_step_at_the_rate_of_the_clock() -> None:
    config = replace(TRAIN, learning_rate_decay=0.5, learning_rate_decay_every=32)
    session = local_session(make_objective("dlsgan"), config)
    rates = []
    for images in range(16, 81, 16):
        train(session, config, lay_out_batch(config, 1), images)
        engines = session.engines.values()
        rates.append({g["lr"] for e in engines for g in e.optimizer.param_groups})
    expected = [config.learning_rate * 0.5**decays for decays in (0, 0, 1, 1, 2)]
    assert rates == [{rate} for rate in expected]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"learning_rate_decay": 0.0}, r"learning_rate_decay = 0.0: must lie in \(0, 1\]"),
        ({"learning_rate_decay": 1.5}, r"learning_rate_decay = 1.5: must lie in \(0, 1\]"),
        ({"learning_rate_decay": 0.98}, "also give learning_rate_decay_every"),
        ({"learning_rate_decay_every": 0}, "learning_rate_decay_every = 0: must be at least 1"),
        (
            {
                "learning_rate": {"kind": "linear", "start": 0.1, "end": 0.0, "until": 9},
                "learning_rate_decay_every": 3,
            },
            "learning_rate_decay_every = 3: learning_rate is a schedule already",
        ),
    ],
)
def test_impossible_decays_are_refused(options: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        TrainConfig(**options)  # type: ignore[arg-type]  # which is what is tested
