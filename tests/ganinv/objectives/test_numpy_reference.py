"""Training steps against Algorithm 1 of both papers, written out in NumPy without autograd."""

from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ganinv.latent_scale import TraceConfig, trace_variance
from ganinv.networks.base import Judgement
from ganinv.objectives.base import MicroBatch
from ganinv.objectives.traced import TracedObjective
from ganinv.seams.engine import no_reduction
from ganinv.training.config import TrainConfig
from ganinv.training.step import Engines, train_step
from tests.support import numpy_reference as reference
from tests.support.micro_batches import local_engines
from tests.support.numpy_networks import Adam, Array, Params
from tests.support.runs import make_objective

BATCH, LATENT, HIDDEN, IMAGE = 6, 3, 4, (1, 2, 2)
PIXELS = 4
STEPS = 3  # so that the traces, Adam's moments and its bias correction all take part
# An ε this large keeps the size of a gradient visible in Adam's first steps.
TRAIN = TrainConfig(learning_rate=0.02, beta1=0.5, beta2=0.9, epsilon=0.05)
LAMBDAS = {"lambda_enc": 0.7, "lambda_r1": 3.0}
BOTH = ({"name": "dlsgan"}, {"name": "pvdgan"})
EMA = TraceConfig(kind="ema", decay=0.8, initial=0.5)
WINDOW = TraceConfig(kind="window", window_samples=2 * BATCH, initial=0.5)

VARIANTS: list[dict[str, Any]] = [
    {"name": "dlsgan", "scale": scale, "encoder_loss_to": to, "schedule": schedule, "trace": trace}
    for scale in ("dls", "mse")
    for to in ("d", "dg")
    for schedule in ("simultaneous", "sequential")
    for trace in (EMA, WINDOW)
] + [
    {"name": "pvdgan", "share_trace": share, "vae_half": half, "schedule": schedule, "trace": trace}
    for share in (False, True)
    for half in ("last", "first")
    for schedule in ("simultaneous", "sequential")
    for trace in (EMA, WINDOW)
]
# One change each: lazy R1, the other feature tap, other weights, no weight at all, and variances
# above 1, beyond which codes of the VAE half get no noise.
VARIANTS += [
    {**method, "schedule": schedule, "trace": EMA, **change}
    for method in BOTH
    for schedule in ("simultaneous", "sequential")
    for change in (
        {"r1_every": 2},
        {"lambda_enc": 1.9, "lambda_r1": 0.4},
        {"lambda_enc": 0.0, "lambda_r1": 0.0},
    )
] + [
    {"name": "pvdgan", "schedule": schedule, "trace": EMA, **change}
    for schedule in ("simultaneous", "sequential")
    for change in (
        {"feature": "second"},
        {"lambda_rec": 2.3},
        {"lambda_rec": 0.0},
        {"trace": replace(EMA, initial=1.3)},
    )
]


def label(variant: dict[str, Any]) -> str:
    def shown(value: Any) -> str:
        return f"{value.kind}{value.initial}" if isinstance(value, TraceConfig) else str(value)

    return "-".join(f"{name}={shown(value)}" for name, value in variant.items())


class DenseGenerator(nn.Module):
    def __init__(self, weights: Params) -> None:
        super().__init__()
        self.at = nn.ParameterDict({name: torch.tensor(w) for name, w in weights.items()})

    def forward(self, code_BL: Tensor) -> Tensor:
        hidden_BF = torch.tanh(code_BL @ self.at["A1"].T + self.at["a1"])
        flat_BP: Tensor = hidden_BF @ self.at["A2"].T + self.at["a2"]
        image_BCHW: Tensor = flat_BP.unflatten(1, IMAGE)
        return image_BCHW


class DenseDiscriminator(nn.Module):
    """Its feature is the first hidden layer or the second, which is its heads' input."""

    def __init__(self, weights: Params, feature: str) -> None:
        super().__init__()
        self.feature = feature
        self.at = nn.ParameterDict({name: torch.tensor(w) for name, w in weights.items()})

    def forward(self, image_BCHW: Tensor) -> Judgement:
        at = self.at
        first_BF = torch.tanh(image_BCHW.flatten(1) @ at["B1"].T + at["b1"])
        second_BF = torch.tanh(first_BF @ at["B2"].T + at["b2"])
        adversarial_B = second_BF @ at["beta"] + at["beta0"]
        feature_BF = first_BF if self.feature == "first" else second_BF
        return Judgement(adversarial_B, second_BF @ at["C"].T + at["c0"], feature_BF)


def initial_weights() -> tuple[Params, Params]:
    random = np.random.default_rng(0)
    g = {"A1": (HIDDEN, LATENT), "a1": (HIDDEN,), "A2": (PIXELS, HIDDEN), "a2": (PIXELS,)}
    d: dict[str, tuple[int, ...]] = {"B1": (HIDDEN, PIXELS), "b1": (HIDDEN,)}
    d |= {"B2": (HIDDEN, HIDDEN), "b2": (HIDDEN,), "beta": (HIDDEN,), "beta0": ()}
    d |= {"C": (LATENT, HIDDEN), "c0": (LATENT,)}
    draw = random.standard_normal
    return (
        {n: np.asarray(0.8 * draw(shape)) for n, shape in g.items()},
        {n: np.asarray(0.8 * draw(shape)) for n, shape in d.items()},
    )


