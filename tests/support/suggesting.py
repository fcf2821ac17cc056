"""Tasks to suggest options for."""

from typing import Any

from ganinv.sizes import Size
from launch.suggesting.task import Task


def task(*, side: int = 256, **changed: Any) -> Task:
    given: dict[str, Any] = {
        "images": 60_000,
        "test_images": 10_000,
        "size": Size(side, side),
        "method": "pvdgan",
        "family": "conv",
        "device": "a100",
        "count": 1,
        "goal": "good",
    }
    return Task(**given | changed)
