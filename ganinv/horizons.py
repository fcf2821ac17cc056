"""How far back an exponential average reaches: as a decay per step, or as a half-life in images.

With a decay per step (as in the papers), an average at twice the global batch reaches back over
twice as many images. With a half-life in images (as in StyleGAN, Karras et al. 2020, `ema_kimg`),
the reach does not depend on the global batch: decay = ½^(batch / half-life).
"""

import math

from ganinv.errors import ConfigError
from ganinv.schedules import Scheduled, extremes, scheduled, value_at


def checked_half_life(value: Scheduled, key: str) -> Scheduled:
    """A half-life in images, a number or a schedule. Raises `ConfigError` if it is not above 0."""
    half_life = scheduled(value, key)
    if extremes(half_life)[0] <= 0:
        raise ConfigError(f"{key} = {value}: must be above 0 images")
    return half_life


def decay_at(
    decay: Scheduled,
    half_life: Scheduled | None,
    images_seen: int,
    global_batch: int,
    ramp: float | None = None,
) -> float:
    """The decay of the step that begins at `images_seen`.

    `ramp`: limits the half-life to this share of the images seen, so that an average forgets the
    initial weights sooner (`ema_rampup` = 0.05 in StyleGAN).
    """
    if half_life is None:
        return value_at(decay, images_seen)
    images = value_at(half_life, images_seen)
    if ramp is not None:
        images = min(images, ramp * images_seen)
    return float(0.5 ** (global_batch / images)) if images > 0 else 0.0


def half_life_images(decay: float, global_batch: int) -> float:
    """The half-life in images of an average with this decay per step; 0 if the decay is 0."""
    return global_batch * math.log(0.5) / math.log(decay) if decay > 0 else 0.0
