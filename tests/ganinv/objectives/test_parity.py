"""One step of the author's 2024 PVDGAN code, in numbers (his networks, schedule and optimizer).

The fixture holds data only. It is not part of the repository: where it is absent, this skips.
"""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ganinv.latent_scale import TraceConfig
from ganinv.networks import conv
from ganinv.objectives import pvdgan
from ganinv.objectives.base import MicroBatch
from ganinv.seams.engine import LocalEngine, no_reduction
from ganinv.training.averages import WeightAverage
from ganinv.training.step import train_step

FIXTURE = Path(__file__).parents[4] / "shared" / "parity" / "parity_pvdgan.npz"
pytestmark = pytest.mark.skipif(not FIXTURE.exists(), reason=f"no parity fixture at {FIXTURE}")
CLOSE = {"rtol": 1e-5, "atol": 1e-6}


@pytest.fixture(scope="module")
def numbers() -> dict[str, np.ndarray]:
    with np.load(FIXTURE) as archive:
        return {name: archive[name] for name in archive.files}


def nchw(array: np.ndarray) -> Tensor:
    return torch.from_numpy(array).permute(0, 3, 1, 2).contiguous()


def generator_weights(arrays: list[np.ndarray]) -> dict[str, Tensor]:
    """The author's list (bias before kernel, inner pair before skip) under our names."""
    names = ["stem.bias", "stem.weight"]
    for block in range(2):
        at = f"blocks.{block}.1"
        names += [f"{at}.first.bias", f"{at}.first.weight", f"{at}.skip.weight"]
        names += [f"{at}.second.bias", f"{at}.second.weight"]
    names += ["to_image.bias", "to_image.weight"]
    return {name: convolution(array) for name, array in zip(names, arrays, strict=True)}


def discriminator_weights(arrays: list[np.ndarray]) -> dict[str, Tensor]:
    names = ["from_image.bias", "from_image.weight"]
    for block in range(2):
        at = f"blocks.{block}.0"
        names += [f"{at}.first.bias", f"{at}.first.weight"]
        names += [f"{at}.second.bias", f"{at}.second.weight", f"{at}.skip.weight"]
    state = {name: convolution(array) for name, array in zip(names, arrays[:12], strict=True)}
    for index, head in ((12, "adversarial"), (14, "latent")):
        state[f"{head}.bias"] = torch.from_numpy(arrays[index]).flatten()
        state[f"{head}.weight"] = dense(arrays[index + 1])
    return state  # the third head (log variance) is not trained and has no counterpart here


def convolution(array: np.ndarray) -> Tensor:
    if array.shape[:3] == (1, 1, 1):  # a bias
        return torch.from_numpy(array).flatten()
    return torch.from_numpy(array).permute(3, 2, 0, 1).contiguous()


def dense(array: np.ndarray) -> Tensor:
    """in (H, W, C) × out → out × in (C, H, W)."""
    kernel = torch.from_numpy(array)
    return kernel.T.unflatten(1, (4, 4, -1)).permute(0, 3, 1, 2).flatten(1).contiguous()


def stage(numbers: dict[str, np.ndarray], prefix: str) -> list[np.ndarray]:
    return [numbers[name] for name in sorted(n for n in numbers if n.startswith(prefix))]


@pytest.fixture
def networks(numbers: dict[str, np.ndarray]) -> tuple[nn.Module, nn.Module]:
    config = conv.Config(latent_size=16, width=8, max_width=16, stem_width=512, feature_block=-1)
    built = conv.build(config, resolution=16, image_channels=3, seed=0)
    built["g"].load_state_dict(generator_weights(stage(numbers, "G_init")))
    built["d"].load_state_dict(discriminator_weights(stage(numbers, "D_init")))
    return built["g"], built["d"]


