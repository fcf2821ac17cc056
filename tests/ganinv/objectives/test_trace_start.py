"""How the variance traces of PVDGAN begin."""

from typing import Any

import pytest
import torch

from ganinv.errors import ConfigError
from ganinv.latent_scale import TraceConfig
from ganinv.objectives.base import MicroBatch
from ganinv.objectives.pvdgan import Config, Objective

LATENT = 5


def test_each_trace_has_its_own_start() -> None:
    trace = TraceConfig(initial=0.7)
    for config, real in (
        (Config(trace=trace), 0.7),
        (Config(trace=trace, initial_real=1e-4), 1e-4),
    ):
        state = Objective(config, LATENT).new_state(4)
        assert state["fake"].tolist() == [0.7] * LATENT
        assert state["real"].tolist() == [real] * LATENT


def test_codes_of_real_images_get_the_noise_that_the_start_leaves_them() -> None:
    objective = Objective(Config(initial_real=0.19), LATENT)
    noise_NL, latent_NL = torch.randn(2, LATENT), torch.randn(2, LATENT)
    vae_N = torch.tensor([False, True])
    codes = objective.codes(noise_NL, latent_NL, vae_N, objective.new_state(4))
    assert torch.equal(codes[0], noise_NL[0])
    torch.testing.assert_close(codes[1], latent_NL[1] + 0.9 * noise_NL[1])


@pytest.mark.parametrize("reconstruct", ["features", "pixels"])
def test_the_vae_loss_compares_features_or_pixels(reconstruct: Any) -> None:
    objective = Objective(Config(reconstruct=reconstruct), LATENT)
    real, made = torch.randn(2, 2, 3, 4, 4, dtype=torch.float64)
    feature_NF, other_NF = torch.randn(2, 2, 7, dtype=torch.float64)
    batch = MicroBatch(
        images_seen=0,
        real_NCHW=real,
        slots_N=torch.arange(2),
        global_batch=2,
        micro_batches=1,
        noise={},
    )
    found = objective.reconstruction(batch, feature_NF, other_NF, made, torch.tensor([False, True]))
    compared = (feature_NF, other_NF) if reconstruct == "features" else (real, made)
    torch.testing.assert_close(found, (compared[0][1] - compared[1][1]).square().mean())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"initial_real": 0.0}, "initial_real = 0.0: a variance must be above 0"),
        ({"initial_real": 0.5, "share_trace": True}, r"initial_real = 0\.5.*trace\.initial"),
    ],
)
def test_impossible_starts_are_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Config(**options)  # type: ignore[arg-type]
