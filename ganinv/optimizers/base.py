"""The knobs of an optimizer at one moment of training."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Knobs:
    """Values for one step. `beta1`, `beta2`: decays of the mean gradient and of its mean square."""

    learning_rate: float
    beta1: float
    beta2: float
    epsilon: float
