"""LIA's networks: a mapper that is its own inverse's twin, and an encoder of styles.

Shapes: B samples, L latent elements, C × H × W image.
"""

import io
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ganinv.errors import ConfigError
from ganinv.latents.normal import StandardNormal
from ganinv.model import InvertibleGan
from ganinv.networks import lia, resnet_encoder
from ganinv.networks.base import Judgement, Networks
from ganinv.networks.coupling import CouplingMapper
from ganinv.networks.layers import EqualisedConv, EqualisedLinear
from ganinv.networks.resnet_encoder import BatchNorm
from ganinv.objectives.base import networks_asked
from ganinv.objectives.lia import LatentlyInvertible
from ganinv.saved.torchscript import graph_files
from tests.support.families import normal
from tests.support.runs import make_objective

SIZES = {
    "latent_size": 6, "width": 2, "max_width": 4, "coupling_width": 8, "encoder_width": 2,
    "encoder_max_width": 4,
}  # fmt: skip
NORMS = ("none", "group", "batch")


def build(*, resolution: int = 16, channels: int = 3, seed: int = 0, **options: Any) -> Networks:
    config = lia.Config(**{**SIZES, **options})
    return lia.build(config, resolution=resolution, image_channels=channels, seed=seed)


def mapper(size: int = 512, factor: float = 1.0, seed: int = 0) -> CouplingMapper:
    """One whose shifts are `factor` times those at the start."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made = CouplingMapper(size, depth=4, width=size, rate=0.01)
    for shift in made.shifts:
        shift.second.weight.data *= factor
    return made


@torch.no_grad()
@pytest.mark.parametrize("factor", [0.3, 1.0, 3.0])
def test_both_directions_are_inverse_to_each_other(factor: float) -> None:
    """φ(φ⁻¹(z)) = z and φ⁻¹(φ(y)) = y within 1e-5 of the largest number, float32, 512 elements."""
    made, code_BL = mapper(factor=factor), normal(32, 512)
    style_BL, other_BL = made(code_BL), made.to_code(code_BL)
    assert float((style_BL - code_BL.flip(1)).abs().max()) > 0.1  # it does something
    for back_BL, between_BL in ((made.to_code(style_BL), style_BL), (made(other_BL), other_BL)):
        # The paper's scale of weights gives styles of the size of codes, three times it 200.
        largest = float(between_BL.abs().max()) if factor > 1 else 1.0
        assert float((back_BL - code_BL).abs().max()) <= 1e-5 * largest


def test_volume_is_kept() -> None:
    """|det ∂y/∂z| = 1, so the log-determinant is 0, whatever the weights are."""
    made = mapper(7, factor=5.0).double()  # the halves may be unequal
    for code_L in normal(3, 7).double():
        jacobian = torch.autograd.functional.jacobian(lambda z: made(z[None])[0], code_L)
        assert float(torch.linalg.slogdet(jacobian).logabsdet) == pytest.approx(0, abs=1e-9)
        assert float((jacobian - jacobian.diag().diag()).abs().max()) > 0.1


def test_a_coupling_is_the_papers_with_the_halves_turned_around() -> None:
    """Eq. 5 for one coupling, written out."""
    made = mapper(6)
    made.shifts = made.shifts[:1]
    style_BL = normal(4, 6)
    top, bottom = style_BL.flip(1)[:, :3], style_BL.flip(1)[:, 3:]
    tau = made.shifts[0](top)
    torch.testing.assert_close(made.to_code(style_BL), torch.cat([top, bottom + tau], 1))


@torch.no_grad()
def test_under_autocast_the_mapper_stays_float32() -> None:
    generator, code_BL = build(latent_size=64)["g"], normal(8, 64)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        style_BL = generator.style(code_BL)
        back_BL = generator.code(style_BL)
    assert style_BL.dtype == back_BL.dtype == torch.float32
    assert float((back_BL - code_BL).abs().max()) <= 1e-5


@pytest.mark.parametrize(("resolution", "channels"), [(8, 1), (32, 3), (64, 4)])
def test_shapes(resolution: int, channels: int) -> None:
    built = build(resolution=resolution, channels=channels, feature_block=-1)
    image_BCHW = built["g"](normal(2, 6))
    assert image_BCHW.shape == (2, channels, resolution, resolution)
    torch.testing.assert_close(built["g"](built["g"].style(normal(2, 6)), "y"), image_BCHW)
    judged: Judgement = built["d"](image_BCHW)
    assert (judged.adversarial_B.shape, judged.latent_BL.shape) == ((2,), (2, 0))
    assert built["e"](image_BCHW).shape == (2, 6)


def test_the_papers_networks_have_the_papers_sizes() -> None:
    with torch.device("meta"):
        built = lia.build(lia.Config(), resolution=128, image_channels=3, seed=0)
    assert built["e"].style.weight.shape == (512, 1024 * 4 * 4)
    widths = [block.second.weight.shape[0] for block in built["e"].blocks]
    assert widths == [128, 256, 512, 1024, 1024]
    assert sum(layer.weight.numel() for layer in dense(built["g"].mapper)) == 4 * 2 * 256 * 512


def dense(network: nn.Module) -> Iterator[EqualisedLinear]:
    return (module for module in network.modules() if isinstance(module, EqualisedLinear))


@pytest.mark.parametrize("choice", [{"mapper": "mlp"}, *({"encoder_norm": n} for n in NORMS)])
def test_every_parameter_takes_part(choice: dict[str, str]) -> None:
    """A parameter that no loss reaches stalls distributed gradients."""
    built = build(**choice)
    image_BCHW = built["g"](normal(2, 6))
    (built["d"](image_BCHW).adversarial_B.sum() + built["e"](image_BCHW).square().sum()).backward()
    for network in built.values():
        for key, parameter in network.named_parameters():
            assert parameter.grad is not None, key
            assert parameter.grad.isfinite().all(), key
            if choice != {"encoder_norm": "batch"} or "shift_C" in key or "style" not in key:
                assert parameter.grad.any(), key


@pytest.mark.parametrize("norm", NORMS)
def test_only_batch_normalisation_couples_samples_and_only_in_training(norm: str) -> None:
    encoder, image_BCHW = build(encoder_norm=norm)["e"].double(), normal(4, 3, 16, 16).double()
    encoder.style.weight.data.normal_()
    with torch.no_grad():
        together, alone = encoder(image_BCHW)[:2], encoder(image_BCHW[:2])
    coupled = float((together - alone).abs().max()) > 1e-6
    assert coupled == (norm == "batch")
    encoder.eval()
    torch.testing.assert_close(encoder(image_BCHW)[:2], encoder(image_BCHW[:2]))


def test_running_statistics_are_those_of_all_ranks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rank with one half of the images follows mean and variance of all of them."""
    images = normal(8, 3, 4, 4) * 2 + 1
    whole, half = BatchNorm(3), BatchNorm(3)
    whole(images)

    def add_the_other_half(sums_2C: Tensor) -> None:
        other = images[4:]
        sums_2C += torch.stack([other.mean((0, 2, 3)), other.square().mean((0, 2, 3))])

    monkeypatch.setattr(resnet_encoder.dist, "is_initialized", lambda: True)
    monkeypatch.setattr(resnet_encoder.dist, "all_reduce", add_the_other_half)
    monkeypatch.setattr(resnet_encoder.dist, "get_world_size", lambda: 2)
    half(images[:4])
    torch.testing.assert_close(half.mean_C, whole.mean_C)
    torch.testing.assert_close(half.variance_C, whole.variance_C)
    assert float((whole.variance_C - 1).abs().min()) > 0.1
    expected = images.var((0, 2, 3), correction=0) * 0.1 + 0.9
    torch.testing.assert_close(whole.variance_C, expected)


