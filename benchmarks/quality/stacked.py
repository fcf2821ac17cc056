"""Stacked digits: how many of 1,000 kinds of images a generator makes.

Metz et al. 2017, arXiv 1611.02163, §3.3.1: three random digits of MNIST are the red, green and blue
of one image; a network that knows digits reads each channel of generated images. As usual, 25,600
images are counted, `kl` is KL(generated ‖ uniform) in nats.
"""

import functools
from collections.abc import Sequence

import torch
from torch import Tensor

from benchmarks.claims import models
from benchmarks.claims.claim import Claim, Expectation, Row, last
from benchmarks.quality.trainings import BATCH, LOSSES, NETWORKS, rates
from benchmarks.small_training import Training, run
from benchmarks.systems.classifier import Judge, judge
from benchmarks.systems.photographs import RESOLUTION, photographs
from ganinv.errors import ConfigError
from ganinv.training.session import Session
from launch.editing.labels import Label

IMAGES, LOOKS = 96_000, 4
STACKS = 49_152  # different images to train on
COUNTED, AT_ONCE = 25_600, 256
DIGITS = 10


@functools.cache
def _digits() -> tuple[Tensor, Judge]:
    """Stacks of digits, uint8 B × 3 × H × W, and a network that reads grey digits."""
    if models.PLACES.digits is None:
        raise ConfigError("--digits: name a data set of MNIST; docs/data.md builds one")
    data = photographs("digits32", models.PLACES.digits)
    reader = judge(data, [Label.parse(f"label={digit}") for digit in range(DIGITS)], seed=0)
    generator = torch.Generator().manual_seed(0)
    chosen_B3 = torch.randint(len(data.train_BCHW), (STACKS, 3), generator=generator)
    return data.train_BCHW[:, 0][chosen_B3], reader


def case(seed: int) -> Sequence[Row]:
    stacks_BCHW, reader = _digits()
    training = Training(
        method="dlsgan",
        options=LOSSES["r3gan"],
        network=NETWORKS["r3gan"],
        family="r3gan",
        resolution=RESOLUTION,
        train={
            "global_batch": BATCH,
            "weight_average": 0.998,
            "flip": False,
            **rates("r3gan", IMAGES),
        },
    )
    rows: list[Row] = []
    for session in run(training, stacks_BCHW, seed):
        if session.images_seen % (IMAGES // LOOKS) == 0:
            rows.append({"images": session.images_seen} | counted(session, reader))
        if session.images_seen == IMAGES:
            break
    return rows


@torch.no_grad()
def counted(session: Session, reader: Judge) -> dict[str, float]:
    """Kinds among generated images, and how far from equally often they come."""
    model, found_K = session.model(), torch.zeros(DIGITS**3, dtype=torch.float64)
    for first in range(0, COUNTED, AT_ONCE):
        made_BCHW = model.decode(model.prior(range(first, first + AT_ONCE), seed=0)).clamp(-1, 1)
        found_K += kinds(made_BCHW, reader).bincount(minlength=DIGITS**3)
    share_K = found_K / found_K.sum()
    return {
        "modes": float((found_K > 0).sum()),
        "kl": float(torch.special.xlogy(share_K, share_K * DIGITS**3).sum()),
    }


def kinds(image_BCHW: Tensor, reader: Judge) -> Tensor:
    """The number 0 … 999 that the channels of each image show."""
    grey_BCHW = image_BCHW.flatten(0, 1)[:, None].expand(-1, 3, -1, -1)
    digit_B3: Tensor = reader.head(reader.features(grey_BCHW)).argmax(1).view(-1, 3)
    place_3 = torch.tensor([100, 10, 1])
    return (digit_B3 * place_3).sum(1)


CLAIM = Claim(
    name="stacked-digits",
    title="R3GAN with an encoder finds all kinds of stacked digits",
    text="Three digits of MNIST are the channels of an image: 1,000 kinds. `modes` counts those "
    "among 25,600 generated images, `kl` is their divergence from equal shares, in nats. DLSGAN on "
    "the family `r3gan`, relativistic loss, R1 and R2, eleven minutes of one core. The runs shown "
    "had 9,000 digits to stack.",
    cases={"r3gan": case},
    expectations=(
        Expectation(
            text="kinds found",
            value=lambda runs, seed: last(runs, "r3gan", seed, "modes"),
            at_least=990,
        ),
    ),
    curves=(("modes", "kinds of 1,000"),),
)
