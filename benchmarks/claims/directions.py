"""DEDGAN: the discriminator recovers the direction that generated an image."""

from collections.abc import Callable, Sequence
from functools import partial

from benchmarks.claims.claim import Claim, Expectation, Row, Runs, last
from benchmarks.claims.latent_scale import case
from ganinv.latents.hypersphere import Hypersphere
from ganinv.schedules import Schedule

IMAGES = 64_000
SIZES = (15, 63)  # angles
# The paper raises the weight "after some training"; here at half of it.
WEIGHT = Schedule(kind="step", start=1.0, factor=10.0, every=IMAGES // 2, end=10.0)


def trained(size: int) -> Callable[[int], Sequence[Row]]:
    return partial(case, "dedgan", {"lambda_emb": WEIGHT}, size, IMAGES, trace={})


def share(size: int) -> Callable[[Runs, int], float]:
    """The error at the end, as a share of that of an encoder without information."""
    nothing = Hypersphere(size).uninformed_error()
    return lambda runs, seed: last(runs, f"angles-{size}", seed, "enc") / nothing


CLAIM = Claim(
    name="directions",
    title="DEDGAN: the direction of D's output is the code of the image",
    text="DEDGAN §2. `enc` is the embedding loss, the tangent of the angle between the code of a "
    "generated image and the direction of D's output, by the averaged weights.",
    cases={f"angles-{size}": trained(size) for size in SIZES},
    expectations=tuple(
        Expectation(
            text=f"{size} angles: enc at the end, as a share of that without information",
            value=share(size),
            at_most=0.6,
        )
        for size in SIZES
    ),
    curves=(("enc", "L_emb"), ("psnr_generated", "PSNR, generated (dB)")),
)
