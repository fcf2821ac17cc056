"""How every network family behaves; a new file in `ganinv/networks/` is collected by itself.

Shapes: B samples, L latent elements, C × H × W image.
"""

import io
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from ganinv import networks
from ganinv.model import InvertibleGan
from ganinv.networks.base import Judgement, Networks, coarsest_grid
from ganinv.objectives.adversarial import gradient_penalty
from ganinv.saved.torchscript import graph_files
from tests.support.codecs import codec_of, codec_without_encoder
from tests.support.families import LATENT_SIZE, build, families, normal, outputs


def generator_and_discriminator(built: Networks) -> tuple[nn.Module, nn.Module]:
    """The two networks of every family so far; a family may build further ones."""
    return built["g"], built["d"]


def root_mean_square(x: Tensor) -> float:
    return float(x.square().mean().sqrt())


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("resolution", [8, 16, 32, 64])
@families
def test_shapes(name: str, resolution: int, channels: int) -> None:
    generator, discriminator = generator_and_discriminator(
        build(name, resolution=resolution, channels=channels, feature_block=-1)
    )
    image = generator(normal(2, LATENT_SIZE))
    assert image.shape == (2, channels, resolution, resolution)
    judgement = discriminator(image)
    assert isinstance(judgement, Judgement)
    assert judgement.adversarial_B.shape == (2,)
    assert judgement.latent_BL.shape == (2, LATENT_SIZE)
    assert judgement.feature_BF.shape[0] == 2
    assert judgement.feature_BF.ndim == 2


