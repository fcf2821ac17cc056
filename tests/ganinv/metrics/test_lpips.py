"""LPIPS with weights from files: against the formula written out, and files that do not fit.

Shapes: B images, C × H × W in [−1, 1].
"""

import hashlib
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import Tensor
from torch.nn import functional

from ganinv.errors import ConfigError
from ganinv.metrics import lpips
from ganinv.saved.trunks import PLANS, Trunk

CPU = torch.device("cpu")
ALEX_CHANNELS = (64, 192, 384, 256, 256)
Weights = dict[str, Tensor]


def weights(name: str) -> Weights:
    """Random weights of a trunk and heads, by the names of torchvision and of LPIPS."""
    torch.manual_seed(0)
    trunk = Trunk(PLANS[name])
    heads = {f"lin{n}.model.1.weight": torch.rand(1, c, 1, 1) for n, c in enumerate(trunk.channels)}
    return {**trunk.state_dict(), **heads}


@pytest.fixture(scope="module")
def alex() -> Weights:
    return weights("alex")


def saved(content: object, path: Path) -> Path:
    torch.save(content, path)
    return path


def images(count: int, size: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, 3, size, size, generator=generator) * 2 - 1


def alex_layers(x: Tensor, w: Weights) -> list[Tensor]:
    """The five outputs of AlexNet, layer by layer, by its paper's sizes."""

    def layer(x: Tensor, number: int, stride: int = 1, padding: int = 0) -> Tensor:
        name = f"features.{number}"
        y = functional.conv2d(x, w[f"{name}.weight"], w[f"{name}.bias"], stride, padding)
        return y.clamp(min=0)

    first = layer(x, 0, 4, 2)
    second = layer(functional.max_pool2d(first, 3, 2), 3, 1, 2)
    third = layer(functional.max_pool2d(second, 3, 2), 6, 1, 1)
    fourth = layer(third, 8, 1, 1)
    return [first, second, third, fourth, layer(fourth, 10, 1, 1)]


def slow_lpips(x_CHW: Tensor, y_CHW: Tensor, w: Weights) -> float:
    shift, scale = np.array([-0.030, -0.088, -0.188]), np.array([0.458, 0.448, 0.450])
    both = [
        torch.from_numpy((x.numpy() - shift[:, None, None]) / scale[:, None, None]).float()[None]
        for x in (x_CHW, y_CHW)
    ]
    total = 0.0
    for number, (a, b) in enumerate(zip(*(alex_layers(x, w) for x in both), strict=True)):
        head = w[f"lin{number}.model.1.weight"].flatten().double().numpy()
        unit = [
            v / (np.linalg.norm(v, axis=0) + 1e-10) for v in (a[0].double().numpy(), b[0].numpy())
        ]
        total += np.tensordot(head, (unit[0] - unit[1]) ** 2, 1).mean()
    return total


def test_the_figure_is_the_formula_written_out(alex: Weights, tmp_path: Path) -> None:
    loaded = lpips.load(saved(alex, tmp_path / "alex.pth"), None, CPU)
    x, y = images(3, 64, 1), images(3, 64, 2)
    found = loaded.metric.measure(x, y)
    slow = [slow_lpips(x[i], y[i], alex) for i in range(3)]
    np.testing.assert_allclose(found, slow, rtol=1e-4)
    assert found.dtype == torch.float64
    assert not loaded.metric.measure(x, x).any()
    assert loaded.metric.figure.name == "lpips_alex"
    assert loaded.sha256 == hashlib.sha256((tmp_path / "alex.pth").read_bytes()).hexdigest()


def test_the_squared_distance_of_features_is_the_figure(alex: Weights, tmp_path: Path) -> None:
    path = saved(alex, tmp_path / "alex.pth")
    features = lpips.load_features(path, None, "lpips", side=64, device=CPU)
    x, y = images(2, 64, 0).requires_grad_(), images(2, 64, 1)
    distance_B = (features(x) - features(y)).square().sum(1)
    expected_B = lpips.load(path, None, CPU).metric.measure(x, y)
    torch.testing.assert_close(distance_B.double(), expected_B)
    distance_B.sum().backward()
    assert x.grad is not None
    assert (x.grad != 0).any(dim=(1, 2, 3)).all()
    with pytest.raises(
        ConfigError, match=r"lpips = .*AlexNet.* needs images of \d+ pixels.*have 8"
    ):
        lpips.load_features(path, None, "lpips", side=8, device=CPU)


