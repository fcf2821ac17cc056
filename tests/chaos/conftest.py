"""What the real runs of a module share."""

from collections.abc import Iterator
from typing import Any

import pytest

from cluster.seaweed.store import ObjectStore
from tests.support.real_runs import MakeRun, RealRun


@pytest.fixture(scope="module")
def real_run(
    tmp_path_factory: pytest.TempPathFactory, object_store: ObjectStore
) -> Iterator[MakeRun]:
    """Makes runs on the same data and bucket, with the environment set for S3 clients."""
    root = tmp_path_factory.mktemp("real-runs")

    def make(name: str, **more: Any) -> RealRun:
        return RealRun(name=name, root=root, server=object_store, **more)

    with pytest.MonkeyPatch.context() as patch:
        for name, value in object_store.environment().items():
            patch.setenv(name, value)
        yield make
