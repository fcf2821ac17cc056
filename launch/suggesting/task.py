"""What a suggestion depends on, and the form of what is suggested."""

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from ganinv.sizes import Size

Goal = Literal["quick", "good", "best"]
SMALL = 32  # pixels; up to here the model for processors is the recipe for 32 pixels, not for 64
Device = Literal["cpu", "l4", "rtx3090", "rtx4090", "l40s", "a100", "h100", "h200"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """The data, the machine, and what is to be trained on it."""

    images: int  # for training
    test_images: int  # held out
    size: Size
    method: str  # objective.name
    family: str  # network.name
    device: Device
    count: int  # of GPUs, or of processor cores
    goal: Goal

    @property
    def side(self) -> int:
        """Pixels of the longer side: the resolution that the published rules speak of."""
        return max(self.size)

    @property
    def on_cpu(self) -> bool:
        return self.device == "cpu"


class Advice(NamedTuple):
    """One option of a run: its dotted key, its value, the reason, and where the rule comes from."""

    key: str
    value: Any
    why: str
    source: str


def value_of(advice: list[Advice], key: str) -> Any:
    """The value that the list gives for a key; a later one replaces an earlier one."""
    return {row.key: row.value for row in advice}[key]
