"""Algorithm 1 of both papers in plain NumPy, float64, and a training step by it.

Written from the papers alone, so that nothing is shared with what it is compared to. Shapes: B
samples, P pixels, L latent elements, F features.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from tests.support.numpy_networks import (
    Adam,
    Array,
    Params,
    generate,
    gradient,
    judge,
    r1,
    softplus,
)


class Loss(NamedTuple):
    """`predicted`: the codes z′ of generated images that came with it, B × L."""

    total: Array
    figures: dict[str, Array]
    predicted: Array


LossOf = Callable[[Params], Loss]


@dataclass
class Trace:
    """All mean squares of codes so far; the variance is worked out from them anew each time."""

    initial: Array  # L
    decay: float | None  # of the exponential average; None: a window
    window_steps: int = 0
    seen: list[Array] = field(default_factory=list)

    def update(self, codes_BL: Array) -> None:
        self.seen.append((codes_BL * codes_BL).mean(0))

    def variance(self) -> Array:
        if self.decay is None:
            rows = [self.initial] * self.window_steps + self.seen
            mean_L: Array = np.stack(rows[-self.window_steps :]).mean(0)
            return mean_L
        v_L = self.initial
        for row_L in self.seen:
            v_L = self.decay * v_L + (1 - self.decay) * row_L
        return v_L


@dataclass
class Run:
    """Both networks, their optimizers and v_f, v_r.

    `sequential`: D steps first, then G. `r1_every`: steps from one R1 to the next; 1 in the papers.
    """

    g: Params
    d: Params
    adam_g: Adam
    adam_d: Adam
    fake: Trace
    real: Trace
    lambda_enc: float
    lambda_rec: float
    lambda_r1: float
    r1_every: int
    sequential: bool

    def scale(self) -> Array:
        v_L = self.fake.variance()
        s_L: Array = np.sqrt(len(v_L)) * np.sqrt(v_L) / np.linalg.norm(np.sqrt(v_L))
        return s_L

    def discriminator_loss(self, d: Params, x_BP: Array, code_BL: Array, s_L: Array) -> Loss:
        """adv(a_r, a_f) + λ_enc L_enc; G's weights are those of before its step."""
        a_r, _, _ = judge(d, x_BP)
        a_f, predicted_BL, _ = judge(d, generate(self.g, code_BL * s_L))
        left_out = self.adam_d.steps % self.r1_every > 0
        penalty = 0 * a_r.sum() if left_out else self.r1_every * r1(d, x_BP)
        error_BL = (code_BL - predicted_BL) * s_L
        total = (softplus(-a_r) + softplus(a_f)).mean() + self.lambda_r1 * penalty
        total = total + self.lambda_enc * (error_BL * error_BL).mean()
        figures = {"loss/d": total, "loss/r1": penalty, "d/real": a_r.mean()}
        return Loss(total, figures, predicted_BL)

    def descend(self, loss_d: LossOf, loss_g: LossOf) -> tuple[Loss, Loss]:
        """One step of each network; `loss_g` reads D from here. What both losses were."""
        d_before, toward_d = loss_d(self.d), gradient(lambda d: loss_d(d).total, self.d)
        if self.sequential:
            self.d = self.adam_d.step(self.d, toward_d)
        g_before, toward_g = loss_g(self.g), gradient(lambda g: loss_g(g).total, self.g)
        if not self.sequential:
            self.d = self.adam_d.step(self.d, toward_d)
        self.g = self.adam_g.step(self.g, toward_g)
        return d_before, g_before


def dlsgan_step(
    run: Run,
    x_BP: Array,
    noise: dict[str, Array],
    *,
    scale: str = "dls",
    encoder_loss_to: str = "dg",
) -> dict[str, Array]:
    """DLSGAN Algorithm 1 and a step of both networks; the losses of before it."""
    s_L = np.ones(noise["z"].shape[1]) if scale == "mse" else run.scale()  # l. 2
    z_BL = noise["z"]  # l. 1
    z_g_BL = noise["z_generator"] if run.sequential else z_BL

    def loss_g(g: Params) -> Loss:
        a_g, predicted_BL, _ = judge(run.d, generate(g, z_g_BL * s_L))  # l. 3
        error_BL = (z_g_BL - predicted_BL) * s_L
        l_enc = (error_BL * error_BL).mean()  # l. 4
        total = softplus(-a_g).mean()  # l. 7
        total = total + (run.lambda_enc * l_enc if encoder_loss_to == "dg" else 0)
        figures = {"loss/g": total, "loss/enc": l_enc, "d/fake": a_g.mean()}
        return Loss(total, figures, predicted_BL)

    l_d, l_g = run.descend(lambda d: run.discriminator_loss(d, x_BP, z_BL, s_L), loss_g)  # l. 5–6
    both = np.concatenate([l_d.predicted, l_g.predicted])
    run.fake.update(both if run.sequential else l_d.predicted)  # l. 8
    return {**l_d.figures, **l_g.figures}


def pvdgan_step(
    run: Run,
    x_BP: Array,
    noise: dict[str, Array],
    *,
    share_trace: bool = False,
    vae_half: str = "last",
    feature: str = "first",
) -> dict[str, Array]:
    """PVDGAN Algorithm 1 and a step of both networks; the losses of before it."""
    half = len(x_BP) // 2
    vae = slice(half, None) if vae_half == "last" else slice(0, half)
    prior = slice(0, half) if vae_half == "last" else slice(half, None)
    s_L = run.scale()  # l. 2
    _, z_r_BL, y_r_BF = judge(run.d, x_BP, feature)  # l. 3
    v_r_L = (run.fake if share_trace else run.real).variance()
    z_BL = (noise["z_generator"] if run.sequential else noise["z"]).copy()  # l. 4
    z_BL[vae] = z_r_BL[vae] + z_BL[vae] * np.sqrt(np.maximum(1 - v_r_L, 0))
    # The author's later code trains encoders on prior samples alone.
    z_d_BL = noise["z"] if run.sequential else z_BL
    encoded = prior if run.sequential else slice(None)

    def loss_g(g: Params) -> Loss:
        a_f, predicted_BL, y_BF = judge(run.d, generate(g, z_BL * s_L), feature)  # l. 5
        error_BL = ((z_BL - predicted_BL) * s_L)[encoded]
        l_enc = (error_BL * error_BL).mean()  # l. 6
        distance_BF = y_r_BF[vae] - y_BF[vae]
        l_rec = (distance_BF * distance_BF).sum() / (half * y_BF.shape[1])  # l. 7
        total = softplus(-a_f).mean() + run.lambda_enc * l_enc + run.lambda_rec * l_rec  # l. 9
        figures = {"loss/g": total, "loss/enc": l_enc, "loss/rec": l_rec, "d/fake": a_f.mean()}
        return Loss(total, figures, predicted_BL)

    l_d, l_g = run.descend(lambda d: run.discriminator_loss(d, x_BP, z_d_BL, s_L), loss_g)  # l. 8
    both = np.concatenate([l_d.predicted, l_g.predicted[prior]])
    run.real.update(z_r_BL)  # l. 10
    run.fake.update(both if run.sequential else l_d.predicted)  # l. 11
    return {**l_d.figures, **l_g.figures}
