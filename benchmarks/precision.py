"""The gradient error of a PVDGAN step in each precision, against float64: per family and network.

    python -m benchmarks.precision [--resolution 64] [--steps 10] [--family conv …]

Writes docs/results/precision.{json,md}. For every family, at its initial weights and after some
steps of training, the gradients of D's adversarial and encoder losses, of R1 alone, and of the
whole step are computed

- in float32;
- in float32 with inputs of convolutions and matrix products rounded as TensorFloat-32 does it
  (emulated, so that it needs no GPU);
- in bf16 by autocast alone, without the layers that the families keep in float32;
- in bf16 as trained;
- in bf16 with all blocks of at most 16 pixels in float32 besides;
- for another batch, in float32: the noise of training.
"""

import argparse
import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, cast
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks.precision_page import write_page
from benchmarks.results import write_json
from ganinv import networks
from ganinv.networks import conv, layers, residual, styled, stylegan2
from ganinv.objectives import pvdgan
from ganinv.objectives.adversarial import AdversarialConfig, judge_real
from ganinv.objectives.base import MicroBatch
from ganinv.precision import Precision
from ganinv.seams.engine import LocalEngine, no_reduction
from ganinv.training.step import callables, train_step

LATENT_SIZE, BATCH = 256, 8
WIDTHS = {"width": 32, "max_width": 128}
COARSE = 16  # pixels a side
LAMBDA_R1 = 5.0
Gradients = dict[str, Tensor]  # by part: all gradients of one network in a row


class Keeping(LocalEngine):
    """Keeps the gradients of a step."""

    gradient: Tensor

    def finish(self, *, apply: bool) -> None:
        self.gradient = flat(p.grad for p in self.network.parameters())
        super().finish(apply=apply)


def flat(gradients: Any) -> Tensor:
    return torch.cat([g.double().flatten() for g in gradients if g is not None])


def pictures(count: int, resolution: int, seed: int) -> Tensor:
    """Smooth random images in [−1, 1]."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(count, 3, 8, 8, generator=generator)
    return F.interpolate(coarse, size=(resolution, resolution), mode="bicubic").clamp(-1, 1)


def micro_batch(resolution: int, seed: int) -> MicroBatch:
    generator = torch.Generator().manual_seed(seed)
    return MicroBatch(
        images_seen=0,
        real_NCHW=pictures(BATCH, resolution, seed),
        slots_N=torch.arange(BATCH),
        global_batch=BATCH,
        micro_batches=1,
        noise={"z": torch.randn(BATCH, LATENT_SIZE, generator=generator)},
    )


def engines_of(nets: Mapping[str, nn.Module], precision: Precision) -> dict[str, Keeping]:
    return {
        name: Keeping(net, torch.optim.Adam(net.parameters(), 0.003, (0.0, 0.99)), 1, precision)
        for name, net in nets.items()
    }


def trained(nets: Mapping[str, nn.Module], resolution: int, steps: int) -> None:
    """Train in float32 for some steps, in place."""
    objective = pvdgan.Objective(pvdgan.Config(), LATENT_SIZE)
    state, engines = objective.new_state(BATCH), engines_of(nets, "fp32")
    for step in range(steps):
        batch = micro_batch(resolution, 1000 + step)
        state = train_step(objective, engines, [batch], state, no_reduction).state


def gradients(
    nets: Mapping[str, nn.Module], batch: MicroBatch, precision: Precision, around: Any
) -> Gradients:
    """Of all parts of a step. `around` is applied to a copy of the networks, and is a context."""
    nets = copy.deepcopy(dict(nets))
    if batch.real_NCHW.dtype == torch.float64:
        nets = {name: net.double() for name, net in nets.items()}
    found: Gradients = {}
    with around(nets):
        for part, lambda_r1 in {"adversarial": 0.0, "whole step": LAMBDA_R1}.items():
            objective = pvdgan.Objective(pvdgan.Config(lambda_r1=lambda_r1), LATENT_SIZE)
            engines = engines_of(copy.deepcopy(nets), precision)
            state = objective.new_state(BATCH)
            train_step(objective, engines, [batch], state, no_reduction)
            found[f"d, {part}"] = engines["d"].gradient
        found["g, whole step"] = engines["g"].gradient
        d = callables({"d": LocalEngine(nets["d"], engines["d"].optimizer, 1, precision)}, {})
        real = judge_real(d, batch, AdversarialConfig())
        penalty = real.with_r1(0.0 * real.adversarial_B.sum(), LAMBDA_R1)
        parameters = list(nets["d"].parameters())
        found["d, R1"] = flat(torch.autograd.grad(penalty, parameters, materialize_grads=True))
    return found


@contextmanager
def plain(nets: Mapping[str, nn.Module]) -> Iterator[None]:
    del nets
    yield


class _Rounding(TorchDispatchMode):
    """Rounds what enters convolutions and matrix products to 10 bits, in all passes."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        del types
        aten = torch.ops.aten
        places: dict[Any, Sequence[int]] = {
            aten.convolution.default: (0, 1),
            aten.convolution_backward.default: (0, 1, 2),
            aten.mm.default: (0, 1),
            aten.addmm.default: (1, 2),
        }
        chosen = places.get(func, ())
        args = tuple(_ten_bits(a) if i in chosen else a for i, a in enumerate(args))
        return func(*args, **(kwargs or {}))


