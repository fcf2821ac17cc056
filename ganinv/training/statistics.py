"""The numbers in `metrics.jsonl`, and means of training statistics.

Each statistic is declared once: by its method (`Objective.statistics`, `figures_declared`), by a
metric (`ganinv.evaluation.figures`), or here if every method has it. Exporter and pages read these
declarations. Means over samples, steps and ranks are kept as sum and count in float64; no mean is a
mean of means.
"""

import functools
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from ganinv import objectives
from ganinv.declarations import Statistic
from ganinv.evaluation.figures import explain
from ganinv.objectives.base import Objective, Role
from ganinv.seams.engine import SumReduce

LEARNING_RATE = "learning_rate"
GRADIENT_NORM = "grad_norm/"  # prefix of the network's name
SCHEDULE = "schedule/"  # prefix of the option's key
SPEED = "throughput/images_per_second"


def derived_statistics(objective: Objective) -> tuple[Statistic, ...]:
    """The numbers of a row that are not means over samples."""
    return (
        Statistic(LEARNING_RATE, "", "Learning rate at the last step", gauge=LEARNING_RATE),
        *(_gradient_norm(name, role) for name, role in objective.roles.items() if role.trained),
        *objective.figures_declared,
        Statistic(
            SPEED, "images/s", "Images trained per second, all workers", gauge="images_per_second"
        ),
    )


def _gradient_norm(name: str, role: Role) -> Statistic:
    return Statistic(
        f"{GRADIENT_NORM}{name}",
        "",
        f"Norm of the {role.title}'s mean gradient at the last step",
        gauge=f"{role.title.replace(' ', '_')}_gradient_norm",
    )


@functools.cache
def all_statistics() -> Mapping[str, Statistic]:
    """The statistics of all methods, by name."""
    found: dict[str, Statistic] = {}
    for name in objectives.names():
        module = objectives.find(name)
        objective: Objective = module.Objective(module.Config(), latent_size=1)
        more = objective.optional_roles
        norms = (_gradient_norm(n, role) for n, role in more.items() if role.trained)
        own = (*objective.statistics, *objective.optional_statistics, *norms)
        for row in (*own, *derived_statistics(objective)):
            found.setdefault(row.name, row)
    return found


def statistic_named(name: str) -> Statistic:
    """Unit, meaning and direction of a number in `metrics.jsonl`, evaluation figures included.

    Raises `KeyError` for an unknown name.
    """
    if name.startswith(SCHEDULE):
        return Statistic(name, "", f"{name.removeprefix(SCHEDULE)} at the last step")
    found = all_statistics().get(name) or explain(name)
    if found is None:
        raise KeyError(name)
    return found


class Means:
    """Means of the training statistics since the last `flush`, over all ranks.

    Between flushes, each rank holds its own sums, on the device that computes them. `fold` adds up
    all ranks' sums (one reduction, on the CPU) without ending the interval, so that a checkpoint
    can hold the interval's sums so far.
    """

    def __init__(self, names: Iterable[str], device: torch.device | str = "cpu") -> None:
        self.names = sorted(names)
        self._folded = torch.zeros(len(self.names) + 1, dtype=torch.float64)  # last: count
        self._local = torch.zeros_like(self._folded, device=device)

    def add(
        self, sums: Mapping[str, Tensor], own: int, total: int, flag: Tensor | None = None
    ) -> None:
        """`sums`: by name, sums over the rank's `own` micro-batches, of `total` in the batch.

        Every global batch has weight 1, so that the means do not depend on the micro-batches.
        `flag`: a bool on the device, false if the step was void and does not count.
        """
        assert sorted(sums) == self.names, f"expected {self.names}, got {sorted(sums)}"
        if self.names:
            values = torch.stack([sums[name].double() for name in self.names]) / total
            self._local[:-1] += values if flag is None else torch.where(flag, values, 0.0)
        self._local[-1] += own / total if flag is None else flag.double() * (own / total)

    def fold(self, reduce: SumReduce) -> Tensor:
        self._folded = self._folded + reduce(self._local.cpu())
        self._local = torch.zeros_like(self._local)
        return self._folded

    def load(self, folded: Tensor) -> None:
        assert folded.shape == self._folded.shape, "statistics of another objective"
        self._folded = folded.clone()
        self._local = torch.zeros_like(self._local)

    def flush(self, reduce: SumReduce) -> dict[str, float]:
        """The means; starts a new interval. NaN if all steps of the interval were void."""
        total = self.fold(reduce)
        self._folded = torch.zeros_like(total)
        means = (total[:-1] / total[-1]).tolist()
        return dict(zip(self.names, means, strict=True))
