"""The random numbers of a step, drawn on the host: codes, coins for mirroring, and their slots.

They are a function of the seed and the image numbers (`ganinv.draws`). So a thread can draw those
of the next step while the present one runs, and nothing about it needs to be saved.

Shapes: B samples of this rank's share.
"""

from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import torch
from torch import Tensor

from ganinv.draws import Draws, coin_flips
from ganinv.training.config import TrainConfig

Slots = tuple[int, ...]


class Drawn(NamedTuple):
    """The draws of one rank's share of a global batch."""

    slots_B: Tensor
    mirrored_B: Tensor | None  # None if images are not mirrored
    noise: Mapping[str, Tensor]

    def pinned(self) -> "Drawn":
        """In page-locked memory, from which a GPU copies while the host goes on."""
        return self._each(Tensor.pin_memory)

    def on(self, device: torch.device) -> "Drawn":
        return self._each(lambda tensor: tensor.to(device, non_blocking=True))

    def _each(self, change: Callable[[Tensor], Tensor]) -> "Drawn":
        mirrored_B = None if self.mirrored_B is None else change(self.mirrored_B)
        noise = {name: change(draw) for name, draw in self.noise.items()}
        return Drawn(change(self.slots_B), mirrored_B, noise)


Draw = Callable[[int, Slots], Drawn]  # images_seen before the step, slots of the share


def drawing(noise: Mapping[str, Draws], config: TrainConfig, device: torch.device) -> Draw:
    """How to draw for a step. `noise`: what a method draws, by name."""

    def draw(images_seen: int, slots: Slots) -> Drawn:
        numbers = [images_seen + slot for slot in slots]
        drawn = Drawn(
            slots_B=torch.tensor(slots),
            mirrored_B=coin_flips(config.seed, "flip", numbers) if config.flip else None,
            noise={
                name: draws.draw(config.seed, f"noise/{name}", numbers)
                for name, draws in noise.items()
            },
        )
        return drawn.pinned() if device.type == "cuda" else drawn

    return draw


class DrawnAhead:
    """Draws for one step after the other; a thread draws for the next one in advance."""

    def __init__(self, draw: Draw, global_batch: int) -> None:
        self._draw = draw
        self._global_batch = global_batch
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ganinv-draws")
        self._ahead: tuple[tuple[int, Slots], Future[Drawn]] | None = None

    def take(self, images_seen: int, slots: Slots) -> Drawn:
        """The draws of a step, and a start on those of the next one, expected at the same slots."""
        wanted = (images_seen, slots)
        expected, ahead = self._ahead or (None, None)
        # On a busy machine the thread may not have begun; then nobody waits until it does.
        if ahead is None or ahead.cancel() or expected != wanted:
            drawn = self._draw(*wanted)
        else:
            drawn = ahead.result()
        following = (images_seen + self._global_batch, slots)
        self._ahead = following, self._thread.submit(self._draw, *following)
        return drawn

    def close(self) -> None:
        """End the thread, after the draws that it has begun."""
        self._thread.shutdown(cancel_futures=True)
