"""Inversion by optimisation: against closed forms, and independent of the batch.

Shapes: B images, L latent elements, P pixels times channels.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from ganinv.codec import Codec
from ganinv.errors import ConfigError
from ganinv.inversion.loss import ImageLoss, own_feature_map
from ganinv.inversion.optimise import Optimisation, OptimiseConfig, RefineConfig
from ganinv.inversion.prior import Prior, mean_point
from ganinv.latents.normal import StandardNormal
from ganinv.model import InvertibleGan
from tests.support.codecs import codec_of, codec_without_encoder
from tests.support.families import LATENT_SIZE, build, normal

SCALE_L = torch.linspace(0.4, 1.5, LATENT_SIZE)


def model_of(family: str) -> InvertibleGan:
    """An untrained model in float64, frozen as a loaded one is."""
    options = {} if family == "conv" else {"style_size": 8}
    built = build(family, **options)
    held = {name: network.double().requires_grad_(False).eval() for name, network in built.items()}
    return InvertibleGan(codec=codec_of(held, SCALE_L.double()))


@dataclass(frozen=True, kw_only=True)
class Linear(Codec):
    """Images are A z, for images of 1 × 4 × 4 pixels; the encoder gives zeros."""

    def decode(self, code_BL: Tensor) -> Tensor:
        image_BP: Tensor = self.networks["a"](code_BL)
        return image_BP.reshape(-1, 1, 4, 4)

    def encode(self, image_BCHW: Tensor) -> Tensor:
        return image_BCHW.new_zeros(len(image_BCHW), self.latent.size)


def linear_model() -> InvertibleGan:
    layer = nn.Linear(3, 16, bias=False).requires_grad_(False)
    layer.weight.copy_(0.1 * normal(16, 3, seed=4))
    return InvertibleGan(codec=Linear(latent=StandardNormal(3), networks={"a": layer}))


@pytest.mark.parametrize("rho", [0.0, 0.003])
def test_a_linear_generator_is_inverted_as_ridge_regression_does(rho: float) -> None:
    """argmin ‖A z − x‖² / P + ρ ‖(z − μ) / σ‖² / L solves a linear system."""
    model = linear_model()
    image = 0.3 * normal(4, 1, 4, 4, seed=5).clamp(-1, 1)
    config = OptimiseConfig(
        steps=150, learning_rate=0.2, patience=150, prior_weight=rho, starts=["encoder"]
    )
    found = Optimisation(model, config)(image)
    a_PL = model.codec.networks["a"].get_parameter("weight")
    x_PB = image.flatten(1).T
    prior = Prior.of(model.codec, model.codec.spaces["z"])
    weight_L = rho / 3 / prior.spread[0].square()
    left = a_PL.T @ a_PL / 16 + torch.diag(weight_L)
    right = a_PL.T @ x_PB / 16 + (weight_L * prior.mean[0])[:, None]
    expected_BL = torch.linalg.solve(left, right).T
    torch.testing.assert_close(found.point, expected_BL, rtol=1e-3, atol=1e-3)
    assert found.code_NL is not None
    assert torch.equal(found.code_NL, found.point)


@pytest.mark.parametrize(("family", "space"), [("conv", "u"), ("stylegan2", "y_layers")])
def test_results_do_not_depend_on_the_batch(family: str, space: str) -> None:
    model = model_of(family)
    image = model.sample(4, seed=3)
    config = OptimiseConfig(steps=3, random_starts=2, prior_weight=1e-3, space=space)
    optimisation = Optimisation(model, config)
    whole = optimisation(image)
    optimisation.model = replace(model, batch_size=3)
    for rows in ([3, 2, 1, 0], [2]):
        other = optimisation(image[rows])
        torch.testing.assert_close(other.point, whole.point[rows], rtol=1e-6, atol=1e-8)
        assert [whole.start[i] for i in rows] == list(other.start)
    decoded = model.codec.spaces[space].decode(whole.point).clamp(-1, 1)
    torch.testing.assert_close(decoded, whole.image_NCHW, rtol=0, atol=1e-12)
    assert list(whole.loss) == ["encoder", "mean", "random-0", "random-1"]
    lowest_N = torch.stack([loss.amin(1) for loss in whole.loss.values()]).amin(0)
    for i, start in enumerate(whole.start):  # the best of all starts, and of all steps
        assert float(whole.loss[start][i].min()) == float(lowest_N[i])
    assert whole.evaluations_N.tolist() == [4 * 4] * 4


def test_every_space_begins_with_the_image_of_the_encoder() -> None:
    model = model_of("reduced_stylegan2")
    image = model.sample(3, seed=1)
    encoded = model.codec.decode(model.encode(image))
    error_B = (encoded - image).square().flatten(1).mean(1).float()
    config = OptimiseConfig(steps=1, starts=["encoder"], features="none")
    for name in model.codec.spaces:
        found = Optimisation(model, replace(config, space=name))(image)
        torch.testing.assert_close(found.error["encoder"][:, 0], error_B, rtol=1e-5, atol=0)


def test_spaces_whose_points_are_codes_share_one_mean() -> None:
    codec = model_of("conv").codec
    means = {name: space.decode(mean_point(codec, name)) for name, space in codec.spaces.items()}
    torch.testing.assert_close(means["z"], means["u"])
    styled = model_of("stylegan2").codec
    y, layers = mean_point(styled, "y"), mean_point(styled, "y_layers")
    torch.testing.assert_close(layers, y[:, None].expand_as(layers))


def test_random_codes_are_about_as_surprising_as_they_should_be() -> None:
    codec = model_of("conv").codec
    for name in ("z", "u"):
        space = codec.spaces[name]
        prior = Prior.of(codec, space)
        code_BL = codec.prior(1, "elsewhere", range(500)).double()
        assert float(prior.surprise(space.of_code(code_BL)).mean()) == pytest.approx(1, abs=0.05)
        far = prior.surprise(space.of_code(3 * code_BL)).mean()
        assert float(far) == pytest.approx(9, abs=0.5)


def test_the_error_of_features_is_relative_and_per_image() -> None:
    model = model_of("conv")
    features = own_feature_map(model.codec)
    assert features is not None
    real, other = model.sample(3, seed=1), model.sample(3, seed=2)
    loss = ImageLoss.to(real, features, 0.5)
    value = loss(other, torch.tensor([2, 0, 1]))
    for i, row in enumerate([2, 0, 1]):
        f, f_real = features(other[i : i + 1])[0], features(real[row : row + 1])[0]
        relative = (f - f_real).square().sum() / f_real.square().sum()
        error = (other[i] - real[row]).square().mean()
        assert float(value.error_B[i]) == pytest.approx(float(error))
        assert float(value.loss_B[i]) == pytest.approx(float(error + 0.5 * relative))


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_features_of_a_file_replace_the_own(tmp_path: Path) -> None:
    model = model_of("conv")
    path = tmp_path / "features.pt"
    torch.jit.save(torch.jit.trace(nn.AvgPool2d(4), model.sample(1, seed=0)), str(path))
    image = model.sample(2, seed=1)
    config = RefineConfig(steps=2, prior_weight=0, features_weight=1.0)
    found = Optimisation(model, replace(config, feature_file=str(path)))(image)
    given = Optimisation(
        model, config, features=lambda x: nn.functional.avg_pool2d(x, 4).flatten(1)
    )
    torch.testing.assert_close(found.loss["encoder"], given(image).loss["encoder"])
    path.write_bytes(b"no network")
    with pytest.raises(ConfigError, match=r"feature_file = .*not a TorchScript file"):
        Optimisation(model, replace(config, feature_file=str(path)))


def test_wrong_options_name_what_there_is() -> None:
    model = model_of("conv")
    with pytest.raises(ConfigError, match="lpips = /none"):
        Optimisation(model, RefineConfig(lpips="/none"))
    with pytest.raises(ConfigError, match="lpips and feature_file"):
        RefineConfig(lpips="a", feature_file="b")
    with pytest.raises(ConfigError, match=r"lpips_heads = 'a': give lpips=FILE"):
        RefineConfig(lpips_heads="a")
    with pytest.raises(ConfigError, match="space = 'y': this model has z, u"):
        Optimisation(model, OptimiseConfig(space="y"))
    with pytest.raises(ConfigError, match="choose among encoder, mean, random"):
        OptimiseConfig(starts=["encode"])
    for wrong in ("random_starts", "seed", "features_weight", "prior_weight"):
        with pytest.raises(ConfigError, match=f"{wrong} = -1"):
            OptimiseConfig(**{wrong: -1})  # type: ignore[arg-type]
    generator = build("conv")["g"].requires_grad_(False)
    without = InvertibleGan(codec=codec_without_encoder(generator, LATENT_SIZE))
    with pytest.raises(ConfigError, match="no encoder; start from mean"):
        Optimisation(without, OptimiseConfig())
    found = Optimisation(without, OptimiseConfig(steps=2, starts=["mean"]))(
        without.sample(2, seed=0)
    )
    assert found.space == "z"
