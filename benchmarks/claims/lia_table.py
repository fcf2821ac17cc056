"""LIA's table 3 with all systems, on drawn faces and on Fashion-MNIST at 32 pixels."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from benchmarks.claims import models
from benchmarks.claims.claim import Claim, Expectation, Row, Runs, last
from benchmarks.systems.figures import by_encoder, by_optimisation
from benchmarks.systems.strips import reconstructions
from benchmarks.systems.training import IMAGES, SYSTEMS

OPTIMISED = "mse-opt"
BASELINES = (OPTIMISED, "stylegan-encoder", "vaegan", "ali")  # of the paper


def case(system: str, images: str) -> Callable[[int], Sequence[Row]]:
    """A row of the table. `mse-opt` searches codes of LIA's generator."""

    def run(seed: int) -> Sequence[Row]:
        data, judge = models.judged(images)
        model = models.trained("lia" if system == OPTIMISED else system, images, seed)
        measure = by_optimisation if system == OPTIMISED else by_encoder
        return [{"images": IMAGES, **measure(model, data, judge)}]

    return run


def pictures(images: str, file: Path) -> str:
    """Reconstructions by the models of the first seed."""
    found = {name: models.trained(name, images, 0) for name in SYSTEMS}
    return f"Rows: {reconstructions(found, models.judged(images)[0], file)}; seed 0"


def share(figure: str, baseline: str) -> Callable[[Runs, int], float]:
    """LIA's figure as a share of a baseline's."""
    return lambda runs, seed: last(runs, "lia", seed, figure) / last(runs, baseline, seed, figure)


def claim(images: str, title: str) -> Claim:
    return Claim(
        name=f"lia-table-{images}",
        title=f"LIA inverts better than its baselines: {title}",
        text="LIA, table 3: LIA has the lowest error of reconstructions of held-out images (`mse`, "
        "× 10³), the lowest sliced Wasserstein distance (`swd`, patches, × 10³) and the lowest "
        "Fréchet distance of reconstructions (`rfd`). Features are those of a network that was "
        "trained on the labels of the same images, so distances compare rows of this table alone. "
        "`mse-opt` searches codes of LIA's generator from the mean; `stylegan-encoder` is LIA "
        "without the invertible network. `dlsgan`, `pvdgan` and `dedgan` are not in the paper. "
        "`fd` is the distance of generated images; `cpu_ms` the time of one inversion.",
        cases={name: case(name, images) for name in (*SYSTEMS, OPTIMISED)},
        expectations=tuple(
            Expectation(
                text=f"{figure} of LIA, as a share of that of {baseline}",
                value=share(figure, baseline), at_most=1.0,
            )
            for figure in ("mse", "swd", "rfd")
            for baseline in BASELINES
        ),
        curves=(),
        pictures=partial(pictures, images),
    )  # fmt: skip


FACES = claim("avatars32", "drawn faces")
CLOTHES = claim("fashion32", "Fashion-MNIST")
