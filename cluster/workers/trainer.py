"""Ray Train's trainer without the two helper processes that a group here has no use for.

Each is a process of its own that imports pandas, PyArrow and Ray Data (1.2 s of CPU and 150 MB),
while the workers of the same group are starting:

- the manager of Ray Data's data sets. Workers read their data sets themselves (`datasets`).
- the cleaner of placement groups, for a controller that dies: `cluster.workers.reservations`
  removes them before the next group starts.
"""

from typing import Any

from ray.train.torch import TorchTrainer
from ray.train.v2._internal.callbacks.datasets import DatasetsCallback
from ray.train.v2._internal.callbacks.placement_group_callback import PlacementGroupCleanerCallback


class LeanTrainer(TorchTrainer):  # type: ignore[misc]  # Ray is not typed
    """As `TorchTrainer`, for training functions that use no data set of Ray's."""

    def _create_default_callbacks(self) -> list[Any]:
        left_out = (DatasetsCallback, PlacementGroupCleanerCallback)
        callbacks = super()._create_default_callbacks()
        return [callback for callback in callbacks if not isinstance(callback, left_out)]
