"""Batches that fit the memory of a device: what does not fit is done again in halves."""

import logging
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from ganinv.errors import ConfigError

log = logging.getLogger(__name__)


class Fitting:
    """Applies functions of batches to pieces that fit the device's memory.

    A piece that does not fit is done again in halves, and so are all later ones.
    """

    def __init__(self, most: int) -> None:
        """`most`: samples of a piece, at most."""
        self.most = most

    def run(self, function: Callable[[Tensor], Tensor], batch: Tensor) -> Tensor:
        """`function` of a batch, whose samples do not see each other.

        Raises `ConfigError` if not even one sample fits.
        """
        found = list(self._pieces(function, batch))
        return found[0] if len(found) == 1 else torch.cat(found)

    def fitted(self, function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        """`function`, which is run in pieces that fit."""
        return lambda batch: self.run(function, batch)

    def _pieces(self, function: Callable[[Tensor], Tensor], batch: Tensor) -> Iterator[Tensor]:
        start = 0
        while start == 0 or start < len(batch):
            size = min(self.most, len(batch) - start)
            try:
                found = function(batch[start : start + size])
            except torch.OutOfMemoryError as error:
                if size <= 1:
                    raise ConfigError(
                        f"not even one image fits the memory of {batch.device} beside what is "
                        f"there ({str(error).partition('. ')[0]}); give a smaller "
                        "train.micro_batch, or a device with more memory"
                    ) from None
            else:
                yield found
                start += max(size, 1)
                continue
            # Here, because the error holds the tensors of the piece.
            self.most = size // 2
            log.warning(
                "%d images do not fit the memory of %s; from now on %d at a time",
                size, batch.device, self.most,
            )  # fmt: skip
            if torch.cuda.is_initialized():
                torch.cuda.empty_cache()
