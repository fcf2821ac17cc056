"""Compiled steps have the gradients of plain steps; what cannot be made is refused."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from ganinv import objectives
from ganinv.augmentation.options import AugmentConfig
from ganinv.errors import ConfigError
from ganinv.networks.base import Networks
from ganinv.objectives.base import Objective, Round
from ganinv.training.acceleration import KINDS, AcceleratedRound, accelerated_rounds
from ganinv.training.compiling import check_compiler, traced
from ganinv.training.cuda_graphs import check_graphs
from ganinv.training.round_functions import Function
from tests.support.accelerated import (
    BATCH,
    COMPILE,
    TOLERANCE,
    assert_compiled_step_equals_plain,
    assert_steps_equal,
    step,
)
from tests.support.families import INTEGRATED, LATENT_SIZE, build, families
from tests.support.micro_batches import random_batch
from tests.support.runs import TRAIN, make_objective
from tests.support.steps import networks_of


def test_traced_steps_have_the_gradients_of_plain_steps() -> None:
    """What compilers get, run as it is. Other families: compiled, below."""
    objective = make_objective("pvdgan", latent_size=LATENT_SIZE)
    assert_traced_steps_equal_plain(objective, build("conv"))


@pytest.mark.integration
def test_traced_steps_of_r3gan() -> None:
    """With all its losses, and augmentation."""
    objective = make_objective(
        "pvdgan", latent_size=LATENT_SIZE, adversarial="relativistic", lambda_r2=2.0,
        augment=AugmentConfig(kind="adaptive", p=0.5, cutout=1.0),
    )  # fmt: skip
    assert_traced_steps_equal_plain(objective, build("r3gan"))


@pytest.mark.integration
@pytest.mark.parametrize("method", [name for name in objectives.names() if name != "pvdgan"])
def test_traced_steps_of_every_method(method: str) -> None:
    objective = make_objective(method)
    assert_traced_steps_equal_plain(objective, networks_of(objective))


def assert_traced_steps_equal_plain(objective: Objective, built: Networks) -> None:
    networks = {n: network.double() for n, network in built.items()}
    batch = random_batch(objective, global_batch=BATCH)
    state = objective.new_state(BATCH)
    rounds = [
        AcceleratedRound(objective, round_, [traced_alone], nullcontext)
        for round_ in objective.rounds
    ]
    for factor in (1.0, -0.5):  # traced once
        other = replace(batch, real_NCHW=factor * batch.real_NCHW)
        expected = step(objective, networks, [other], state, None)
        assert_steps_equal(step(objective, networks, [other], state, rounds), expected, TOLERANCE)


def traced_alone(function: Function, given: list[Tensor]) -> Function:
    graph = traced(function, given)
    names = {getattr(node.target, "namespace", "") for node in graph.graph.nodes}
    assert "aten" in names
    assert "profiler" not in names

    def call(tensors: list[Tensor]) -> list[Tensor]:
        with torch.no_grad():
            results: list[Tensor] = graph(tensors)
        return results

    return call


@pytest.mark.integration
@pytest.mark.parametrize(
    ("method", "name"), [("dlsgan", "conv"), *(("pvdgan", name) for name in INTEGRATED)]
)
def test_compiled_steps_have_the_gradients_of_plain_steps(name: str, method: str) -> None:
    """After all passes of `torch.compile` but the last, which writes programs."""
    assert_compiled_step_equals_plain(name, method, "aot_eager")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no NVIDIA GPU on this machine")
@pytest.mark.parametrize("cuda_graphs", [False, True])
@families
def test_steps_compiled_for_a_gpu(name: str, cuda_graphs: bool) -> None:
    """In one CUDA graph as well."""
    config = replace(COMPILE, cuda_graphs=cuda_graphs)
    assert_compiled_step_equals_plain(
        name, "pvdgan", "inductor", config=config, device="cuda", tolerance=1e-9
    )


def test_rounds_stay_as_they_are_without_the_options() -> None:
    assert accelerated_rounds(make_objective("pvdgan"), TRAIN) is None


class Watched:
    """A function for each kind of step; counts how many were made, and while `making` was open."""

    def __init__(self, rounds: tuple[Round, ...], **options: Any) -> None:
        self.made, self.open = 0, False
        self.objective = make_objective("dlsgan", **options)
        self.rounds = [
            AcceleratedRound(self.objective, round_, [self.make], self.making) for round_ in rounds
        ]

    def make(self, function: Any, given: Any) -> Any:
        del given
        assert self.open
        self.made += 1
        return function

    def making(self) -> AbstractContextManager[object]:
        watched = self

        class Open(nullcontext[None]):
            def __enter__(self) -> None:
                watched.open = True

            def __exit__(self, *error: object) -> None:
                watched.open = False

        return Open()


def made_after(steps: int, **options: Any) -> int:
    """How many functions `steps` steps in a row make."""
    watched = Watched(make_objective("dlsgan", **options).rounds, **options)
    networks = networks_of(watched.objective)
    state = watched.objective.new_state(BATCH)
    batch = random_batch(watched.objective, global_batch=BATCH, dtype=torch.float32)
    for number in range(steps):
        at = replace(batch, images_seen=number * BATCH)
        step(watched.objective, networks, [at], state, watched.rounds)
        assert not watched.open
    return watched.made


def test_a_function_is_made_for_each_kind_of_step() -> None:
    assert made_after(4) == 1
    assert made_after(4, schedule="sequential") == 2
    assert made_after(4, r1_every=2) == 2
    falls = {"kind": "step", "start": 10.0, "factor": 0.5, "every": 2 * BATCH}
    assert made_after(4, lambda_r1=falls) == 2


def test_weights_of_losses_that_always_change_are_refused() -> None:
    rises = {"kind": "linear", "start": 1.0, "end": 10.0, "until": 10**6}
    with pytest.raises(ConfigError, match=r"differ from one another"):
        accelerated_rounds(make_objective("dlsgan", lambda_enc=rises), COMPILE)
    late = {**rises, "begin": 500_000}
    config = replace(COMPILE, images=10**6)
    with pytest.raises(ConfigError, match=r"from image 500000 on"):
        accelerated_rounds(make_objective("dlsgan", lambda_enc=late), config)
    falls = {"kind": "step", "start": 10.0, "factor": 0.5, "every": 20 * BATCH}
    assert accelerated_rounds(make_objective("dlsgan", lambda_r1=falls), COMPILE)
    assert KINDS == 4  # of the 64 steps in a row that are looked at


def test_a_missing_compiler_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    for variable in ("CC", "CXX"):
        monkeypatch.delenv(variable, raising=False)
    with pytest.raises(ConfigError, match=r"train\.compile = True on .*C\+\+ compiler"):
        check_compiler(torch.device("cpu"))


def test_cuda_graphs_need_a_gpu_and_an_engine_that_moves_nothing() -> None:
    with pytest.raises(ConfigError, match=r"only NVIDIA GPUs"):
        check_graphs(torch.device("cpu"), "flat")
    with pytest.raises(ConfigError, match=r"engine\.name=flat"):
        check_graphs(torch.device("cuda"), "deepspeed")
    check_graphs(torch.device("cuda"), "flat")