def _ten_bits(x: Tensor) -> Tensor:
    """To the nearest number with 10 bits after the leading one; halves away from zero."""
    bits = x.contiguous().view(torch.int32) + (1 << 12) & ~((1 << 13) - 1)
    return bits.view(torch.float32).view_as(x)


@contextmanager
def emulated_tf32(nets: Mapping[str, nn.Module]) -> Iterator[None]:
    del nets
    with _Rounding():  # type: ignore[no-untyped-call]  # of PyTorch
        yield


@contextmanager
def without_islands(nets: Mapping[str, nn.Module]) -> Iterator[None]:
    del nets
    with ExitStack() as patched:
        for module in (conv, residual, styled, stylegan2):
            patched.enter_context(patch.object(module, "in_float32", _as_it_is))
        yield


def _as_it_is(layer: Callable[..., Any], *inputs: Tensor) -> Any:
    return layer(*inputs)


@contextmanager
def coarse_blocks(nets: Mapping[str, nn.Module]) -> Iterator[None]:
    for net in nets.values():
        for block in cast(nn.ModuleList, net.blocks):
            block.forward = partial(_in_float32_if_coarse, block.forward)
    yield


def _in_float32_if_coarse(forward: Callable[..., Any], *inputs: Tensor) -> Any:
    small = inputs[0].shape[-1] <= COARSE
    return layers.in_float32(forward, *inputs) if small else forward(*inputs)


VARIANTS: dict[str, tuple[Precision, Any]] = {
    "fp32": ("fp32", plain),
    "tf32, emulated": ("fp32", emulated_tf32),
    "bf16, autocast alone": ("bf16", without_islands),
    "bf16": ("bf16", plain),
    "bf16, coarse blocks float32": ("bf16", coarse_blocks),
}


def in_double(batch: MicroBatch) -> MicroBatch:
    noise = {name: draw.double() for name, draw in batch.noise.items()}
    return replace(batch, real_NCHW=batch.real_NCHW.double(), noise=noise)


def errors(nets: Mapping[str, nn.Module], resolution: int) -> dict[str, dict[str, Any]]:
    """By variant and part: the relative norm of the error, and the cosine with float64."""
    batch = micro_batch(resolution, 0)
    exact = gradients(nets, in_double(batch), "fp32", plain)
    computed = {
        variant: gradients(nets, batch, precision, around)
        for variant, (precision, around) in VARIANTS.items()
    }
    # The noise that training has anyway.
    computed["another batch, fp32"] = gradients(nets, micro_batch(resolution, 1), "fp32", plain)
    return {
        variant: {
            part: {
                "error": float((g - exact[part]).norm() / exact[part].norm()),
                "cosine": float(F.cosine_similarity(g, exact[part], dim=0)),
            }
            for part, g in by_part.items()
        }
        for variant, by_part in computed.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--resolution", type=int, default=64)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--family", nargs="*", default=networks.names())
    chosen = parser.parse_args()
    found: dict[str, Any] = {}
    for family in chosen.family:
        module = networks.find(family)
        config = module.Config(latent_size=LATENT_SIZE, **WIDTHS)
        nets = module.build(config, resolution=chosen.resolution, image_channels=3, seed=0)
        found[family] = {"initial weights": errors(nets, chosen.resolution)}
        trained(nets, chosen.resolution, chosen.steps)
        found[family][f"after {chosen.steps} steps"] = errors(nets, chosen.resolution)
    sizes = {"resolution": chosen.resolution, "batch": BATCH, "latent_size": LATENT_SIZE}
    result = {**sizes, **WIDTHS, "steps": chosen.steps, "families": found}
    write_json("precision", result)
    write_page(result)


if __name__ == "__main__":
    main()
