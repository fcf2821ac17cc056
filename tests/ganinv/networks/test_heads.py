"""Networks of further kinds, which every family builds on the layers of its discriminator."""

import copy
import io
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ganinv import networks
from ganinv.errors import ConfigError
from ganinv.model import InvertibleGan
from ganinv.networks.base import PAIR, Networks
from ganinv.objectives.adversarial import AdversarialConfig, fake_loss, judge_real, real_loss
from ganinv.objectives.base import MicroBatch
from ganinv.saved.torchscript import graph_files
from tests.support.families import LATENT_SIZE, families, normal, without_zeros
from tests.support.runs import make_objective

KINDS = {"e": "encoder", "i": "image_discriminator", "p": "pair_discriminator"}
IMAGES, CODES = normal(3, 3, 16, 16).double(), normal(3, LATENT_SIZE).double()


def build(name: str, kinds: dict[str, str] = KINDS, seed: int = 0) -> Networks:
    module = networks.find(name)
    config = module.Config(latent_size=LATENT_SIZE, width=2, max_width=4)
    built: Networks = module.build(config, resolution=16, image_channels=3, seed=seed, kinds=kinds)
    for network in built.values():
        if hasattr(network, "trunk"):
            without_zeros(network.trunk)
    return {at: network.double() for at, network in built.items()}


def outputs(built: Networks, images: Tensor, codes: Tensor) -> list[Tensor]:
    of_image, of_pair = built["i"](images), built["p"](images, codes)
    parts = (of_image.adversarial_B, of_image.feature_BF, of_pair.adversarial_B)
    return [built["e"](images), *parts]


@families
def test_outputs_and_their_shapes(name: str) -> None:
    built = build(name)
    posterior, value, feature, of_pair = outputs(built, IMAGES, CODES)
    assert posterior.shape == (3, 2 * LATENT_SIZE)
    assert value.shape == of_pair.shape == (3,)
    assert feature.shape == built["i"](IMAGES).feature_BF.shape
    assert feature.shape[1] % built["i"].feature_pixels == 0
    assert built["i"](IMAGES).latent_BL.shape == (3, 0)
    mean, log_deviation = posterior.chunk(2, dim=1)
    assert bool((log_deviation == 0).all())  # σ begins at 1
    assert bool((mean != 0).all())


@families
def test_images_need_not_be_square(name: str) -> None:
    module = networks.find(name)
    config = module.Config(latent_size=LATENT_SIZE, width=2, max_width=4)
    built = module.build(config, resolution="16x12", image_channels=3, seed=0, kinds=KINDS)
    posterior, *values = outputs(built, normal(3, 3, 12, 16), normal(3, LATENT_SIZE))
    assert posterior.shape == (3, 2 * LATENT_SIZE)
    assert built["i"].feature_pixels == 4 * 12
    assert all(len(value) == 3 for value in values)


@families
def test_samples_do_not_see_each_other(name: str) -> None:
    built = build(name)
    together = outputs(built, IMAGES, CODES)
    for i in range(3):
        alone = outputs(built, IMAGES[i : i + 1], CODES[i : i + 1])
        for one, all_of_them in zip(alone, together, strict=True):
            torch.testing.assert_close(one[0], all_of_them[i], rtol=1e-12, atol=1e-12)


@families
def test_every_parameter_takes_part(name: str) -> None:
    built = build(name)
    sum(output.square().sum() for output in outputs(built, IMAGES, CODES)).backward()
    for at, network in built.items():
        for key, parameter in network.named_parameters():
            touched = parameter.grad is not None and bool(parameter.grad.any())
            # ln σ begins at 0, where the slope of its square is 0.
            assert touched or (at, key.partition(".")[0]) == ("e", "log_deviation"), key
    mean = build(name)["e"]
    mean(IMAGES).sum().backward()
    assert all(p.grad is not None and bool(p.grad.any()) for p in mean.log_deviation.parameters())


