"""The optimizers that a role may name."""

from copy import deepcopy
from dataclasses import replace

import pytest
import torch

from ganinv.objectives import dlsgan
from ganinv.optimizers import adam, rmsprop
from ganinv.optimizers.base import Knobs, step_if, takes_flag
from ganinv.seams.engine import LocalEngine
from ganinv.training.config import lay_out_batch
from ganinv.training.session import Session
from tests.support.loops import CONFIG, equal, go, handed_over, whole_moments
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


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_loaded_moments_and_counts_lie_where_the_optimizer_needs_them(device: str) -> None:
    """As on a GPU: fused kernels count on the parameter's device, all others on the CPU."""
    network = torch.nn.Linear(2, 1, device=device)
    moments = {"one": {name: torch.ones(p.shape) for name, p in network.named_parameters()}}
    for optimizer, counts_on in (
        (torch.optim.Adam(network.parameters(), fused=True), device),
        (torch.optim.RMSprop(network.parameters()), "cpu"),
    ):
        LocalEngine(network, optimizer).load_optimizer(moments, 3)
        for parameter in network.parameters():
            state = optimizer.state[parameter]
            assert (state["step"].device.type, state["one"].device.type) == (counts_on, device)
            assert state["one"].shape == parameter.shape


@pytest.mark.parametrize(
    "device",
    [
        "cpu",
        pytest.param(
            "cuda",
            marks=[
                pytest.mark.gpu,
                pytest.mark.skipif(not torch.cuda.is_available(), reason="no NVIDIA GPU here"),
            ],
        ),
    ],
)
def test_a_new_engine_goes_on_from_loaded_moments_with_the_same_bits(device: str) -> None:
    knobs = Knobs(learning_rate=0.1, beta1=0.3, beta2=0.7, epsilon=1e-4)
    x = torch.arange(6.0, device=device).view(2, 3)

    def step(engine: LocalEngine) -> None:
        engine.backward(engine.network(x).square().sum(), last=True)
        engine.finish(apply=bool(engine.finite()))

    for module in (adam, rmsprop):
        network = torch.nn.Linear(3, 2, device=device)
        old = LocalEngine(network, module.build(network.parameters(), knobs))
        step(old)
        copied = deepcopy(network)
        new = LocalEngine(copied, module.build(copied.parameters(), knobs))
        new.load_optimizer(*whole_moments(old))
        step(old)
        step(new)
        for name, value in network.state_dict().items():
            assert torch.equal(copied.state_dict()[name], value), (module.__name__, name)


def test_adam_is_fused_where_there_is_a_kernel_and_does_what_pytorchs_loop_does() -> None:
    knobs = Knobs(learning_rate=0.1, beta1=0.3, beta2=0.7, epsilon=1e-4)
    torch.manual_seed(0)
    values = torch.randn(1, 37, dtype=torch.float64)
    ours, loop = torch.nn.Parameter(values.clone()), torch.nn.Parameter(values.clone())
    fused = adam.build([ours], knobs)
    reference = torch.optim.Adam([loop], **adam.settings(knobs), foreach=False, fused=False)
    for _ in range(3):
        ours.grad = torch.randn_like(values)
        loop.grad = ours.grad.clone()
        fused.step()
        reference.step()
    torch.testing.assert_close(ours, loop, rtol=1e-13, atol=1e-13)
    assert fused.param_groups[0]["fused"]
    unsupported = torch.nn.Parameter(torch.ones(1, device="meta"))
    assert not adam.build([unsupported], knobs).param_groups[0]["fused"]


def test_a_flag_on_the_device_leaves_out_a_step_and_its_count() -> None:
    knobs = Knobs(learning_rate=0.1, beta1=0.3, beta2=0.7, epsilon=1e-4)
    parameters = [torch.nn.Parameter(torch.linspace(-1, 1, 37)) for _ in range(2)]
    ours, reference = (adam.build([parameter], knobs) for parameter in parameters)
    assert takes_flag(ours)
    assert not takes_flag(rmsprop.build([parameters[0]], knobs))
    for flag in (False, True, False, True):
        parameters[0].grad = torch.linspace(1, 2, 37) if flag else torch.full((37,), float("nan"))
        step_if(ours, torch.tensor(flag))
        if flag:
            parameters[1].grad = parameters[0].grad.clone()
            reference.step()
    assert torch.equal(*parameters)
    found, expected = (o.state[p] for o, p in zip((ours, reference), parameters, strict=True))
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], value) for name, value in expected.items())


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
