"""What methods share that let D judge augmented images: draws, p, and its state.

Put `AugmentedObjective` first among the bases of a method. `Augmentation` is what a round needs.

Shapes: N samples of the micro-batch, C × H × W image.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.autograd.profiler import record_function

from ganinv.augmentation import adapting
from ganinv.augmentation.drawing import AugmentationDraws
from ganinv.augmentation.options import AugmentConfig
from ganinv.augmentation.transforming import augmented
from ganinv.declarations import Spectrum, Statistic
from ganinv.draws import Draws
from ganinv.objectives.adversarial import R2_STATISTIC
from ganinv.objectives.base import MicroBatch, Moments, Objective, State

STATE = "augmentation"  # in the state, and among the moments
REAL, GENERATED = "augment_real", "augment_generated"  # draws
STATISTICS = (
    Statistic(
        "augment/p", "", "Probability p of each transformation of the images that D judges",
        gauge="augmentation_p",
    ),
    Statistic(
        "augment/signs", "", "Mean sign of D at real images, or of Δ: near 1, it overfits",
        gauge="augmentation_signs",
    ),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """T at a step. `p` is one number; `acts` is False where the clock says that it is 0."""

    config: AugmentConfig
    noise: Mapping[str, Tensor]
    p: Tensor
    acts: bool

    def real(self, images_NCHW: Tensor) -> Tensor:
        return self._of(images_NCHW, REAL)

    def generated(self, images_NCHW: Tensor) -> Tensor:
        return self._of(images_NCHW, GENERATED)

    def _of(self, images_NCHW: Tensor, draws: str) -> Tensor:
        if not self.acts:
            return images_NCHW
        with record_function("augmentation"):
            return augmented(images_NCHW, self.noise[draws], self.p, self.config)

    def moments(self, values_N: Tensor) -> Moments:
        """Of D's values at real images, or of Δ."""
        return {STATE: adapting.moments(values_N)} if self.config.adaptive else {}


def augmentation(config: AugmentConfig, batch: MicroBatch, state: State) -> Augmentation | None:
    """What D sees at this step; None without augmentation."""
    if not config.on:
        return None
    given = config.at(batch.images_seen)
    p = state[STATE][0] if given is None else batch.real_NCHW.new_full((), given)
    return Augmentation(
        config=config, noise=batch.noise, p=p.to(batch.real_NCHW), acts=given is None or given > 0
    )


class AugmentedObjective(Objective):
    """Adds draws and state to those of the other bases, if the options ask for augmentation."""

    optional_statistics: tuple[Statistic, ...] = (R2_STATISTIC, *STATISTICS)

    @property
    def augment(self) -> AugmentConfig:
        config: AugmentConfig = self.config.augment
        return config

    @property
    def noise(self) -> Mapping[str, Draws]:
        if not self.augment.on:
            return super().noise
        return {**super().noise, **dict.fromkeys((REAL, GENERATED), AugmentationDraws())}

    def new_state(self, global_batch: int) -> dict[str, Tensor]:
        state = super().new_state(global_batch)
        return state | {STATE: adapting.new_state(self.augment)} if self.augment.adaptive else state

    def next_state(
        self, state: State, moments: Moments, *, images_seen: int, global_batch: int
    ) -> dict[str, Tensor]:
        clock: dict[str, Any] = {"images_seen": images_seen, "global_batch": global_batch}
        after = super().next_state(_others(state), moments, **clock)
        if self.augment.adaptive:
            after[STATE] = adapting.next_state(self.augment, state[STATE], moments[STATE], **clock)
        return after

    def spectra(self, state: State) -> dict[str, Spectrum]:
        return super().spectra(_others(state))


def _others(state: State) -> State:
    return {name: value for name, value in state.items() if name != STATE}
