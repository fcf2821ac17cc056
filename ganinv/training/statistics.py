"""The table of training statistics, and their means over samples, steps and ranks.

A statistic is declared here once: its name in `metrics.jsonl`, its unit and what it says. Exporter
and pages read this table, so a new statistic is one row; figures of evaluations, whose names follow
from metrics and features, are declared by the metrics (`ganinv.evaluation.figures`). Means are
kept as sum and count in float64; a mean of means is never formed.
"""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from ganinv.evaluation.figures import Statistic, explain
from ganinv.seams.engine import SumReduce

TRAINING = (
    Statistic("loss/d", "", "Loss of the discriminator, all terms"),
    Statistic("loss/g", "", "Loss of the generator, all terms"),
    Statistic("loss/enc", "", "Encoder loss: squared error of recovered codes, scaled"),
    Statistic("loss/rec", "", "Perceptual reconstruction loss of the VAE half (PVDGAN)"),
    Statistic("loss/r1", "", "R1: squared gradient norm of D at real images, before λ_r1"),
    Statistic("d/real", "", "Mean adversarial value of real images"),
    Statistic("d/fake", "", "Mean adversarial value of generated images"),
)
DERIVED = (
    Statistic("learning_rate", "", "Learning rate of both networks at the last step"),
    Statistic("grad_norm/g", "", "Norm of the generator's mean gradient at the last step"),
    Statistic("grad_norm/d", "", "Norm of the discriminator's mean gradient at the last step"),
    Statistic("latent/entropy_nats", "nats", "Differential entropy of the scaled latent code"),
    Statistic("latent/active", "elements", "Latent elements whose traced variance is above 0.1"),
    Statistic("latent/effective", "elements", "Participation ratio of the traced variances"),
    Statistic("throughput/images_per_second", "images/s", "Images trained per second, all workers"),
)
_DECLARED = {row.name for row in TRAINING}
_BY_NAME = {row.name: row for row in (*TRAINING, *DERIVED)}


def describe(name: str) -> Statistic:
    """Unit, meaning and direction of any number in `metrics.jsonl`, those of evaluations included.

    Raises `KeyError` for a name that nothing gives.
    """
    if name in _BY_NAME:
        return _BY_NAME[name]
    figure = explain(name)
    if figure is None:
        raise KeyError(name)
    return figure


class Means:
    """Means of the training statistics since the last `flush`, over all ranks.

    Between flushes each rank holds its own sums. `fold` merges them (one reduction) without ending
    the interval, so that a checkpoint can hold the interval's sums so far.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self.names = sorted(names)
        unknown = set(self.names) - _DECLARED
        assert not unknown, f"undeclared statistics {sorted(unknown)}: add rows to the table"
        self._folded = torch.zeros(len(self.names) + 1, dtype=torch.float64)  # last: count
        self._local = torch.zeros_like(self._folded)

    def add(self, sums: Mapping[str, Tensor], parts: int, all_parts: int) -> None:
        """`sums`: per name the sum over the `parts` of this rank, of `all_parts` of the batch.

        Every global batch weighs 1, so that what is kept does not depend on how it was cut.
        """
        assert sorted(sums) == self.names, f"expected {self.names}, got {sorted(sums)}"
        values = torch.stack([sums[name].double() for name in self.names]).cpu()
        self._local[:-1] += values / all_parts
        self._local[-1] += parts / all_parts

    def fold(self, reduce: SumReduce) -> Tensor:
        self._folded = self._folded + reduce(self._local)
        self._local = torch.zeros_like(self._folded)
        return self._folded

    def load(self, folded: Tensor) -> None:
        assert folded.shape == self._folded.shape, "statistics of another objective"
        self._folded = folded.clone()
        self._local = torch.zeros_like(folded)

    def flush(self, reduce: SumReduce) -> dict[str, float]:
        """The means, and a new interval. NaN if nothing was added: every step was void."""
        total = self.fold(reduce)
        self._folded = torch.zeros_like(total)
        means = (total[:-1] / total[-1]).tolist()
        return dict(zip(self.names, means, strict=True))