def test_images_that_are_not_finite_leave_the_running_statistics() -> None:
    norm = BatchNorm(3)
    norm(torch.full((2, 3, 4, 4), float("nan")))
    assert torch.equal(norm.mean_C, torch.zeros(3))
    assert torch.equal(norm.variance_C, torch.ones(3))


def test_the_encoders_weights_are_equalised_and_a_function_of_the_seed() -> None:
    encoder, again, other = (build(seed=seed)["e"] for seed in (0, 0, 1))
    owned = {f"{at}.weight" for at, module in encoder.named_modules() if equalised(module)}
    assert owned == {at for at, p in encoder.named_parameters() if p.ndim > 1}
    state = encoder.state_dict()
    assert all(torch.equal(again.state_dict()[key], value) for key, value in state.items())
    assert any(not torch.equal(other.state_dict()[key], value) for key, value in state.items())


def equalised(module: nn.Module) -> bool:
    return isinstance(module, EqualisedConv | EqualisedLinear)


@pytest.mark.parametrize("resolution", [32, 64])
def test_styles_of_white_noise_have_about_unit_size_at_the_start(resolution: int) -> None:
    sizes = {"latent_size": 64, "encoder_width": 16, "encoder_max_width": 64}
    encoder = build(resolution=resolution, **sizes)["e"]
    with torch.no_grad():
        style_BS = encoder(normal(8, 3, resolution, resolution))
    assert 0.05 < float(style_BS.square().mean().sqrt()) < 2


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_exported_graphs_give_the_same() -> None:
    built = build(resolution=8, feature_block=-1, encoder_norm="batch")
    held = {name: built[name].eval().requires_grad_(False) for name in ("g", "e")}
    model = InvertibleGan(codec=LatentlyInvertible(latent=StandardNormal(6), networks=held))
    files = graph_files(model)
    assert set(files) == {"generator.pt", "encoder.pt"}
    code_BL = model.prior(range(5), seed=1)
    image_BCHW = model.decode(code_BL)
    for name, argument, expected in (
        ("generator.pt", code_BL, image_BCHW),
        ("encoder.pt", image_BCHW, model.encode(image_BCHW)),
    ):
        graph = torch.jit.load(io.BytesIO(files[name]))
        torch.testing.assert_close(graph(argument), expected, rtol=1e-5, atol=1e-5)


def test_impossible_sizes() -> None:
    with pytest.raises(ConfigError, match=r"latent_size = 1: .*at least 2"):
        lia.Config(latent_size=1)
    assert lia.Config(latent_size=1, mapper="mlp").latent_size == 1
    for key in ("coupling_depth", "coupling_width", "encoder_width", "encoder_max_width"):
        with pytest.raises(ConfigError, match=f"{key} = 0: must be at least 1"):
            lia.Config(**{key: 0})
    with pytest.raises(ConfigError, match="mapper_rate = 2"):
        lia.Config(mapper_rate=2.0)


@pytest.mark.parametrize("method", ["pvdgan", "dlsgan", "dedgan", "vaegan", "ali"])
def test_other_methods_are_refused(method: str) -> None:
    """Their discriminators have another head than LIA's, or read codes."""
    asked = networks_asked(make_objective(name=method))
    with pytest.raises(ConfigError, match=r"network.name = lia: .*choose another family"):
        lia.build(lia.Config(**SIZES), resolution=16, image_channels=3, seed=0, **asked)