def inputs(step: int) -> tuple[Array, dict[str, Array]]:
    """Real images and the noise of a step."""
    random = np.random.default_rng([1, step])
    noise = {name: random.standard_normal((BATCH, LATENT)) for name in ("z", "z_generator")}
    return random.uniform(-1, 1, (BATCH, PIXELS)), noise


class Product(NamedTuple):
    """What is tested, at the reference's weights."""

    objective: TracedObjective
    engines: Engines
    state: dict[str, Tensor]

    def step(self, number: int) -> dict[str, Tensor]:
        x_BP, noise = inputs(number)
        batch = MicroBatch(
            images_seen=number * BATCH,
            real_NCHW=torch.tensor(x_BP).unflatten(1, IMAGE),
            slots_N=torch.arange(BATCH),
            global_batch=BATCH,
            micro_batches=1,
            noise={name: torch.tensor(noise[name]) for name in self.objective.noise},
        )
        result = train_step(self.objective, self.engines, [batch], self.state, no_reduction)
        assert result.applied
        self.state.update(result.state)
        return result.statistics

    def weights(self) -> dict[str, Tensor]:
        networks = [engine.network for engine in self.engines.values()]
        return {name: p.detach() for n in networks for name, p in n.named_parameters()}


def product(variant: dict[str, Any]) -> Product:
    options = {**LAMBDAS, **variant}
    feature = options.pop("feature", "first")
    objective = make_objective(**options, latent_size=LATENT)
    assert isinstance(objective, TracedObjective)
    weights_g, weights_d = initial_weights()
    networks = {"g": DenseGenerator(weights_g), "d": DenseDiscriminator(weights_d, feature)}
    engines = local_engines(objective, networks, TRAIN)
    return Product(objective, engines, objective.new_state(BATCH))


def reference_run(options: dict[str, Any]) -> reference.Run:
    """Takes the options of a run out of `options` and leaves those of a step."""
    trace = options.pop("trace")

    def new_trace() -> reference.Trace:
        return reference.Trace(
            initial=np.full(LATENT, trace.initial),
            decay=trace.decay if trace.kind == "ema" else None,
            window_steps=trace.window_samples // BATCH,
        )

    def adam() -> Adam:
        return Adam(TRAIN.learning_rate, TRAIN.beta1, TRAIN.beta2, TRAIN.epsilon)

    g, d = initial_weights()
    return reference.Run(
        g=g,
        d=d,
        adam_g=adam(),
        adam_d=adam(),
        fake=new_trace(),
        real=new_trace(),
        lambda_enc=options.pop("lambda_enc"),
        lambda_rec=options.pop("lambda_rec", 1.0),
        lambda_r1=options.pop("lambda_r1"),
        r1_every=options.pop("r1_every", 1),
        sequential=options.pop("schedule") == "sequential",
    )


@pytest.mark.parametrize("variant", VARIANTS, ids=label)
def test_steps_equal_the_paper_written_out(variant: dict[str, Any]) -> None:
    ours = product(variant)
    options = {**LAMBDAS, **variant}
    algorithm: Callable[..., dict[str, Array]] = getattr(reference, f"{options.pop('name')}_step")
    run = reference_run(options)
    for step in range(STEPS):
        losses = ours.step(step)
        expected = algorithm(run, *inputs(step), **options)
        assert losses.keys() == expected.keys()
        for name, value in expected.items():
            assert float(losses[name]) == pytest.approx(float(value), rel=1e-10, abs=1e-10), name
        for name, weight in ours.weights().items():
            value = (run.g | run.d)[name.removeprefix("at.")]
            np.testing.assert_allclose(weight.numpy(), value, rtol=0, atol=1e-10, err_msg=name)
        for name, trace in ours.state.items():
            variance_L = {"fake": run.fake, "real": run.real}[name].variance()
            found_L = trace_variance(trace).numpy()
            np.testing.assert_allclose(found_L, variance_L, rtol=1e-12, atol=1e-12, err_msg=name)


def test_every_variant_is_another_algorithm() -> None:
    """Otherwise the comparison above could not tell one option from another."""
    final = {}
    for variant in VARIANTS:
        ours = product(variant)
        for step in range(STEPS):
            ours.step(step)
        final[label(variant)] = torch.cat([w.flatten() for w in ours.weights().values()])
    alike = {  # a scale of 1 leaves nothing for the trace to do
        frozenset(pair)
        for pair in combinations(final, 2)
        if torch.allclose(final[pair[0]], final[pair[1]], rtol=0, atol=1e-6)
    }
    expected = {
        frozenset(label(variant) for variant in VARIANTS if variant.items() >= chosen.items())
        for to in ("d", "dg")
        for schedule in ("simultaneous", "sequential")
        for chosen in ({"scale": "mse", "encoder_loss_to": to, "schedule": schedule},)
    }
    assert alike == expected
