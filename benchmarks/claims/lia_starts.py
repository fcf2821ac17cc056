"""LIA's figs. 8–11: inversion by optimisation from the encoder, the mean and random codes."""

from collections.abc import Callable, Sequence

import torch

from benchmarks.claims import models
from benchmarks.claims.claim import Claim, Expectation, Row, Runs, last
from ganinv.inversion.optimise import Optimisation, OptimiseConfig
from ganinv.pictures import to_signed

IMAGES = 16  # held out
STEPS, LOOK_EVERY = 300, 20
SPACES, STARTS = ("y", "z"), ("encoder", "mean", "random")


def case(space: str, start: str) -> Callable[[int], Sequence[Row]]:
    """The mean error of the images by steps of descent."""

    def run(seed: int) -> Sequence[Row]:
        data, _ = models.judged("avatars32")
        config = OptimiseConfig(
            steps=STEPS, space=space, starts=[start], random_starts=1, seed=seed, features="none",
            learning_rate=0.01, patience=STEPS,
        )  # fmt: skip
        search = Optimisation(models.trained("lia", "avatars32", seed), config)
        found = search(to_signed(data.test_BCHW[:IMAGES]))
        (error_NT,) = found.error.values()
        # The best so far: what a person keeps. An image that has stopped keeps its last value.
        best_NT = torch.where(error_NT.isnan(), torch.inf, error_NT).cummin(1).values
        return [
            {"steps": step, "mse": 1000 * float(best_NT[:, step].mean())}
            for step in range(0, best_NT.shape[1], LOOK_EVERY)
        ]

    return run


def end(case_: str) -> Callable[[Runs, int], float]:
    return lambda runs, seed: last(runs, case_, seed, "mse")


def share(case_: str, other: str) -> Callable[[Runs, int], float]:
    return lambda runs, seed: end(case_)(runs, seed) / end(other)(runs, seed)


CLAIM = Claim(
    name="lia-starts",
    title="LIA: optimisation from the encoder's code ends best, and better in y than in z",
    text="LIA, figs. 8–11: descent on the squared error of 16 held-out faces, from f(x), the mean "
    "and a random code, over styles y and over codes z = φ(y). `mse` × 10³, the best so far.",
    cases={f"{space}-{start}": case(space, start) for space in SPACES for start in STARTS},
    expectations=(
        *(
            Expectation(
                text=f"y: mse from the encoder, as a share of that from {start}",
                value=share("y-encoder", f"y-{start}"), at_most=1.0,
            )
            for start in ("mean", "random")
        ),
        *(
            Expectation(
                text=f"mse in y, as a share of that in z, from {start}",
                value=share(f"y-{start}", f"z-{start}"), at_most=1.0,
            )
            for start in STARTS
        ),
    ),
    curves=(("mse", "squared error × 10³"),),
    by="steps",
)  # fmt: skip