def test_networks_give_the_same_outputs(numbers, networks) -> None:
    generator, discriminator = networks
    image = generator(torch.from_numpy(numbers["probe_z"] * numbers["s"]))
    torch.testing.assert_close(image, nchw(numbers["probe_G_out_nhwc"]), **CLOSE)
    judgement = discriminator(nchw(numbers["real_imgs_nhwc"]))
    expected = torch.from_numpy(numbers["probe_D_out0"])
    torch.testing.assert_close(judgement.adversarial_B, expected, **CLOSE)
    expected = torch.from_numpy(numbers["probe_D_out1"])
    torch.testing.assert_close(judgement.latent_BL, expected, **CLOSE)
    feature = judgement.feature_BF.unflatten(1, (-1, 4, 4)).permute(0, 2, 3, 1).flatten(1)
    expected = torch.from_numpy(numbers["probe_D_out3"])
    torch.testing.assert_close(feature, expected, **CLOSE)


def test_one_step_gives_the_same_numbers(numbers, networks) -> None:
    generator, discriminator = networks
    objective = pvdgan.Objective(
        pvdgan.Config(
            schedule="sequential",
            share_trace=True,
            vae_half="first",
            lambda_r1=3.0,
            trace=TraceConfig(decay=0.999),
        ),
        latent_size=16,
    )
    state = {"fake": torch.from_numpy(numbers["v0"]).double()}
    scale = torch.from_numpy(numbers["s"][0]).double()
    torch.testing.assert_close(objective.scale(state), scale, rtol=1e-6, atol=1e-6)
    # The VAE half stands first; its noise is draw1 and draw2 holds the prior codes (the weights
    # after the step agree in this order alone).
    second_draw = np.concatenate([numbers["draw1"], numbers["draw2"]])
    batch = MicroBatch(
        images_seen=0,
        real_NCHW=nchw(numbers["real_imgs_nhwc"]),
        slots_N=torch.arange(4),
        global_batch=4,
        micro_batches=1,
        noise={
            "z": torch.from_numpy(numbers["draw0"]),
            "z_generator": torch.from_numpy(second_draw),
        },
    )
    averages = [WeightAverage(network) for network in networks]
    engines = {"g": keras_adam(generator), "d": keras_adam(discriminator)}
    result = train_step(objective, engines, [batch], state, no_reduction)
    for average, network in zip(averages, networks, strict=True):
        average.update(network, decay=0.999)

    reported = {
        "d/real": "real_adv_val",
        "d/fake": "fake_adv_val",
        "loss/enc": "ltn_rec_loss",
        "loss/rec": "img_rec_loss",
        "loss/r1": "reg_loss",
    }
    for ours, his in reported.items():
        expected = torch.tensor(float(numbers[f"result_{his}"]))
        torch.testing.assert_close(result.statistics[ours], expected, **CLOSE)
    v1 = torch.from_numpy(numbers["v1"]).double()
    torch.testing.assert_close(result.state["fake"], v1, rtol=1e-6, atol=1e-6)
    for network, to_ours, letter in (
        (generator, generator_weights, "G"),
        (discriminator, discriminator_weights, "D"),
    ):
        compare(network, to_ours(stage(numbers, f"{letter}_step1")))
    for average, to_ours, letter in zip(
        averages, (generator_weights, discriminator_weights), "GD", strict=True
    ):
        compare(average.network, to_ours(stage(numbers, f"{letter}_ema1")))


def keras_adam(network: nn.Module) -> LocalEngine:
    """Keras adds ε = 1e-7 to √v̂ before the bias correction; at step 1 that is this ε in PyTorch."""
    epsilon = 1e-7 / (1 - 0.99) ** 0.5
    optimizer = torch.optim.Adam(network.parameters(), lr=0.003, betas=(0.0, 0.99), eps=epsilon)
    return LocalEngine(network=network, optimizer=optimizer)


def compare(network: nn.Module, expected: dict[str, Tensor]) -> None:
    for name, value in network.state_dict().items():
        torch.testing.assert_close(
            value, expected[name], **CLOSE, msg=lambda m, n=name: f"{n}: {m}"
        )
