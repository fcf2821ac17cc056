"""The options of augmentation, `objective.augment.…`."""

from dataclasses import dataclass
from typing import Literal

from ganinv.errors import ConfigError
from ganinv.schedules import Schedule, Scheduled, extremes, scheduled, value_at

GROUPS = ("blit", "geometry", "colour", "cutout")


@dataclass(frozen=True, kw_only=True, slots=True)
class AugmentConfig:
    """Whether D judges augmented images, how often, and which transformations there are.

    A transformation acts on an image with probability p times the share of its group. The defaults
    are ADA's (`bgc` in the authors' code).
    """

    kind: Literal["none", "fixed", "adaptive"] = "none"
    p: Scheduled = 0.0  # fixed: a number or a schedule; adaptive: the number before the first step
    # Adaptive (§3): p rises while r_t, the mean sign of D's values at real images, is above the
    # target, and else falls.
    target: float = 0.6
    speed_images: int = 500_000  # in which p moves by 1 at most
    interval: int = 4  # steps from one move of p to the next
    blit: float = 1.0  # x-flips, rotations by 90°, translations by whole pixels
    geometry: float = 1.0  # scale, rotation, anisotropic scale, translations
    colour: float = 1.0  # brightness, contrast, luma flip, hue, saturation; R3GAN: 0.5
    cutout: float = 0.0  # a grey rectangle of half the height and width; R3GAN: 1

    def __post_init__(self) -> None:
        p = scheduled(self.p, "p")
        low, high = extremes(p)
        if not 0 <= low <= high <= 1:
            raise ConfigError(f"p = {self.p}: a probability lies in [0, 1], for example 0.3")
        object.__setattr__(self, "p", p)  # frozen, and set before anybody sees it
        if self.kind == "none" and p != 0:
            raise ConfigError(
                f"p = {self.p}: kind = none has no augmentation; also give kind=fixed or "
                "kind=adaptive, or leave it out"
            )
        if self.kind == "adaptive" and isinstance(p, Schedule):
            raise ConfigError(
                f"p = {self.p}: kind = adaptive moves p by itself; give the number before the "
                "first step, or kind=fixed for a schedule"
            )
        if not 0 < self.target < 1:
            raise ConfigError(
                f"target = {self.target}: the mean of signs must lie between 0 (D cannot decide) "
                "and 1 (D is always right), for example 0.6"
            )
        for key in ("speed_images", "interval"):
            if getattr(self, key) < 1:
                raise ConfigError(f"{key} = {getattr(self, key)}: must be at least 1")
        self._check_groups()

    def _check_groups(self) -> None:
        shares = {key: getattr(self, key) for key in GROUPS}
        for key, share in shares.items():
            if not 0 <= share <= 1:
                raise ConfigError(
                    f"{key} = {share}: must lie in [0, 1], from never to as often as p says"
                )
        if self.kind != "none" and not any(shares.values()):
            raise ConfigError(
                f"kind = {self.kind}: {', '.join(shares)} are all 0, so nothing is augmented; "
                "raise one of them, or give kind=none"
            )

    @property
    def on(self) -> bool:
        return self.kind != "none"

    @property
    def resamples(self) -> bool:
        """Whether images are sampled between their pixels."""
        return self.on and (self.blit > 0 or self.geometry > 0)

    @property
    def adaptive(self) -> bool:
        return self.kind == "adaptive"

    def at(self, images_seen: int) -> float | None:
        """p for the step that begins at `images_seen`; None where the state holds it."""
        return None if self.adaptive else value_at(self.p, images_seen)
