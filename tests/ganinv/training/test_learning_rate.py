"""The learning rate as a function of the one clock."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ganinv.errors import ConfigError
from ganinv.training.session import TrainConfig, split_batch
from tests.support.runs import TRAIN, local_session, make_objective, train

EPOCH = 162_768


def test_it_stays_as_it_is_unless_told() -> None:
    config = TrainConfig()
    assert {config.learning_rate_at(seen) for seen in (0, 10**6, 10**12)} == {config.learning_rate}


@settings(max_examples=50)
@given(st.integers(0, 50 * EPOCH), st.floats(0.5, 1.0))
def test_it_falls_by_the_same_factor_every_so_often(seen: int, factor: float) -> None:
    config = TrainConfig(learning_rate_decay=factor, learning_rate_decay_every=EPOCH)
    assert config.learning_rate_at(0) == config.learning_rate
    assert config.learning_rate_at(EPOCH - 1) == config.learning_rate
    rate = config.learning_rate
    for _ in range(seen // EPOCH):
        rate *= factor
    assert config.learning_rate_at(seen) == pytest.approx(rate, rel=1e-12)
    later = config.learning_rate_at(seen + EPOCH)
    assert later == pytest.approx(factor * config.learning_rate_at(seen), rel=1e-12)


def test_both_optimizers_step_at_the_rate_of_the_clock() -> None:
    config = replace(TRAIN, learning_rate_decay=0.5, learning_rate_decay_every=32)
    session = local_session(make_objective("dlsgan"), config)
    rates = []
    for images in range(16, 81, 16):
        train(session, config, split_batch(config, 1), images)
        groups = [session.engines.g, session.engines.d]
        rates.append({g["lr"] for e in groups for g in e.optimizer.param_groups})
    expected = [config.learning_rate * 0.5**decays for decays in (0, 0, 1, 1, 2)]
    assert rates == [{rate} for rate in expected]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"learning_rate_decay": 0.0}, r"learning_rate_decay = 0.0: must lie in \(0, 1\]"),
        ({"learning_rate_decay": 1.5}, r"learning_rate_decay = 1.5: must lie in \(0, 1\]"),
        ({"learning_rate_decay": 0.98}, "give learning_rate_decay_every, too"),
        ({"learning_rate_decay_every": 0}, "learning_rate_decay_every = 0: must be at least 1"),
    ],
)
def test_impossible_decays_are_refused(options: dict[str, float], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        TrainConfig(**options)  # type: ignore[arg-type]  # which is what is tested
