"""What all tests share: object stores, settings of libraries, and the rule for skips in CI."""

import os
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import hypothesis
import pytest
import torch

from cluster.seaweed import store as seaweed
from cluster.storage.opening import open_store
from ganinv.places.loopback import spare_loopback
from ganinv.seams.stores import Store
from tests.support.skips import (  # noqa: F401 (hooks: pytest finds them here)
    pytest_make_collect_report,
    pytest_runtest_makereport,
)

BUCKET = "tests"
# Tensors in tests are tiny: more threads than one only get in each other's way, here and in the
# processes that tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")
torch.set_num_threads(1)
# Nor should what this shell inherited stand between tests and their servers on this machine.
spare_loopback()
for name in seaweed.OUTRANKING:
    os.environ.pop(name, None)
# What a loaded machine takes for an example says nothing about it; pytest-timeout ends what hangs.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with the longest time limits first: at the end no worker waits long for another."""
    limits: dict[Path, float] = {}
    for item in items:
        marked = item.get_closest_marker("timeout")
        limits[item.path] = max(limits.get(item.path, 0.0), marked.args[0] if marked else 0.0)
    items.sort(key=lambda item: -limits[item.path])


@pytest.fixture(scope="session", autouse=True)
def state_home(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Runs of tests are none that the user's own `ganinv monitor` should find, and vice versa."""
    os.environ["XDG_STATE_HOME"] = str(tmp_path_factory.mktemp("state"))


@pytest.fixture(scope="session")
def object_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[seaweed.ObjectStore]:
    """A running object store with the bucket `tests`."""
    directory = tmp_path_factory.mktemp("object-store")
    try:
        yield seaweed.start(directory, [BUCKET])
    finally:
        seaweed.stop(directory)


@pytest.fixture
def s3_environment(
    object_store: seaweed.ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> dict[str, str]:
    """The variables that lead S3 clients to the object store, set for this test."""
    environment = object_store.environment()
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return environment


@pytest.fixture
def s3_store_url(s3_environment: dict[str, str]) -> str:
    """An s3:// URL under which nothing is stored yet, with the environment set."""
    return f"s3://{BUCKET}/{uuid4().hex}"


@pytest.fixture(
    params=["local", "memory", "fsspec", pytest.param("s3", marks=pytest.mark.integration)]
)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """An empty store: on a directory, on two filesystems by way of fsspec, and on S3."""
    if request.param == "local":
        return open_store(str(tmp_path / "store"))
    if request.param == "memory":
        return open_store(f"memory://{uuid4().hex}")
    if request.param == "fsspec":
        return open_store(f"local://{tmp_path}/store")
    return open_store(request.getfixturevalue("s3_store_url"))
