"""What was expected of R3GAN's networks and losses, of pairs and of augmentation."""

from collections.abc import Callable

from benchmarks.claims.claim import Claim, Expectation, Runs, last
from benchmarks.quality import stacked
from benchmarks.quality.trainings import AUGMENTED, DEMO, Case
from ganinv.augmentation.options import AugmentConfig
from ganinv.schedules import Schedule

CURVES = (("psnr", "PSNR, held out (dB)"), ("enc", "L_enc"))
FIGURES = (
    "`fd` is the Fréchet distance of 1,024 generated images from as many held-out ones, `psnr` "
    "that of reconstructions of held-out images, `enc` the error of codes of generated images, "
    "`cpu_s` the processor time that the training took."
)


def share(figure: str, name: str, other: str) -> Callable[[Runs, int], float]:
    return lambda runs, seed: last(runs, name, seed, figure) / last(runs, other, seed, figure)


def gain(figure: str, name: str, other: str) -> Callable[[Runs, int], float]:
    return lambda runs, seed: last(runs, name, seed, figure) - last(runs, other, seed, figure)


def better(name: str, other: str, *, fd: float = 1.0, psnr: float = 0.0) -> tuple[Expectation, ...]:
    """`name` has at most `fd` times the distance of `other`, and at least `psnr` dB more."""
    return (
        Expectation(
            text=f"fd of {name}, as a share of that of {other}",
            value=share("fd", name, other), at_most=fd,
        ),
        Expectation(
            text=f"PSNR of {name} less that of {other}, in dB",
            value=gain("psnr", name, other), at_least=psnr,
        ),
    )  # fmt: skip


FACES = Claim(
    name="faces",
    title="R3GAN's networks, its loss and its pairs on drawn faces",
    text="`conv`: PVDGAN with its own networks and losses. `r3gan`: R3GAN's, with PVDGAN's "
    "encoder; `nonsaturating`: the same with R1 and R2, but without pairs. In PVDGAN's half of the "
    "batch the relativistic loss of `r3gan` compares an image with its own reconstruction (a "
    "hypothesis: D then learns what the reconstruction lacks), that of `shuffled` with another "
    "generated image. `demo` is `conv` in batches of 16, with a learning rate that falls from "
    "0.02 to 0.0005 along a cosine, in place of batches of 8 and 0.006. These settings were found "
    "after the other runs, on seed 0, half of these images and the same held-out ones. "
    f"{FIGURES} Features: EfficientNet-Lite0.",
    cases={
        "conv": Case(family="conv"),
        "demo": Case(
            family="conv",
            end=DEMO,
            train={
                "global_batch": 16,
                "learning_rate": Schedule(kind="cosine", start=0.02, end=0.0005, until=DEMO),
            },
        ),
        "r3gan": Case(family="r3gan"),
        "nonsaturating": Case(family="r3gan", options={"adversarial": "nonsaturating"}),
        "shuffled": Case(family="r3gan", options={"pairing": "shuffled"}),
    },
    expectations=(
        *better("r3gan", "conv"),
        *better("r3gan", "nonsaturating"),
        *better("r3gan", "shuffled", psnr=0.3),
        *better("demo", "conv", fd=0.9, psnr=1.0),
    ),
    curves=CURVES,
)
CLOTHES = Claim(
    name="clothes",
    title="R3GAN's networks and losses on Fashion-MNIST",
    text="`conv` and `r3gan` as above. Features: a network that was trained on the labels of the "
    "same images, so that distances compare rows of this table alone.",
    cases={
        "conv": Case(family="conv", images="fashion32"),
        "r3gan": Case(family="r3gan", images="fashion32"),
    },
    expectations=better("r3gan", "conv"),
    curves=CURVES,
)
FEW = Claim(
    name="few",
    title="1,000 images: D that sees augmented images against D that sees each as it is",
    text="`none`: PVDGAN on 1,000 drawn faces. `adaptive`: the same with ADA's augmentation, whose "
    "p moves by 1 in 20,000 images at most (ADA: 500,000, of 25 million). Both take the same time. "
    "Held-out faces, none of which is among the 1,000. Features: EfficientNet-Lite0.",
    cases={
        "none": Case(family="conv", most=1_000),
        "adaptive": Case(
            family="conv",
            options={"augment": AugmentConfig(kind="adaptive", speed_images=20_000)},
            most=1_000,
            end=AUGMENTED,
        ),
    },
    expectations=better("adaptive", "none", fd=0.9),
    curves=CURVES,
)
CLAIMS = {claim.name: claim for claim in (FACES, CLOTHES, FEW, stacked.CLAIM)}
