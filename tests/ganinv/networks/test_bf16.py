"""Training steps in bf16: which layers stay float32, and how far gradients are from float64."""

import copy
from typing import Any

import torch
from torch import Tensor, nn

from ganinv.networks import r3gan
from ganinv.networks.base import Judgement
from ganinv.networks.conv import EqualisedStem
from ganinv.networks.layers import EqualisedConv, EqualisedLinear
from ganinv.networks.styled import Mapper, ModulatedConv
from ganinv.precision import Precision
from ganinv.seams.engine import LocalEngine, no_reduction
from ganinv.training.step import train_step
from tests.support.families import LATENT_SIZE, build, families
from tests.support.micro_batches import in_double, random_batch
from tests.support.runs import make_objective

OBJECTIVE = make_objective("pvdgan", latent_size=LATENT_SIZE)
# Layers without pixels, heads among them.
BASES = (r3gan.GenerativeBasis, r3gan.DiscriminativeBasis)
FLOAT32 = (EqualisedLinear, EqualisedStem, Mapper, *BASES)
CONVOLUTIONS = (EqualisedConv, r3gan.Conv)
# Of a gradient's error relative to its norm: 0.011 to 0.030 were measured with bf16.
MOST, LEAST = 0.1, 1e-4


class Keeping(LocalEngine):
    """Keeps the gradient of a step."""

    gradient: Tensor

    def finish(self, *, apply: bool) -> None:
        assert apply
        found = [p.grad.flatten() for p in self.network.parameters() if p.grad is not None]
        self.gradient = torch.cat(found).double()
        super().finish(apply=apply)


def step(nets: dict[str, nn.Module], precision: Precision, *, double: bool = False) -> Any:
    """The gradients of a whole step, by network."""
    batch = random_batch(OBJECTIVE, dtype=torch.float32)
    nets = copy.deepcopy(nets)
    if double:
        batch, nets = in_double(batch), {name: net.double() for name, net in nets.items()}
    engines = {
        name: Keeping(net, torch.optim.Adam(net.parameters()), precision=precision)
        for name, net in nets.items()
    }
    state = OBJECTIVE.new_state(batch.global_batch)
    train_step(OBJECTIVE, engines, [batch], state, no_reduction)
    return {name: engine.gradient for name, engine in engines.items()}


@families
def test_gradients_are_near_those_of_float64(name: str) -> None:
    nets = build(name, width=8, max_width=16)
    exact = step(nets, "fp32", double=True)
    narrow, wide = step(nets, "bf16"), step(nets, "fp32")
    for network, gradient in exact.items():
        error = float((narrow[network] - gradient).norm() / gradient.norm())
        assert LEAST < error < MOST, (network, error)
        assert float((wide[network] - gradient).norm() / gradient.norm()) < LEAST


@families
def test_layers_without_pixels_stay_float32_and_convolutions_do_not(name: str) -> None:
    nets = build(name)
    seen: dict[str, set[torch.dtype]] = {}

    def look(key: str, tensor: Tensor) -> None:
        seen.setdefault(key, set()).add(tensor.dtype)

    for network, net in nets.items():
        for place, module in net.named_modules():
            if isinstance(module, ModulatedConv):
                module.normalise = normalising(module, f"factor {network}.{place}", look)
            if isinstance(module, (*CONVOLUTIONS, *FLOAT32)):
                sort = "float32" if isinstance(module, FLOAT32) else "bfloat16"
                key = f"{sort} {network}.{place}"
                module.register_forward_hook(lambda _m, _x, y, key=key: look(key, y))
    # Of real and generated images, and what replaces them in the pass that gives R1's gradient.
    nets["d"].register_forward_pre_hook(lambda _, x: look("images", x[0]))

    narrow = {torch.bfloat16}
    step(nets, "bf16")
    for key, found in seen.items():
        assert found == (narrow if key.startswith("bfloat16") else {torch.float32}), key
    sorts = {key.split()[0] for key in seen}
    assert sorts >= {"float32", "bfloat16", "images"}
    assert ("factor" in sorts) == ("stylegan2" in name)


def normalising(module: ModulatedConv, key: str, look: Any) -> Any:
    own = module.normalise

    def normalise(*given: Tensor) -> Tensor | None:
        factor = own(*given)
        if factor is not None:
            look(key, factor)
        return factor

    return normalise


@families
def test_codes_and_values_of_images_are_float32(name: str) -> None:
    d = build(name)["d"]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        judged: Judgement = d(torch.zeros(2, 3, 16, 16))
    assert judged.adversarial_B.dtype == judged.latent_BL.dtype == torch.float32