def test_the_trunk_is_told_by_its_first_layer(alex: Weights, tmp_path: Path) -> None:
    one = torch.zeros(1)  # the file holds one number for each weight, not millions
    small = {name: one.expand(weight.shape) for name, weight in weights("vgg").items()}
    loaded = lpips.load(saved(small, tmp_path / "a.pth"), None, CPU)
    assert loaded.metric.figure.name == "lpips_vgg"
    assert loaded.metric.least_pixels == 16
    assert loaded.metric.measure(images(1, 16, 1), images(1, 16, 2)).isfinite().all()


def test_all_kinds_of_files_give_the_same_figure(alex: Weights, tmp_path: Path) -> None:
    """Heads in a file of their own, safetensors, and a whole network as LPIPS' authors save it."""
    trunk = {k: v for k, v in alex.items() if k.startswith("features")}
    classifier = {"classifier.1.weight": torch.zeros(2, 2)}  # torchvision's files have one
    heads = {k: v for k, v in alex.items() if k.startswith("lin")}
    whole = {_as_lpips(k): v for k, v in alex.items()} | {
        "scaling_layer.shift": torch.zeros(1, 3, 1, 1)
    }
    safetensors.torch.save_file(trunk, tmp_path / "trunk.safetensors")
    bare = {k.replace("model.1", "model.0"): v for k, v in heads.items()}  # without dropouts
    heads_path = saved(bare, tmp_path / "heads.pth")
    x, y = images(2, 35, 1), images(2, 35, 2)
    found = [
        lpips.load(saved(alex, tmp_path / "one.pth"), None, CPU),
        lpips.load(saved(trunk | classifier, tmp_path / "t.pth"), heads_path, CPU),
        lpips.load(tmp_path / "trunk.safetensors", heads_path, CPU),
        lpips.load(saved(whole, tmp_path / "whole.pth"), None, CPU),
    ]
    values = [loaded.metric.measure(x, y).tolist() for loaded in found]
    assert values == [values[0]] * 4
    assert len({loaded.sha256 for loaded in found}) == 4
    assert "heads.pth" in found[1].network


def _as_lpips(name: str) -> str:
    return name.replace("features.", "net.slice1.") if name.startswith("features") else name


def test_grey_images_count_as_grey(alex: Weights, tmp_path: Path) -> None:
    metric = lpips.load(saved(alex, tmp_path / "alex.pth"), None, CPU).metric
    x, y = images(2, 32, 1)[:, :1], images(2, 32, 2)[:, :1]
    found = metric.measure(x, y)
    torch.testing.assert_close(
        found, metric.measure(x.expand(-1, 3, -1, -1), y.expand(-1, 3, -1, -1))
    )


Change = Callable[[Weights], object]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: {**w, "features.0.weight": w["features.3.weight"]}, "has a 192 × 64 × 5 × 5"),
        (lambda w: {"weight": w["features.0.weight"]}, "has no weight features.0.weight"),
        (lambda w: _without(w, "features.8.bias"), "features.8.bias is missing, but AlexNet needs"),
        (lambda w: {**w, "features.6.weight": torch.zeros(2, 3)}, "features.6.weight is 2 × 3"),
        (lambda w: _without(w, "lin3.model.1.weight"), "lin3.model.1.weight is missing"),
        (lambda w: {**w, "lin0.model.1.weight": torch.zeros(1, 3, 1, 1)}, "needs 1 × 64 × 1 × 1"),
        (lambda w: {**w, "lin0.model.1.weight": -w["lin0.model.1.weight"]}, "negative values"),
        (lambda w: {"state": w}, "holds dict instead of tensors by name"),
        (lambda w: [w], "holds list instead"),
    ],
)
def test_what_is_wrong_with_a_file_is_named(
    alex: Weights, change: Change, message: str, tmp_path: Path
) -> None:
    path = saved(change(alex), tmp_path / "w.pth")
    with pytest.raises(ConfigError, match=rf"^evaluate\.lpips = .*{re.escape(message)}"):
        lpips.load(path, None, CPU)


def _without(w: Weights, name: str) -> Weights:
    return {k: v for k, v in w.items() if k != name}


def test_files_that_hold_no_weights_are_refused(alex: Weights, tmp_path: Path) -> None:
    text = tmp_path / "text.pth"
    text.write_text("no weights")
    (tmp_path / "text.safetensors").write_text("no weights")
    code = saved(Trunk(PLANS["alex"]), tmp_path / "whole-object.pth")  # would execute its pickle
    for path in (text, tmp_path / "text.safetensors", code, tmp_path / "missing.pth", tmp_path):
        with pytest.raises(ConfigError, match=r"^evaluate\.lpips = .*holds no weights that can be"):
            lpips.load(path, None, CPU)
    trunk = saved(alex, tmp_path / "alex.pth")
    with pytest.raises(ConfigError, match=r"^evaluate\.lpips_heads = .*holds no weights"):
        lpips.load(trunk, text, CPU)
