"""PVDGAN: the perceptual VAE loss against DLSGAN and against its own parts, on held-out images."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from benchmarks.claims.claim import Claim, Expectation, Row, Runs, last
from benchmarks.claims.latent_scale import case

IMAGES = 64_000
SIZE = 64


def trained(method: str, **options: Any) -> Callable[[int], Sequence[Row]]:
    return partial(case, method, options, SIZE, IMAGES)


def less(figure: str, name: str) -> Callable[[Runs, int], float]:
    """PVDGAN's figure less that of another case."""
    return lambda runs, seed: last(runs, "pvdgan", seed, figure) - last(runs, name, seed, figure)


def ratio(name: str) -> Callable[[Runs, int], float]:
    """PVDGAN's factor error as a share of another case's."""
    return lambda runs, seed: (
        last(runs, "pvdgan", seed, "factor_error") / last(runs, name, seed, "factor_error")
    )


CLAIM = Claim(
    name="perceptual-vae",
    title="PVDGAN: real images are reconstructed better than by DLSGAN",
    text="PVDGAN §3–4. `dls-dg` is DLSGAN; `vae-half` reconstructs half of each batch but has no "
    "L_rec; `pixels` has L_rec of pixels in place of features. Held-out discs; `factor_error` is "
    "the error of the eight true factors, read off the reconstruction by a frozen network that was "
    "trained on the truth alone, over their variance.",
    cases={
        "dls-dg": trained("dlsgan", encoder_loss_to="dg"),
        "pvdgan": trained("pvdgan"),
        "vae-half": trained("pvdgan", lambda_rec=0.0),
        "pixels": trained("pvdgan", reconstruct="pixels"),
    },
    expectations=(
        Expectation(
            text="factor error of PVDGAN, as a share of DLS-DG's",
            value=ratio("dls-dg"), at_most=0.8,
        ),
        Expectation(
            text="PSNR of held-out images, PVDGAN less DLS-DG, in dB",
            value=less("psnr_test", "dls-dg"), at_least=1.0,
        ),
        Expectation(
            text="factor error of PVDGAN, as a share of the VAE half's",
            value=ratio("vae-half"), at_most=0.9,
        ),
        Expectation(
            text="factor error of PVDGAN, as a share of that with pixels",
            value=ratio("pixels"), at_most=1.0,
        ),
    ),
    curves=(("factor_error", "error of factors"), ("psnr_test", "PSNR, held out (dB)")),
)  # fmt: skip