@pytest.mark.parametrize(
    ("resolution", "height", "width", "grid"),
    [("32x24", 24, 32, (3, 4)), ("24x32", 32, 24, (4, 3)), ("28x20", 20, 28, (5, 7)),
     ("64x16", 16, 64, (1, 4)), (28, 28, 28, (7, 7)), (24, 24, 24, (6, 6))],
)  # fmt: skip
@families
def test_shapes_that_are_no_squares_of_a_power_of_two(
    name: str, resolution: int | str, height: int, width: int, grid: tuple[int, int]
) -> None:
    """Shapes, all parameters in use, one code for one image, and features pixel by pixel."""
    assert coarsest_grid(resolution) == grid
    generator, discriminator = generator_and_discriminator(build(name, resolution=resolution))
    image = generator(normal(2, LATENT_SIZE))
    assert image.shape == (2, 3, height, width)
    judgement = discriminator(image)
    pixels = 4 * grid[0] * grid[1]  # of the second last block
    assert discriminator.feature_pixels == pixels
    assert judgement.feature_BF.shape[1] % pixels == 0
    alone = discriminator(image[:1])
    torch.testing.assert_close(alone.latent_BL, judgement.latent_BL[:1], rtol=1e-4, atol=1e-5)
    (judgement.adversarial_B.sum() + judgement.latent_BL.square().sum()).backward()
    for network in (generator, discriminator):
        assert [key for key, p in network.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize(
    ("resolution", "channels"), [(32, 3), (64, 4), (128, 1), (256, 3), (512, 2), (1024, 4)]
)
@families
def test_full_size_networks_fit_together(name: str, resolution: int, channels: int) -> None:
    """Without memory or arithmetic: on the meta device."""
    module = networks.find(name)
    config = module.Config()
    with torch.device("meta"):
        built = module.build(config, resolution=resolution, image_channels=channels, seed=0)
        image = built["g"](torch.empty(2, config.latent_size))
        assert image.shape == (2, channels, resolution, resolution)
        judgement = built["d"](image)
    assert judgement.latent_BL.shape == (2, config.latent_size)
    assert judgement.adversarial_B.shape == (2,)


@families
def test_feature_blocks_are_counted_from_the_last(name: str) -> None:
    """The last leaves 4 × 4 pixels, the one before 8 × 8, and so on."""
    for block, pixels in ((-1, 4), (-2, 8), (-3, 16)):
        built = build(name, resolution=32, feature_block=block, width=4, max_width=4)
        assert built["d"](normal(1, 3, 32, 32)).feature_BF.shape == (1, 4 * pixels**2)


@families
def test_samples_do_not_see_each_other(name: str) -> None:
    """One code, one image; one image, one code: neither batch nor chance has a part in it."""
    generator, discriminator = (
        network.double() for network in generator_and_discriminator(build(name))
    )
    code_BL = normal(4, LATENT_SIZE).double()
    image_BCHW = normal(4, 3, 16, 16).double()
    together = [generator(code_BL), *discriminator(image_BCHW)]
    for i in range(4):
        alone = [generator(code_BL[i : i + 1]), *discriminator(image_BCHW[i : i + 1])]
        for one, all_of_them in zip(alone, together, strict=True):
            torch.testing.assert_close(one[0], all_of_them[i], rtol=1e-12, atol=1e-12)


@families
def test_every_parameter_takes_part(name: str) -> None:
    """A parameter that no loss reaches stalls distributed gradients."""
    generator, discriminator = generator_and_discriminator(build(name))
    judgement = discriminator(generator(normal(2, LATENT_SIZE)))
    loss = judgement.adversarial_B.sum() + judgement.latent_BL.square().sum()
    loss.backward()
    for network in (generator, discriminator):
        for key, parameter in network.named_parameters():
            assert parameter.grad is not None, key
            assert torch.isfinite(parameter.grad).all(), key
            assert parameter.grad.any(), key


def directions(network: nn.Module) -> list[Tensor]:
    return [normal(*p.shape, seed=i).double() for i, p in enumerate(network.parameters())]


def assert_gradient_is_slope(network: nn.Module, loss: Callable[[], Tensor]) -> None:
    """d loss / d parameters along a random direction, by autograd and by central differences."""
    parameters = list(network.parameters())
    direction = directions(network)
    gradients = torch.autograd.grad(loss(), parameters, allow_unused=True)
    pairs = zip(gradients, direction, strict=True)
    slope = sum(float((g * d).sum()) for g, d in pairs if g is not None)
    step = 1e-6
    values = []
    for shift in (step, -2 * step):
        with torch.no_grad():
            for parameter, way in zip(parameters, direction, strict=True):
                parameter.add_(way, alpha=shift)
        values.append(float(loss().detach()))
    assert slope == pytest.approx((values[0] - values[1]) / (2 * step), rel=1e-5)


@families
def test_the_gradient_penalty_can_be_trained_on(name: str) -> None:
    discriminator = build(name)["d"].double()
    real_BCHW = normal(3, 3, 16, 16).double().requires_grad_()

    def penalty() -> Tensor:
        return gradient_penalty(discriminator(real_BCHW).adversarial_B, real_BCHW).mean()

    assert_gradient_is_slope(discriminator, penalty)


@families
def test_the_generator_learns_through_its_images(name: str) -> None:
    generator = build(name)["g"].double()
    code_BL, weight_BCHW = normal(3, LATENT_SIZE).double(), normal(3, 3, 16, 16).double()
    assert_gradient_is_slope(generator, lambda: (generator(code_BL) * weight_BCHW).mean())


# Root mean square at the start: of images, and of the codes that D gives for white noise. Measured
# over 3 seeds and 32² to 256² at the widths of the test below, and why:
#   conv               0.08–0.24 and 0.03–0.18: gain 1 before leaky ReLUs, each of which halves the
#                      mean square; the two paths of a residual block make up for part of it.
#   reduced_stylegan2  2.1–3.5 and 14–140: every resolution adds an image of unit spread; gain 2
#                      doubles what runs through a block of D, in which nothing is normalised.
#   stylegan2          1.1–3.1 and 0.24–0.60: demodulation and gain √2 keep unit mean square; images
#                      sum over the resolutions, and D's blurs take noise away.
START = {
    "conv": ((0.04, 0.5), (0.015, 0.4)),
    "reduced_stylegan2": ((1.0, 7.0), (7.0, 300.0)),
    "stylegan2": ((0.5, 6.0), (0.1, 1.2)),
}
SANE = ((0.01, 10.0), (0.001, 1000.0))  # of a family that is not listed


@pytest.mark.parametrize("resolution", [32, 64])
@families
def test_activations_at_the_start(name: str, resolution: int) -> None:
    sizes = {"latent_size": 64, "width": 16, "max_width": 64}
    image_range, code_range = START.get(name, SANE)
    for seed in range(2):
        generator, discriminator = generator_and_discriminator(
            build(name, resolution=resolution, seed=seed, untrained=True, **sizes)
        )
        with torch.no_grad():
            image_rms = root_mean_square(generator(normal(8, 64)))
            judgement = discriminator(normal(8, 3, resolution, resolution))
        assert image_range[0] < image_rms < image_range[1]
        assert code_range[0] < root_mean_square(judgement.latent_BL) < code_range[1]
        assert root_mean_square(judgement.adversarial_B) < 4 * code_range[1]


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
@families
def test_exported_graphs_give_the_same(name: str) -> None:
    """TorchScript of E, and of G with s and the clamp inside; traced with two samples."""
    built = build(name, resolution="8x6", channels=2, feature_block=-1)
    scale_L = torch.linspace(0.2, 3.0, LATENT_SIZE)
    model = InvertibleGan(codec=codec_of(built, scale_L))
    files = graph_files(model)
    graphs = {at: torch.jit.load(io.BytesIO(payload)) for at, payload in files.items()}
    for samples in (1, 5):
        code_BL = 5 * normal(samples, LATENT_SIZE)
        image_BCHW = model.decode(code_BL)
        for graph, argument, expected in (
            ("generator.pt", code_BL, image_BCHW),
            ("encoder.pt", image_BCHW, model.encode(image_BCHW)),
        ):
            found = graphs[graph](argument)
            torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_a_model_without_an_encoder_exports_its_generator_alone() -> None:
    model = InvertibleGan(codec=codec_without_encoder(build("conv")["g"], LATENT_SIZE))
    files = graph_files(model)
    assert list(files) == ["generator.pt"]
    graph = torch.jit.load(io.BytesIO(files["generator.pt"]))
    code_BL = normal(5, LATENT_SIZE)
    torch.testing.assert_close(graph(code_BL), model.decode(code_BL), rtol=1e-5, atol=1e-5)


@families
def test_exported_programs_give_the_same(name: str) -> None:
    """`torch.export`, with a batch of any size."""
    batch = torch.export.Dim("batch", min=1)
    arguments = {"g": normal(3, LATENT_SIZE), "d": normal(3, 3, 8, 8)}
    for at, network in build(name, resolution=8, feature_block=-1).items():
        argument = arguments[at]
        program = torch.export.export(network, (argument,), dynamic_shapes=({0: batch},))
        twice = torch.cat([argument, argument.flip(0)])
        for ours, theirs in zip(
            outputs(network, twice), outputs(program.module(), twice), strict=True
        ):
            torch.testing.assert_close(theirs, ours, rtol=1e-5, atol=1e-5)
