"""Feature networks of the metrics: what they are given, and what is refused.

Shapes: B images, C × H × W pixels, F features.
"""

import hashlib
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from ganinv.errors import ConfigError
from ganinv.metrics.features import (
    inception_features,
    own_features,
    pixel_features,
    resize_as_2015,
)
from ganinv.model import InvertibleGan
from ganinv.networks import conv
from ganinv.pictures import to_signed
from tests.support.codecs import codec_of
from tests.support.runs import RandomImages

CPU = torch.device("cpu")
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")


def images(count: int, resolution: int = 16) -> Tensor:
    source = RandomImages(global_batch=1, resolution=resolution)
    return torch.stack([source.image(number) for number in range(count)])


class Script(nn.Module):
    """In the place of the Inception: the first values of what it is given."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.features = features

    def forward(self, img: Tensor, return_features: bool = False) -> Tensor:
        assert return_features
        return img.flatten(1)[:, : self.features, None, None]


class PlainScript(nn.Module):
    """Without the switch."""

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1)[:, :2048]


def saved(script: nn.Module, folder: Path) -> Path:
    path = folder / "script.pt"
    torch.jit.save(torch.jit.script(script), path)
    return path


@pytest.mark.parametrize("size", [1, 8, 300])
def test_resizing_is_tensorflow_1s(size: int) -> None:
    """Every pixel by its definition: between the two neighbours of i · size / 299."""
    column = images(1, resolution=300)[0, 0, :size, :1].float()
    found = resize_as_2015(column[None, None])
    assert found.shape == (1, 1, 299, 299)
    for i in range(299):
        place = i * size / 299
        low, share = int(place), place - int(place)
        high = min(low + 1, size - 1)
        expected = (1 - share) * column[low, 0] + share * column[high, 0]
        torch.testing.assert_close(found[0, 0, i, 7], expected, rtol=1e-5, atol=1e-4)


def test_resizing_at_299_changes_nothing_and_axes_are_not_mixed_up() -> None:
    image = torch.rand(1, 1, 299, 299)
    assert torch.equal(resize_as_2015(image), image)
    wide = torch.rand(1, 1, 5, 9)
    torch.testing.assert_close(resize_as_2015(wide).mT, resize_as_2015(wide.mT))


@pytest.mark.parametrize("script", [Script(2048), PlainScript()], ids=["switch", "plain"])
def test_the_inception_sees_bytes_at_299_pixels(script: nn.Module, tmp_path: Path) -> None:
    path = saved(script, tmp_path)
    features = inception_features(path, CPU)
    assert features.name == "inception"
    assert features.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    image = images(2)
    found = features.extract(image)
    assert found.shape == (2, 2048)
    torch.testing.assert_close(found, resize_as_2015(image).flatten(1)[:, :2048])
    assert float(found.max()) > 100  # not in [−1, 1]


def test_files_that_are_no_inception_are_refused(tmp_path: Path) -> None:
    features = inception_features(saved(Script(1008), tmp_path), CPU)
    with pytest.raises(ConfigError, match="1008 features an image"):
        features.extract(images(1))
    other = tmp_path / "weights.pt"
    torch.save({"weight": torch.zeros(2)}, other)
    text = tmp_path / "text.pt"
    text.write_text("no zip")
    for path in (other, text, tmp_path / "missing.pt", tmp_path):
        with pytest.raises(ConfigError, match=r"evaluate\.inception = .*not a TorchScript"):
            inception_features(path, CPU)


@pytest.mark.parametrize("block", [-1, -2])
def test_own_features_are_means_over_the_pixels_of_the_feature_block(block: int) -> None:
    config = conv.Config(latent_size=6, width=4, max_width=8, feature_block=block)
    built = conv.build(config, resolution=16, image_channels=3, seed=0)
    features = own_features(InvertibleGan(codec=codec_of(built, torch.ones(6))), "here")
    assert features is not None
    found = features.extract(images(3))
    with torch.no_grad():
        feature_BF = built["d"](to_signed(images(3))).feature_BF
    side = 4 if block == -1 else 8
    torch.testing.assert_close(found, feature_BF.view(3, -1, side, side).mean((2, 3)))
    assert "here" in features.network
    assert f"block {block}" in features.network


def test_pixel_features_are_means_over_boxes() -> None:
    features = pixel_features()
    small = features.extract(images(2, resolution=8))
    torch.testing.assert_close(small, to_signed(images(2, resolution=8)).flatten(1))
    image = images(2, resolution=32)
    boxes = to_signed(image).view(2, 3, 16, 2, 16, 2).mean((3, 5))
    torch.testing.assert_close(features.extract(image), boxes.flatten(1))
