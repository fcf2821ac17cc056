"""The optimizers that a role may name."""

from dataclasses import replace

import torch

from ganinv.objectives import dlsgan
from ganinv.optimizers import adam, rmsprop
from ganinv.optimizers.base import Knobs
from ganinv.training.config import lay_out_batch
from ganinv.training.session import Session
from tests.support.loops import CONFIG, equal, go, handed_over
from tests.support.runs import NETWORK, local_session, train
from tests.support.scheduled import BETA2, SCHEDULED, STEPPED, DiscriminatorByRmsProp


def test_optimizers_build_what_their_settings_say() -> None:
    knobs = Knobs(learning_rate=0.1, beta1=0.3, beta2=0.7, epsilon=1e-4)
    parameter = torch.nn.Parameter(torch.ones(3))
    for module, expected in (
        (adam, {"lr": 0.1, "betas": (0.3, 0.7), "eps": 1e-4}),
        (rmsprop, {"lr": 0.1, "alpha": 0.7, "eps": 1e-4}),
    ):
        assert module.settings(knobs) == expected
        (group,) = module.build([parameter], knobs).param_groups
        assert {key: group[key] for key in expected} == expected
        assert group["weight_decay"] == 0


def test_rmsprop_is_larsens() -> None:
    """r ← α r + (1 − α) g²,  w ← w − lr · g / (√r + ε)."""
    knobs = Knobs(learning_rate=0.1, beta1=0.9, beta2=0.75, epsilon=1e-3)
    parameter = torch.nn.Parameter(torch.tensor([1.0, -2.0], dtype=torch.float64))
    optimizer = rmsprop.build([parameter], knobs)
    expected, square = parameter.detach().clone(), torch.zeros(2, dtype=torch.float64)
    for step in range(3):
        gradient = torch.tensor([0.5 + step, -3.0], dtype=torch.float64)
        parameter.grad = gradient.clone()
        optimizer.step()
        square = 0.75 * square + 0.25 * gradient**2
        expected = expected - 0.1 * gradient / (square.sqrt() + 1e-3)
        torch.testing.assert_close(parameter.detach(), expected, rtol=1e-12, atol=0)


def test_a_resumed_run_with_two_optimizers_gives_the_same_bits() -> None:
    config = replace(CONFIG, beta2=BETA2, networks=SCHEDULED.networks)

    def new_session() -> Session:
        return local_session(DiscriminatorByRmsProp(dlsgan.Config(), NETWORK.latent_size), config)

    _, uninterrupted = go(new_session(), config)
    session = new_session()
    done, _ = go(session, config, stop_at=20)
    assert not done
    done, resumed = go(handed_over(session, config), config)
    assert done
    assert equal(resumed.tensors[-1], uninterrupted.tensors[-1])
    moments = {
        (name.split("/")[0], moment)
        for name in resumed.tensors[-1]
        for moment in ("exp_avg", "exp_avg_sq", "square_avg")
        if f"/{moment}/" in name
    }
    assert moments == {("g", "exp_avg"), ("g", "exp_avg_sq"), ("d", "square_avg")}


def test_a_role_names_its_optimizer() -> None:
    config = replace(SCHEDULED, images=48)
    session = local_session(DiscriminatorByRmsProp(dlsgan.Config(), NETWORK.latent_size), config)
    train(session, config, lay_out_batch(config, 1), 48)
    optimizers = {name: engine.optimizer for name, engine in session.engines.items()}
    assert isinstance(optimizers["g"], torch.optim.Adam)
    assert isinstance(optimizers["d"], torch.optim.RMSprop)
    (group,) = optimizers["d"].param_groups
    assert (group["lr"], group["alpha"]) == (STEPPED.at(32), BETA2.at(32))
    assert "betas" not in group
