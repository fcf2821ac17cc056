"""Latent statistics: the variance trace v, the latent scale s and the entropy of z ∘ s.

Paper: J. Cho, "Dynamic Latent Scale GAN" (DLSGAN), Algorithm 1 l. 2 and l. 8; "Efficient
Integration of Perceptual VAE Into Dynamic Latent Scale GAN" (PVDGAN), eq. 1.

    v   variance of each element of the predicted latent code   `variance_L`, float64
    s   latent scale, mean(s²) = 1                              `scale_L`
    k   samples in the moving window                            `window_samples`

A trace is a plain tensor, and pure functions update and read it. So a trace can be saved, compared
over ranks and tested in isolation. Shapes: L latent elements, K steps in the window.
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ganinv.errors import ConfigError
from ganinv.horizons import checked_half_life, decay_at
from ganinv.schedules import Scheduled, extremes, scheduled

ACTIVE_VARIANCE = 0.1  # "active" elements lie above it; released traces have none in 0.1–0.5


@dataclass(frozen=True, kw_only=True, slots=True)
class TraceConfig:
    """How v follows the predicted codes (DLSGAN Alg. 1 l. 8, `update`).

    `ema`: v ← decay · v + (1 − decay) · mean(z′²), as in the PVDGAN paper.
    `window`: the mean over the last `window_samples` samples, as in the DLSGAN paper (512 × 16).
    """

    kind: Literal["ema", "window"] = "ema"
    decay: Scheduled = 0.999  # per step
    half_life: Scheduled | None = None  # images; replaces `decay`, and holds for every global batch
    window_samples: int = 8192
    # v before the first step: 1 in the author's 2021 code, 0.5 in 2023, 1e-4 in 2024.
    initial: float = 1.0
    # True: v is a weighted mean of the steps so far, and `initial` counts in the first step alone.
    bias_corrected: bool = False

    def __post_init__(self) -> None:
        decay = scheduled(self.decay, "decay")
        low, high = extremes(decay)
        if not (low > 0 and high < 1):
            raise ConfigError(f"decay = {self.decay}: must lie between 0 and 1, for example 0.999")
        object.__setattr__(self, "decay", decay)  # the class is frozen; nobody has read it yet
        if self.half_life is not None:
            object.__setattr__(self, "half_life", checked_half_life(self.half_life, "half_life"))
        checked_initial(self.initial, "initial")
        if self.bias_corrected and self.kind != "ema":
            raise ConfigError(
                f"bias_corrected = True: kind = {self.kind!r} has no decay to correct; give "
                "kind=ema, or bias_corrected=false"
            )
        if self.window_samples < 1:
            raise ConfigError(f"window_samples = {self.window_samples}: must be at least 1")


def checked_initial(initial: float, key: str) -> float:
    """`initial`, a variance before the first step. Raises `ConfigError` if it is not above 0."""
    if initial <= 0:
        raise ConfigError(f"{key} = {initial}: a variance must be above 0, e.g. 1.0")
    return initial


def new_trace(
    config: TraceConfig, latent_size: int, global_batch: int, initial: float | None = None
) -> Tensor:
    """The trace before the first step: L for `ema`, K × L (a full window) for `window`.

    `initial`: its value, in place of the configuration's.
    """
    if config.kind == "ema":
        shape: tuple[int, ...] = (latent_size,)
    else:
        if config.window_samples % global_batch:
            raise ConfigError(
                f"window_samples = {config.window_samples}: not a multiple of the global batch "
                f"{global_batch}; choose one, for example {512 * global_batch}"
            )
        shape = (config.window_samples // global_batch, latent_size)
    value = config.initial if initial is None else initial
    return torch.full(shape, value, dtype=torch.float64)


def trace_variance(trace: Tensor) -> Tensor:
    """v_L of a trace of either kind."""
    return trace if trace.ndim == 1 else trace.mean(0)


def update_trace(
    config: TraceConfig, trace: Tensor, mean_square_L: Tensor, images_seen: int, global_batch: int
) -> Tensor:
    """The trace after a step that began at `images_seen` (DLSGAN Alg. 1 l. 8).

    `mean_square_L`: mean(z′²) over the step's `global_batch` images.
    """
    if config.kind == "ema":
        decay = decay_at(config.decay, config.half_life, images_seen, global_batch)
        if config.bias_corrected:
            decay = bias_corrected(decay, images_seen // global_batch)
        return decay * trace + (1 - decay) * mean_square_L
    return torch.cat([trace[1:], mean_square_L[None]])


def bias_corrected(decay: float, steps: int) -> float:
    """The decay of the step that follows `steps` others, such that no initial value has weight.

    With this decay, v equals v / (1 − decay^t) of an average that starts at zero (D. Kingma, J. Ba,
    "Adam", Algorithm 1). Where the decay changes in training, the present one stands for all
    earlier ones.
    """
    return (decay - decay ** (steps + 1)) / (1 - decay ** (steps + 1))


def latent_scale(variance_L: Tensor) -> Tensor:
    """s = √d · √v / ‖√v‖₂  (PVDGAN eq. 1; ‖v‖₂ in DLSGAN Alg. 1 l. 2 is a misprint).

    Returns float64; mean(s²) = 1 always.
    """
    deviation_L = variance_L.double().sqrt()
    norm = deviation_L.square().sum().sqrt()
    return deviation_L * math.sqrt(variance_L.numel()) / norm


def latent_entropy_nats(scale_L: Tensor) -> float:
    """Differential entropy of z ∘ s, z ~ N(0, I): Σ ln(s_i √(2πe)). Largest if all s are 1."""
    return float((scale_L.double().log() + 0.5 * math.log(2 * math.pi * math.e)).sum())


def active_elements(variance_L: Tensor) -> int:
    """Number of elements that carry information: v_i > 0.1."""
    return int((variance_L > ACTIVE_VARIANCE).sum())


def effective_elements(variance_L: Tensor) -> float:
    """Participation ratio (Σv)² / Σv²; equals L if all elements have the same variance."""
    v_L = variance_L.double()
    return float(v_L.sum().square() / v_L.square().sum())
