"""DLSGAN: the latent scale against plain squared error, where the code is too large or not."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from benchmarks.claims.claim import Claim, Expectation, Row, Runs, last
from benchmarks.claims.discs import RESOLUTION, TRAIN, discs
from benchmarks.claims.measures import measure
from benchmarks.small_training import Training, run

IMAGES = 32_000
LOOK_EVERY = 4_000
BATCH = 16
SIZES = (32, 256)
TRACE = {"decay": 0.995}  # of the methods that have one
NETWORK = {"width": 16, "max_width": 32}


def case(
    method: str, options: dict[str, Any], size: int, images: int, seed: int, trace: Any = TRACE
) -> Sequence[Row]:
    """Figures every `LOOK_EVERY` images of a training on discs."""
    training = Training(
        method=method,
        options=options,
        trace=trace,
        network={**NETWORK, "latent_size": size},
        resolution=RESOLUTION,
        train={"global_batch": BATCH, "learning_rate": 0.003, "weight_average": 0.99,
               "flip": False},
    )  # fmt: skip
    rows: list[Row] = []
    for session in run(training, discs()[0][:TRAIN], seed):
        if session.images_seen % LOOK_EVERY == 0:
            rows.append(measure(session))
        if session.images_seen >= images:
            break
    return rows


def dlsgan(scale: str, size: int) -> Callable[[int], Sequence[Row]]:
    return partial(case, "dlsgan", {"scale": scale, "encoder_loss_to": "dg"}, size, IMAGES)


def enc(name: str) -> Callable[[Runs, int], float]:
    return lambda runs, seed: last(runs, name, seed, "enc")


def gain_db(runs: Runs, seed: int) -> float:
    dls, mse = (last(runs, f"{name}-256", seed, "psnr_generated") for name in ("dls", "mse"))
    return dls - mse


CLAIM = Claim(
    name="latent-scale",
    title="DLSGAN: with the latent scale the code converges, with squared error it cannot",
    text="DLSGAN §2–3: if the code has more elements than an image carries, the squared error of "
    "the code cannot fall. Discs carry 8 factors; codes have 32 and 256 elements. `dls` is DLSGAN, "
    "`mse` the same with s = 1. `enc` is the error of codes of generated images; 1 says nothing.",
    cases={f"{scale}-{size}": dlsgan(scale, size) for size in SIZES for scale in ("dls", "mse")},
    expectations=(
        Expectation(text="mse, 256 elements: enc at the end", value=enc("mse-256"), at_least=0.9),
        Expectation(text="dls, 256 elements: enc at the end", value=enc("dls-256"), at_most=0.5),
        Expectation(
            text="32 elements: enc of dls less that of mse",
            value=lambda runs, seed: enc("dls-32")(runs, seed) - enc("mse-32")(runs, seed),
            at_most=-0.1,
        ),
        Expectation(
            text="256 elements: PSNR of inverted generated images, dls less mse, in dB",
            value=gain_db,
            at_least=3.0,
        ),
    ),
    curves=(("enc", "L_enc"), ("psnr_generated", "PSNR, generated (dB)")),
)
