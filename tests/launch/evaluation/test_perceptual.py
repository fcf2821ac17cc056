"""Networks of features for losses: VGG16 from a user's file, EfficientNet-Lite0 of a package."""

from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ganinv.errors import ConfigError
from ganinv.objectives.base import FeatureNetwork
from launch.evaluation.perceptual import VGG16, convolutions_of, feature_network
from tests.support.families import normal

PLACES = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21)  # of the convolutions in torchvision's `features`


def state() -> dict[str, Tensor]:
    """Weights of VGG16 under torchvision's names, with one more convolution and a dense layer."""
    found = {"classifier.0.weight": torch.zeros(4, 8), "classifier.0.bias": torch.zeros(4)}
    for place, (into, out) in zip((*PLACES, 24), (*VGG16, (512, 512)), strict=True):
        found[f"features.{place}.weight"] = normal(out, into, 3, 3) * (2 / (9 * into)) ** 0.5
        found[f"features.{place}.bias"] = torch.full((out,), float(place))
    return found


class Scripted(nn.Module):
    """A TorchScript module with these weights."""

    def __init__(self, tensors: dict[str, Tensor]) -> None:
        super().__init__()
        self.features = nn.ModuleDict()
        for place in PLACES:
            weight = tensors[f"features.{place}.weight"]
            layer = nn.Conv2d(weight.shape[1], weight.shape[0], 3, padding=1)
            layer.weight.data, layer.bias.data = weight, tensors[f"features.{place}.bias"]  # type: ignore[union-attr]
            self.features[str(place)] = layer

    def forward(self, x: Tensor) -> Tensor:
        return x


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("vgg") / "vgg16.safetensors"
    safetensors.torch.save_file(state(), path)  # which sorts names: features.10 before features.2
    return path


def vgg(file: Path, pixels: str = "bgr", channels: int = 3) -> nn.Module:
    return feature_network(FeatureNetwork(name="vgg16", file=str(file), pixels=pixels), channels)


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_both_kinds_of_file_give_the_first_ten_convolutions_in_order(
    file: Path, tmp_path: Path
) -> None:
    scripted = tmp_path / "vgg16.pt"
    torch.jit.save(torch.jit.script(Scripted(state())), str(scripted))
    for path in (file, scripted):
        found = convolutions_of(path)
        assert [float(bias[0]) for _, bias in found] == list(PLACES)
        assert [tuple(w.shape[1::-1]) for w, _ in found] == VGG16


def test_features_are_those_of_conv4_3_of_bytes_without_their_mean(file: Path) -> None:
    image_BCHW = normal(2, 3, 16, 8).clamp(-1, 1)
    x = (image_BCHW + 1) / 2 * 255 - torch.tensor([123.68, 116.779, 103.939])[:, None, None]
    x, tensors = x[:, [2, 1, 0]], state()
    for place in PLACES:
        if place in (5, 10, 17):
            x = F.max_pool2d(x, 2)
        x = F.conv2d(x, tensors[f"features.{place}.weight"], padding=1)
        x = F.relu(x + tensors[f"features.{place}.bias"][:, None, None])
    assert x.shape == (2, 512, 2, 1)
    found = vgg(file)(image_BCHW)
    torch.testing.assert_close(found, x.flatten(1), rtol=1e-4, atol=1e-3)
    assert not torch.allclose(vgg(file, "rgb")(image_BCHW), found, rtol=1e-3)


def test_pixels_of_torchvision_are_in_standard_deviations(file: Path) -> None:
    network = vgg(file, "imagenet")
    grey = network._input(torch.full((1, 3, 1, 1), 127.5)).flatten()  # type: ignore[operator]
    expected = [(0.5 - mean) / d for mean, d in ((0.485, 0.229), (0.456, 0.224), (0.406, 0.225))]
    assert grey.tolist() == pytest.approx(expected, rel=1e-5)


def test_features_are_frozen_and_pass_gradients_to_the_image(file: Path) -> None:
    for network in (vgg(file), feature_network(FeatureNetwork(name="lite0"), 3)):
        image_BCHW = normal(2, 3, 32, 32).clamp(-1, 1).requires_grad_()
        feature_BF = network(image_BCHW)
        assert feature_BF.ndim == 2
        feature_BF[0].square().sum().backward()
        assert image_BCHW.grad is not None
        assert image_BCHW.grad.flatten(1).abs().amax(1).gt(0).tolist() == [True, False]
        assert not any(p.requires_grad for p in network.parameters())
        network.train()  # as an engine may do: nothing changes
        torch.testing.assert_close(network(image_BCHW), feature_BF)


@pytest.mark.parametrize(("size", "places"), [((32, 32), 4), ((64, 32), 2), ((256, 192), 12)])
def test_small_images_grow_and_large_ones_shrink(size: tuple[int, int], places: int) -> None:
    network = feature_network(FeatureNetwork(name="lite0"), 1)
    assert network(torch.zeros(1, 1, *size)).shape == (1, 1280 * places)


def test_what_cannot_be_used_is_refused(file: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="perceptual = 'vgg16': sees images of 1 or 3 channels"):
        vgg(file, channels=4)
    with pytest.raises(ConfigError, match=r"perceptual_file = .*missing.pt.*cannot be read"):
        vgg(tmp_path / "missing.pt")
    other = tmp_path / "other.safetensors"
    safetensors.torch.save_file({"a.weight": torch.zeros(8, 3, 3, 3)}, other)
    with pytest.raises(ConfigError, match=r"not those of VGG16 \(\(8, 3, 3, 3\)"):
        vgg(other)
    tensors = state()
    del tensors["features.7.bias"]
    safetensors.torch.save_file(tensors, other)
    with pytest.raises(ConfigError, match=r"lacks features\.7\.bias"):
        vgg(other)
