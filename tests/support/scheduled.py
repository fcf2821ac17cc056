"""Training options that are schedules, and a method with two optimizers."""

from dataclasses import replace

from ganinv.objectives import dlsgan
from ganinv.objectives.base import Role
from ganinv.schedules import Schedule
from ganinv.training.config import NetworkTraining
from tests.support.runs import TRAIN

FALLING = Schedule(kind="linear", start=0.01, end=0.001, until=64)
STEPPED = Schedule(kind="step", start=0.02, factor=0.5, every=32)
BETA2 = Schedule(kind="cosine", start=0.9, end=0.99, begin=16, until=64)
SCHEDULED = replace(
    TRAIN,
    learning_rate=FALLING,
    beta2=BETA2,
    networks={
        "d": NetworkTraining(learning_rate=STEPPED, beta1=0.5),
        "g": NetworkTraining(epsilon=1e-2),
    },
)
CLOCK = range(0, 97, 16)  # images at which a step begins


class DiscriminatorByRmsProp(dlsgan.Objective):
    """DLSGAN whose discriminator is trained by RMSProp."""

    @property
    def roles(self) -> dict[str, Role]:
        return {**super().roles, "d": replace(super().roles["d"], optimizer="rmsprop")}