@families
def test_only_what_is_asked_for_is_built_and_weights_follow_names(name: str) -> None:
    both = build(name, {**PAIR, **KINDS})
    assert both.keys() == {*PAIR, *KINDS}
    alone, other = build(name), build(name, seed=1)
    for at in KINDS:
        first, second, third = (built[at].state_dict() for built in (both, alone, other))
        assert all(torch.equal(first[key], second[key]) for key in first)
        assert any(not torch.equal(first[key], third[key]) for key in first)
    pair = networks.find(name).build(
        networks.find(name).Config(latent_size=LATENT_SIZE, width=2, max_width=4),
        resolution=16, image_channels=3, seed=0,
    )  # fmt: skip
    for at in PAIR:
        for key, value in pair[at].state_dict().items():
            assert torch.equal(both[at].state_dict()[key], value.double())


def test_a_kind_that_a_family_lacks_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"network\.name: .*no mapper for the network m"):
        build("conv", {"m": "mapper"})


def with_biases(network: nn.Module) -> nn.Module:
    """Biases start at 0, where a wrong factor on them would not show."""
    for number, parameter in enumerate(network.parameters()):
        if parameter.ndim == 1:
            parameter.data = normal(*parameter.shape, seed=number).double()
    return network


class Declared:
    """D, with or without the declaration that it is piecewise linear."""

    def __init__(self, network: nn.Module, piecewise_linear: bool) -> None:
        self.network, self.piecewise_linear = network, piecewise_linear

    def __call__(self, *inputs: Tensor) -> Any:
        return self.network(*inputs)


@pytest.mark.parametrize("r1_every", [1, 2])
@families
def test_r1_of_pairs_without_double_backward(name: str, r1_every: int) -> None:
    """Gradients of D's loss with R1 on the image, and of another loss at the codes."""
    network = with_biases(build(name)["p"])
    batch = MicroBatch(
        images_seen=3,  # the second step, without R1 if that is on every other
        real_NCHW=IMAGES, slots_N=torch.arange(3), global_batch=3, micro_batches=1, noise={},
    )  # fmt: skip

    def gradients(piecewise_linear: bool) -> dict[str, Tensor]:
        d = copy.deepcopy(network)
        codes = CODES.clone().requires_grad_()
        declared = Declared(d, piecewise_linear)
        config = AdversarialConfig(r1_every=r1_every)
        real = judge_real({"d": declared}, batch, config, codes * 1.0)
        other = batch.mean(fake_loss(real.adversarial_B))
        (at_codes,) = torch.autograd.grad(other, codes, retain_graph=True)
        real.with_r1(batch.mean(real_loss(real.adversarial_B)), 3.0).backward()
        return {"codes": at_codes} | {
            n: p.grad for n, p in d.named_parameters() if p.grad is not None
        }

    found, expected = gradients(True), gradients(False)
    assert found.keys() == expected.keys()
    assert len(found) == 1 + len(list(network.parameters()))
    for key, value in expected.items():
        assert float((found[key] - value).norm() / value.norm()) <= 1e-12, key


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_a_model_of_encoder_and_decoder_exports_its_graphs() -> None:
    built = build("conv", {"e": "encoder", "g": "generator"})
    nets = {at: network.float().eval() for at, network in built.items()}
    objective = make_objective("vaegan", latent_size=LATENT_SIZE)
    model = InvertibleGan(codec=objective.codec(nets, {}))
    graphs = {at: torch.jit.load(io.BytesIO(payload)) for at, payload in graph_files(model).items()}
    codes = CODES.float()
    images = model.decode(codes)
    torch.testing.assert_close(graphs["generator.pt"](codes), images, rtol=1e-5, atol=1e-5)
    found = model.encode(images)
    assert torch.equal(found, nets["e"](images)[:, :LATENT_SIZE])
    torch.testing.assert_close(graphs["encoder.pt"](images), found, rtol=1e-5, atol=1e-5)
